"""What the Triton programs take and give, from and to tensors.

The table's gradient is summed by atomic additions, in an order that differs from run to
run, unless `torch.use_deterministic_algorithms` asks for one order: then every addition
is listed, and PyTorch sorts them. All else has one order always.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.jit import KernelInterface

from tangrid.ops.grid_lookup import triton_door as grid_door
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.mulfa_lookup import triton_gpu
from tangrid.ops.mulfa_lookup.blocks import block_shape
from tangrid.ops.mulfa_lookup.filters import FilterKernel, KernelSettings

_MOST_SUMS = 2**24
"""Numbers that blocks of points write for the kernel's parameters before they are
added up, which bounds the memory for them to 64 MiB."""

_MOST_LISTED = 2**22
"""Additions to the table that are listed before they are made: 64 MiB of them, if it
has two channels."""


def forward(
    coords: Tensor,
    table: Tensor,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
) -> Tensor:
    """Return what the programs read.

    Args:
        coords: Points in the unit box.
        table: Features of all levels' nodes.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: Where the nodes are.
        settings: The kernel's settings.
    """
    levels, channels = len(layout.levels), table.shape[1]
    out = table.new_empty(len(coords), levels * channels)
    launch = _Launch(coords, table, kernel, layout, settings)
    launch.run(triton_gpu.read, launch.coords, out, len(coords), out.shape[1])
    plain = _plain_levels(layout, kernel)
    if plain is not None:
        read = grid_door.read(coords, table, plain)
        out[:, len(kernel.projection) * channels :] = read
    return out


def vjp(
    grad_out: Tensor,
    coords: Tensor,
    table: Tensor,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    *,
    grad_into: Tensor | None,
    needs: tuple[bool, ...],
) -> tuple[Tensor, ...]:
    """Return gradients of coordinates, table and kernel; empty where not needed.

    Args:
        grad_out: Gradient of the features.
        coords: Points in the unit box.
        table: Features of all levels' nodes.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: Where the nodes are.
        settings: The kernel's settings.
        grad_into: Buffer that takes the table's gradient, which is then empty too.
        needs: Which of coordinates, table and kernel need a gradient.
    """
    launch = _Launch(coords, table, kernel, layout, settings)
    grad_table = _buffer(table, grad_into) if needs[1] else None
    wants = _Wants(needs[0], grad_table, any(needs[2:]))
    moves, of_kernel = _pull(launch, grad_out, wants)
    plain = _plain_levels(layout, kernel)
    if plain is not None:
        rest = grad_out[:, len(kernel.projection) * table.shape[1] :]
        if needs[0]:
            moves = moves + grid_door.pull(rest, coords, table, plain)
        if grad_table is not None:
            grid_door.push(rest, coords, table, plain, grad_table)
    empty = table.new_empty(0)
    if grad_table is None or grad_table is grad_into:
        return moves, empty, *of_kernel
    if grad_into is None:
        return moves, grad_table.to(table.dtype), *of_kernel
    grad_into.add_(grad_table)
    return moves, empty, *of_kernel


def _buffer(table: Tensor, grad_into: Tensor | None) -> Tensor:
    """Return where programs may add to the table's gradient."""
    of_sums = torch.float32
    if (
        grad_into is not None
        and grad_into.dtype == of_sums
        and grad_into.is_contiguous()
    ):
        return grad_into
    return table.new_zeros(table.shape, dtype=of_sums)


def _plain_levels(layout: GridLayout, kernel: FilterKernel) -> GridLayout | None:
    """Return the levels without a kernel, in the rows of the whole table."""
    levels = layout.levels[len(kernel.projection) :]
    if not levels:
        return None
    return GridLayout(layout.num_dims, layout.interpolation, levels)


class _Wants(NamedTuple):
    """Which gradients are wanted, and where the table's is added."""

    coords: bool
    table: Tensor | None
    kernel: bool

    @property
    def is_listed(self) -> bool:
        """Whether additions to the table are listed, to be made in one order."""
        return self.table is not None and torch.are_deterministic_algorithms_enabled()


