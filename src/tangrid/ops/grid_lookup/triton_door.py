"""What the Triton programs take and give, from and to tensors.

The table's gradient is summed by atomic additions, and so is that of the points over
the levels, in an order that differs from run to run, unless
`torch.use_deterministic_algorithms` asks for one order: then rows are sorted, level by
level, and one instance goes over all levels of a point.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.jit import KernelInterface

from tangrid.ops.grid_lookup import triton_gpu
from tangrid.ops.grid_lookup.layout import GridLayout

_BLOCK = 128
"""Points per instance, one for each thread of four warps."""


def read(
    coords: Tensor, table: Tensor, layout: GridLayout, directions: Tensor | None = None
) -> Tensor:
    """Return features, or their derivatives along directions, in the table's dtype.

    Args:
        coords: Points in the unit box, float32.
        table: Features of all levels' nodes.
        layout: Where the nodes are.
        directions: One for each point.
    """
    levels, channels = len(layout.levels), table.shape[1]
    out = table.new_empty(len(coords), levels * channels)
    if directions is not None and layout.interpolation == "nearest":
        return out.zero_()
    plan = _plan(layout, channels, coords.device)
    _launch(
        triton_gpu.read, coords, levels, plan.constants,
        coords, table, coords if directions is None else directions,
        plan.scales, plan.addresses, out, len(coords), levels,
        ALONG=directions is not None,
    )  # fmt: skip
    return out


def pull(grad_out: Tensor, coords: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """Return the gradient of coordinates.

    Args:
        grad_out: Gradient of the features.
        coords: Points in the unit box, float32.
        table: Features of all levels' nodes.
        layout: Where the nodes are.
    """
    grad = coords.new_zeros(coords.shape)
    if layout.interpolation == "nearest":
        return grad
    levels = len(layout.levels)
    span = levels if torch.are_deterministic_algorithms_enabled() else 1
    plan = _plan(layout, table.shape[1], coords.device)
    _launch(
        triton_gpu.pull, coords, -(-levels // span), plan.constants,
        coords, table, grad_out, plan.scales, plan.addresses, grad, len(coords), levels,
        span,
    )  # fmt: skip
    return grad


def push(
    grad_out: Tensor,
    coords: Tensor,
    table: Tensor,
    layout: GridLayout,
    into: Tensor | None,
    directions: Tensor | None = None,
) -> Tensor:
    """Return a table's gradient; nothing where a buffer has taken it.

    Args:
        grad_out: Gradient of the features.
        coords: Points in the unit box, float32.
        table: Features of all levels' nodes.
        layout: Where the nodes are.
        into: The buffer, if there is one.
        directions: Of derivatives that were read in place of features.
    """
    grad = into
    if grad is None or not grad.is_contiguous() or grad.dtype != torch.float32:
        grad = torch.zeros_like(
            table, dtype=torch.float32, memory_format=torch.contiguous_format
        )
    if directions is None or layout.interpolation != "nearest":
        is_ordered = torch.are_deterministic_algorithms_enabled()
        (_push_ordered if is_ordered else _push)(
            grad_out, coords, layout, directions, grad
        )
    if into is None:
        return grad.to(table.dtype)
    if grad is not into:
        into.add_(grad)
    # An accumulation buffer is the caller's and must not become an output.
    return table.new_empty(0)


def _push(
    grad_out: Tensor,
    coords: Tensor,
    layout: GridLayout,
    directions: Tensor | None,
    grad: Tensor,
) -> None:
    """Add to the table's gradient, in any order."""
    levels = len(layout.levels)
    plan = _plan(layout, grad.shape[1], coords.device)
    _launch(
        triton_gpu.push, coords, levels, plan.constants,
        coords, grad_out, coords if directions is None else directions,
        plan.scales, plan.addresses, grad, len(coords), levels,
        ALONG=directions is not None,
    )  # fmt: skip


def _push_ordered(
    grad_out: Tensor,
    coords: Tensor,
    layout: GridLayout,
    directions: Tensor | None,
    grad: Tensor,
) -> None:
    """Add to the table's gradient in the order of points and corners."""
    channels = grad.shape[1]
    of_levels = grad_out.float().unflatten(1, (-1, channels)).unbind(1)
    for level, of_level in enumerate(of_levels):
        rows, weights = corners(coords, layout, level, directions)
        parts = weights[:, :, None] * of_level[:, None, :]
        # PyTorch sorts the rows, and adds up those that are equal one after another.
        grad.index_put_((rows.flatten(),), parts.flatten(0, 1), accumulate=True)


def corners(
    coords: Tensor, layout: GridLayout, level: int, directions: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return table rows and weights of the corners around points, both [n, k].

    Args:
        coords: Points in the unit box, float32.
        layout: Where the nodes are.
        level: The level that is read, from 0.
        directions: One for each point, along which weights are differentiated.
    """
    plan = _plan(layout, 1, coords.device)
    count = 1 if layout.interpolation == "nearest" else 2**layout.num_dims
    rows = torch.empty(len(coords), count, dtype=torch.int64, device=coords.device)
    weights = coords.new_empty(rows.shape)
    constants = {k: v for k, v in plan.constants.items() if k in _FINDING}
    _launch(
        triton_gpu.find, coords, 1, constants,
        coords, coords if directions is None else directions,
        plan.scales, plan.addresses, rows, weights, len(coords), level,
        ALONG=directions is not None,
    )  # fmt: skip
    return rows, weights


class _Plan(NamedTuple):
    """What programs must know of a grid."""

    scales: Tensor
    addresses: Tensor
    constants: dict[str, Any]


_FINDING = ("DIMS", "INTERPOLATION", "HASHED", "TILED", "BLOCK")


@functools.lru_cache(maxsize=64)
def grid_on(device: torch.device, layout: GridLayout) -> tuple[Tensor, Tensor]:
    """Return scales and addresses of a layout where programs read them.

    Args:
        device: Where the programs run.
        layout: The grid.
    """
    # Made once for all passes, of which some run without gradients.
    with torch.inference_mode(False):
        scales = torch.from_numpy(layout.scales).to(device)
        return scales, torch.from_numpy(layout.addresses).to(device)


@functools.lru_cache(maxsize=64)
def _plan(layout: GridLayout, channels: int, device: torch.device) -> _Plan:
    storages = {level.storage for level in layout.levels}
    constants = {
        "DIMS": layout.num_dims,
        "CHANNELS": channels,
        # What a thread loads at once: 16 bytes of float32 at most.
        "WIDTH": math.gcd(channels, 4),
        "INTERPOLATION": layout.interpolation_code,
        "HASHED": "hashed" in storages,
        "TILED": "tiled" in storages,
        "BLOCK": _BLOCK,
    }
    return _Plan(*grid_on(device, layout), constants)


def _launch(
    program: KernelInterface[Any],
    coords: Tensor,
    parts: int,
    constants: Mapping[str, Any],
    *arguments: Tensor | int,
    **flags: bool,
) -> None:
    """Run a program over blocks of points, the slow axis in so many parts."""
    blocks = triton.cdiv(len(coords), constants["BLOCK"])
    if blocks == 0:
        return
    dense = (a.detach().contiguous() if isinstance(a, Tensor) else a for a in arguments)
    with torch.cuda.device_of(coords):
        # Sums of products may be fused; positions are, in the program's own words.
        program[blocks, parts](*dense, **constants, **flags, enable_fp_fusion=True)
