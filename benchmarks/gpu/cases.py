"""What is timed on a GPU: each operator on inputs as a training step gives it.

Bytes count every number that a program must read or write once, and for tables every
read of a row, as if none were still in a cache; operations count additions and
multiplications. Both are of a forward and a backward pass together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

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
        num_bytes: Bytes that forward and backward move.
        operations: Additions and multiplications of both.
        arithmetic: What products are computed in.
    """

    name: str
    dtype: torch.dtype
    count: int
    fixed: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...]
    call: Callable[..., Tensor]
    num_bytes: float
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


def _lookup_work(layout: GridLayout, channels: int, size: int) -> tuple[float, float]:
    """Return bytes and operations per point of reading a grid and of its gradients."""
    corners, dims = 2**layout.num_dims, layout.num_dims
    levels = len(layout.levels)
    row = channels * size
    # Coordinates, rows, features; then the same again, with rows read and written.
    forward = 4 * dims + levels * (corners * row + row)
    backward = 4 * dims + levels * (2 * corners * row + row)
    weights = corners * dims + 3 * dims
    operations = levels * corners * (4 * channels + 2 * weights)
    return forward + backward, operations


def _encode(count: int, log2_table_size: int, dtype: torch.dtype) -> Case:
    layout, channels = _layout(3, log2_table_size), 2
    source = generator(0, "gpu", "encode")
    coords = torch.rand(count, 3, generator=source)
    table = torch.randn(layout.num_rows, channels, generator=source).to(dtype)
    per_point, operations = _lookup_work(layout, channels, table.element_size())
    return Case(
        name=f"hash grid, 3-D, L 16, F 2, T {log2_table_size}",
        dtype=dtype,
        count=count,
        fixed=(coords,),
        inputs=(table,),
        call=lambda x, t: grid_lookup(x, t, layout),
        num_bytes=count * per_point,
        operations=count * operations,
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
    size = inputs.element_size()
    return Case(
        name=f"perceptron {'-'.join(map(str, sizes))}",
        dtype=dtype,
        count=count,
        inputs=(inputs, *weights),
        call=lambda x, *w: small_mlp(x, w),
        # Inputs and their gradient, outputs and theirs; inputs again if recomputed.
        num_bytes=count * size * (3 * _NUM_FEATURES + 2 * _NUM_OUTPUTS),
        # Forward, the gradients of inputs and of weights.
        operations=count * 6 * products,
        arithmetic=dtype,
    )


def _mulfa(count: int, log2_table_size: int) -> Case:
    config = MulfaGridConfig(log2_table_size=log2_table_size)
    encoding = config.build(Site(num_dims=2, num_channels=3), generator(0, "gpu"))
    trained = {k: p.detach() for k, p in encoding.named_parameters() if p.requires_grad}
    coords = torch.rand(count, 2, generator=generator(0, "gpu", "mulfa"))
    per_point, operations = _lookup_work(encoding.layout, 2, 4)
    gates, inputs = encoding.kernel.projection.shape[-2:]
    filters = 6 * len(encoding.layout.levels) * gates * (inputs + 4 * (gates + 2))
    others = {k: v for k, v in encoding.named_parameters() if k not in trained}
    others |= dict(encoding.named_buffers())

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        state = {k: v.to(x) for k, v in others.items()}
        state |= dict(zip(trained, parameters, strict=True))
        return torch.func.functional_call(encoding, state, (x,))

    return Case(
        name=f"MulFAGrid, 2-D, as by default, T {log2_table_size}",
        dtype=torch.float32,
        count=count,
        fixed=(coords,),
        inputs=tuple(trained.values()),
        call=call,
        num_bytes=count * per_point,
        operations=count * (operations + filters),
    )


def _light(count: int) -> Case:
    source = generator(0, "gpu", "light")
    thickness = 0.2 * torch.rand(count, generator=source)
    colours = torch.rand(count, 3, generator=source)
    distances = torch.rand(count, generator=source)
    bounds = torch.arange(0, count + 1, _SAMPLES_PER_RAY)

    return Case(
        name=f"light along rays of {_SAMPLES_PER_RAY} samples",
        dtype=torch.float32,
        count=count,
        fixed=(bounds,),
        inputs=(thickness, colours, distances),
        call=lambda b, t, c, d: composite(t, c, d, b).colour,
        # Thickness, colour and distance, the weights between, and gradients.
        num_bytes=count * 4 * (5 + 1 + 6 + 5),
        operations=count * 40,
    )
