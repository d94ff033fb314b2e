"""What the numba loops take and give, from and to tensors, on one or more threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
from torch import Tensor

from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.mulfa_lookup import by_point, numba_cpu
from tangrid.ops.mulfa_lookup.filters import (
    NORMALISERS,
    FilterKernel,
    KernelSettings,
)
from tangrid.ops.mulfa_lookup.memory import Filters, Plan, new_sums, new_work
from tangrid.ops.mulfa_lookup.normalising import AFFINE
from tangrid.ops.mulfa_lookup.packing import packed, unpacked, whole_lanes

_LEAST_POINTS = 2048
"""Points that are worth a thread of their own."""
_MOST_PULLED = 0.9
"""Share of points with a gradient below which the others are left out."""


class Loops(NamedTuple):
    """The numba implementation.

    Attributes:
        serial: Whether to stay on the calling thread.
    """

    serial: bool

    def forward(
        self,
        coords: Tensor,
        table: Tensor,
        kernel: FilterKernel,
        layout: GridLayout,
        settings: KernelSettings,
    ) -> Tensor:
        """Return what numba reads.

        Args:
            coords: Points in the unit box.
            table: Features of all levels' nodes.
            kernel: Parameters of all levels, or of the coarsest ones.
            layout: Where the nodes are.
            settings: The kernel's settings.
        """
        out = coords.new_empty(len(coords), len(layout.levels) * table.shape[1])
        plan = _plan(coords, kernel, layout, settings)
        points, values, filters = _array(coords), _array(table), packed(kernel, layout)
        features, channels = out.numpy(), table.shape[1]

        def read(first: int, last: int) -> None:
            own = slice(first, last)
            work = new_work(last - first, layout.num_dims, channels, filters, plan)
            numba_cpu.forward(points[own], values, filters, plan, work, features[own])

        _share_out(
            read, len(coords), 1 if self.serial else len(coords) // _LEAST_POINTS
        )
        return out

    def vjp(
        self,
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
        levels, kernels, shape = len(layout.levels), len(kernel.mix), coords.shape
        # Levels without a kernel leave points out where they find them.
        pulled = _pulled(grad_out) if kernels == levels else None
        if pulled is not None:
            coords, grad_out = coords[pulled], grad_out[pulled]
        empty = table.new_empty(0)
        grad_coords = coords.new_zeros(levels if needs[0] else 0, *coords.shape)
        grad_table = grad_into
        if grad_table is None or not needs[1]:
            # Not zeros_like: it copies the order in memory; numba compiles for each.
            grad_table = table.new_zeros(len(table) if needs[1] else 0, table.shape[1])
        filters = packed(kernel, layout)
        wants_kernel = any(needs[2:])
        sums = Filters(
            *(np.zeros((wants_kernel * kernels, a.shape[1])) for a in filters)
        )
        plan = _plan(coords, kernel, layout, settings)
        num_points, channels = len(coords), table.shape[1]
        inputs = (_array(coords), _array(table), filters, plan)
        outputs = (_array(grad_out), grad_table.numpy(), sums, grad_coords.numpy())

        def pull(first: int, last: int) -> None:
            work = new_work(num_points, layout.num_dims, channels, filters, plan)
            numba_cpu.vjp(*inputs, work, new_sums(filters), *outputs, first, last)

        _share_out(pull, levels, 1 if self.serial else levels)
        moves = grad_coords.sum(0) if needs[0] else empty
        if needs[0] and pulled is not None:
            moves = moves.new_zeros(shape).index_copy(0, pulled, moves)
        grads = [empty] * len(kernel)
        if wants_kernel:
            grads = unpacked(sums, kernel, layout)
        return moves, grad_table if needs[1] and grad_into is None else empty, *grads


def _pulled(grad_out: Tensor) -> Tensor | None:
    """Return the points with a gradient, where there are others, as behind a wall."""
    found = grad_out.abs().amax(1).nonzero()[:, 0]
    return found if len(found) < _MOST_PULLED * len(grad_out) else None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _plan(
    coords: Tensor, kernel: FilterKernel, layout: GridLayout, settings: KernelSettings
) -> Plan:
    """Return what the loops must know; waves are by node or, if fewer, by point."""
    layers, gates = kernel.biases.shape[1:]
    # A cell may lie one past the end of its level.
    levels = layout.levels[: len(kernel.projection)]
    nodes = np.array([level.resolution + 1 for level in levels])
    return Plan(
        scales=layout.scales,
        addresses=layout.addresses,
        wave_rows=np.where(nodes <= 2 * len(coords), nodes, 0),
        interpolation=layout.interpolation_code,
        normaliser=NORMALISERS.index(settings.normaliser),
        epsilon=float(settings.epsilon),
        grid_units=settings.units == "grid",
        num_frequencies=settings.num_frequencies,
        layers=layers,
        gates=whole_lanes(gates),
        by_point=_is_by_point(kernel, layout, settings),
    )


def _is_by_point(
    kernel: FilterKernel, layout: GridLayout, settings: KernelSettings
) -> bool:
    layers, gates = kernel.biases.shape[1:]
    is_small = layers == 1 and gates <= by_point.GATES and kernel.mix.shape[1] == 1
    is_affine = NORMALISERS.index(settings.normaliser) in AFFINE
    return is_small and is_affine and layout.interpolation != "nearest"


def _share_out(work: Callable[[int, int], None], count: int, parts: int) -> None:
    """Call work with ranges that make up the whole, on as many threads as numba has."""
    threads = min(numba.get_num_threads(), parts)
    if threads <= 1:
        work(0, count)
        return
    bounds = [count * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(threads) as pool:
        # Going through the results raises what a thread has raised.
        for _ in pool.map(work, bounds[:-1], bounds[1:]):
            pass
