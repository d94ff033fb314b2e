"""What is timed on a GPU: each operator on inputs as a training step gives it.

Two numbers of bytes are counted. The least: every number that must be read or written
is moved once, as if all else were found in a cache. The requested: every read of a row
of a table counts, and every addition to one as a read and a write. Operations are
additions and multiplications. All are of a forward and a backward pass together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from tangrid.encodings import MulfaGridConfig
from tangrid.ops.composite import composite
from tangrid.ops.grid_lookup import GridLayout, grid_layout, grid_lookup
from tangrid.ops.small_mlp import small_mlp
from tangrid.seeding import generator
from tangrid.signals.site import Site

_WIDTH = 64
_NUM_FEATURES = 32
_NUM_OUTPUTS = 16
_SAMPLES_PER_RAY = 32


@dataclass(frozen=True, kw_only=True)
class Case:
    """A differentiable call.

    Attributes:
        name: What is computed.
        dtype: Of what is read most, a table or weights.
        count: Points, or samples.
        fixed: What no gradients are asked for.
        inputs: What gradients are asked for.
        call: Gives the values from what is fixed and the inputs.
        least_bytes: Bytes that forward and backward must move.
        requested_bytes: Bytes that they ask for.
        operations: Additions and multiplications of both.
        arithmetic: What products are computed in.
    """

    name: str
    dtype: torch.dtype
    count: int
    fixed: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...]
    call: Callable[..., Tensor]
    least_bytes: float
    requested_bytes: float
    operations: float
    arithmetic: torch.dtype = torch.float32

    def to(self, convert: Callable[[Tensor], Tensor]) -> "Case":
        """Return the case with other tensors.

        Args:
            convert: Gives the new tensor for each.
        """
        return replace(
            self,
            fixed=tuple(convert(tensor) for tensor in self.fixed),
            inputs=tuple(convert(tensor) for tensor in self.inputs),
        )


def cases(log2_count: int, log2_table_size: int, device: torch.device) -> list[Case]:
    """Return all cases.

    Args:
        log2_count: Logarithm of the number of points.
        log2_table_size: Logarithm of the rows per level (T).
        device: Where they are computed.
    """
    count = 2**log2_count
    drafts = []
    for dtype in (torch.float32, torch.float16):
        drafts += [_encode(count, log2_table_size, dtype), _perceptron(count, dtype)]
    drafts += [_mulfa(count, log2_table_size), _light(count)]
    return [draft.to(lambda tensor: tensor.to(device)) for draft in drafts]


def _layout(num_dims: int, log2_table_size: int) -> GridLayout:
    return grid_layout(
        num_dims=num_dims,
        num_levels=16,
        base_resolution=16,
        growth=2.0 ** (7 / 15),
        log2_table_size=log2_table_size,
        storage="hashed",
    )


class _Work(NamedTuple):
    """What a lookup moves and computes, forward and for the table's gradient."""

    least_bytes: float
    requested_bytes: float
    operations: float


def _lookup_work(layout: GridLayout, channels: int, count: int, size: int) -> _Work:
    """Return the work of reading a grid; gradients are summed in float32."""
    corners, dims, levels = 2**layout.num_dims, layout.num_dims, len(layout.levels)
    row, row_of_sums = channels * size, channels * 4
    # Coordinates and features, forward and backward.
    streams = 2 * count * (4 * dims + levels * row)
    touched = sum(min(corners * count, level.size) for level in layout.levels)
    # All of the gradient is cleared, and what is touched is written.
    least = streams + touched * (row + row_of_sums) + layout.num_rows * row_of_sums
    requested = streams + levels * corners * count * (row + 2 * row_of_sums)
    requested += layout.num_rows * row_of_sums
    # A corner's weight is a product over the axes, and is needed again.
    weights = corners * (dims - 1) + 3 * dims
    products = 2 * corners * channels
    return _Work(least, requested, 2 * count * levels * (products + weights))