class _Launch:
    """What all launches of one call have in common."""

    def __init__(
        self,
        coords: Tensor,
        table: Tensor,
        kernel: FilterKernel,
        layout: GridLayout,
        settings: KernelSettings,
    ) -> None:
        self.coords = coords.detach().contiguous()
        self.table = table.detach().contiguous()
        self.kernel = FilterKernel(*(p.detach().contiguous() for p in kernel))
        self.epsilon = settings.epsilon
        self.corners = 1 if layout.interpolation == "nearest" else 2**layout.num_dims
        self.grid = grid_door.grid_on(coords.device, layout)
        shape = block_shape(kernel)
        storages = {level.storage for level in layout.levels}
        self.constants = {
            "DIMS": layout.num_dims,
            "CHANNELS": table.shape[1],
            "PADDED": triton.next_power_of_2(table.shape[1]),
            "INTERPOLATION": layout.interpolation_code,
            "HASHED": "hashed" in storages,
            "TILED": "tiled" in storages,
            "GRID_UNITS": settings.units == "grid",
            "OCTAVES": settings.num_frequencies,
            "NUM_GATES": kernel.mix.shape[2],
            "GATES": shape.gates,
            "LAYERS": kernel.biases.shape[1],
            "NUM_OUTPUTS": kernel.mix.shape[1],
            "OUTPUTS": shape.outputs,
            "NORMALISER": settings.normaliser,
            "BLOCK": shape.points,
            "num_warps": shape.warps,
        }

    def run(
        self,
        program: KernelInterface[Any],
        coords: Tensor,
        *arguments: Tensor | int,
        **flags: int,
    ) -> None:
        """Run a program over blocks of points and levels with a kernel."""
        blocks = triton.cdiv(len(coords), self.constants["BLOCK"])
        if blocks == 0:
            return
        arrays = (self.table, *self.kernel, *self.grid)
        with torch.cuda.device_of(coords):
            program[blocks, len(self.kernel.projection)](
                *(coords, *arrays, *arguments, self.epsilon),
                **self.constants,
                **flags,
                enable_fp_fusion=True,
            )


def _pull(
    launch: _Launch, grad_out: Tensor, wants: _Wants
) -> tuple[Tensor, list[Tensor]]:
    """Return gradients of coordinates and kernel; add that of the table."""
    coords, kernel, empty = launch.coords, launch.kernel, launch.table.new_empty(0)
    sizes = [parameter.numel() for parameter in kernel]
    block = launch.constants["BLOCK"]
    some = _points_at_once(launch, sum(sizes), wants)
    total = torch.zeros(sum(sizes), dtype=torch.float64, device=coords.device)
    moves = []
    for own, upstream in zip(coords.split(some), grad_out.split(some), strict=True):
        rows = -(-len(own) // block) if wants.kernel else 0
        sums = coords.new_empty(rows, sum(sizes))
        places = coords.new_empty(
            len(kernel.projection) if wants.coords else 0, *own.shape
        )
        _pull_some(launch, own, upstream, sums, sizes, places, wants)
        moves.append(places.sum(0) if wants.coords else empty)
        total += sums.sum(0, dtype=torch.float64)
    parts = total.split(sizes)
    of_kernel = [
        part.view(parameter.shape).to(parameter.dtype) if wants.kernel else empty
        for part, parameter in zip(parts, kernel, strict=True)
    ]
    return torch.cat(moves), of_kernel


def _points_at_once(launch: _Launch, num_sums: int, wants: _Wants) -> int:
    """Return how many points the memory is for: whole blocks, or all."""
    count, block = max(len(launch.coords), 1), launch.constants["BLOCK"]
    if wants.kernel:
        count = min(count, max(1, _MOST_SUMS // num_sums) * block)
    if wants.is_listed:
        each = len(launch.kernel.projection) * launch.corners
        count = min(count, max(1, _MOST_LISTED // (each * block)) * block)
    return count


def _pull_some(
    launch: _Launch,
    coords: Tensor,
    grad_out: Tensor,
    sums: Tensor,
    sizes: list[int],
    places: Tensor,
    wants: _Wants,
) -> None:
    """Run the program on some of the points."""
    is_listed = wants.is_listed
    count = len(launch.kernel.projection) * launch.corners * len(coords)
    rows = torch.empty(count * is_listed, dtype=torch.int64, device=coords.device)
    to_table = launch.table if wants.table is None else wants.table
    if is_listed:
        to_table = coords.new_empty(count, launch.table.shape[1])
    mode = triton_gpu.LISTED if is_listed else triton_gpu.ADDED
    launch.run(
        triton_gpu.pull, coords, grad_out.contiguous(), to_table, rows, places,
        *sums.split(sizes, dim=1), len(coords), grad_out.shape[1],
        sums.shape[1],
        TABLE=0 if wants.table is None else mode.value,
        COORDS=wants.coords, KERNEL=wants.kernel,
    )  # fmt: skip
    if wants.table is not None and is_listed:
        # Sorted by PyTorch, with a stable sort, where one order is asked for.
        wants.table.index_put_((rows,), to_table, accumulate=True)