def _encode(count: int, log2_table_size: int, dtype: torch.dtype) -> Case:
    layout, channels = _layout(3, log2_table_size), 2
    source = generator(0, "gpu", "encode")
    coords = torch.rand(count, 3, generator=source)
    table = torch.randn(layout.num_rows, channels, generator=source).to(dtype)
    work = _lookup_work(layout, channels, count, table.element_size())
    return Case(
        name=f"hash grid, 3-D, L 16, F 2, T {log2_table_size}",
        dtype=dtype,
        count=count,
        fixed=(coords,),
        inputs=(table,),
        call=lambda x, t: grid_lookup(x, t, layout),
        **work._asdict(),
    )


def _perceptron(count: int, dtype: torch.dtype) -> Case:
    source = generator(0, "gpu", "mlp")
    sizes = (_NUM_FEATURES, _WIDTH, _WIDTH, _NUM_OUTPUTS)
    inputs = torch.randn(count, _NUM_FEATURES, generator=source).to(dtype)
    weights = tuple(
        (torch.randn(b, a, generator=source) / a**0.5).to(dtype)
        for a, b in pairwise(sizes)
    )
    products = sum(weight.numel() for weight in weights)
    # Inputs and their gradient, outputs and theirs; inputs again if recomputed.
    moved = count * inputs.element_size() * (3 * _NUM_FEATURES + 2 * _NUM_OUTPUTS)
    return Case(
        name=f"perceptron {'-'.join(map(str, sizes))}",
        dtype=dtype,
        count=count,
        inputs=(inputs, *weights),
        call=lambda x, *w: small_mlp(x, w),
        least_bytes=moved,
        requested_bytes=moved,
        # Forward, the gradients of inputs and of weights.
        operations=count * 6 * products,
        arithmetic=dtype,
    )


def _mulfa(count: int, log2_table_size: int) -> Case:
    config = MulfaGridConfig(log2_table_size=log2_table_size)
    encoding = config.build(Site(num_dims=2, num_channels=3), generator(0, "gpu"))
    state = {**dict(encoding.named_parameters()), **dict(encoding.named_buffers())}
    trained = {k: p.detach() for k, p in encoding.named_parameters() if p.requires_grad}
    others = {k: p.detach() for k, p in state.items() if k not in trained}
    coords = torch.rand(count, 2, generator=generator(0, "gpu", "mulfa"))
    work = _lookup_work(encoding.layout, 2, count, 4)
    gates, inputs = encoding.kernel.projection.shape[-2:]
    # A gate's filter is made once per point, and mixed into outputs at every corner;
    # the way back takes twice as much, after the same again.
    filters = 8 * len(encoding.layout.levels) * gates * (inputs + 4 * (1 + 2))

    def call(x: Tensor, *tensors: Tensor) -> Tensor:
        names = (*others, *trained)
        values = dict(zip(names, tensors, strict=True))
        return torch.func.functional_call(encoding, values, (x,))

    return Case(
        name=f"MulFAGrid, 2-D, as by default, T {log2_table_size}",
        dtype=torch.float32,
        count=count,
        fixed=(coords, *others.values()),
        inputs=tuple(trained.values()),
        call=call,
        least_bytes=work.least_bytes,
        requested_bytes=work.requested_bytes,
        operations=work.operations + count * filters,
    )


def _light(count: int) -> Case:
    source = generator(0, "gpu", "light")
    thickness = 0.2 * torch.rand(count, generator=source)
    colours = torch.rand(count, 3, generator=source)
    distances = torch.rand(count, generator=source)
    bounds = torch.arange(0, count + 1, _SAMPLES_PER_RAY)
    # Thickness, colour and distance are read by each pass, and gradients written.
    moved = count * 4 * (5 + 5 + 5)
    return Case(
        name=f"light along rays of {_SAMPLES_PER_RAY} samples",
        dtype=torch.float32,
        count=count,
        fixed=(bounds,),
        inputs=(thickness, colours, distances),
        call=lambda b, t, c, d: composite(t, c, d, b).colour,
        least_bytes=moved,
        requested_bytes=moved,
        # A sum, an exponential and a weight; colour and distance; as much twice back.
        operations=count * 3 * (4 + 2 * 3 + 2),
    )
