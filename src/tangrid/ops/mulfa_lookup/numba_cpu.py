"""MulFAGrid's lookup as numba loops: points in blocks, gates eight at a time.

Gates are separable: ``sin(Omega i + phase)`` follows from sines and cosines along each
axis by the addition theorem, so one table per axis and level, made by rotation once per
call, replaces every sine. What does not depend on the node is computed for a block of
points at once.

Both functions run on the calling thread and release the interpreter lock. Points are
independent going forward, levels going backward, so that a caller may share them out to
threads: every sum is taken in the order of the points whatever their number.
"""
# Kernels are typed by numba.

import typing
from collections.abc import Callable
from types import ModuleType

import numpy as np
from numba import njit

from tangrid.ops import lanes, loops, wide_lanes
from tangrid.ops.grid_lookup import channels as grid_channels
from tangrid.ops.grid_lookup import numba_cpu as grid_loops
from tangrid.ops.grid_lookup.numba_cpu import BLOCK
from tangrid.ops.lanes import (
    WIDTH,
)
from tangrid.ops.loops import INLINE, INNER, OUTER, pointer, stamp_of
from tangrid.ops.mulfa_lookup import (
    by_point,
    filtering,
    first_layer,
    memory,
    normalising,
    paired,
    reading,
    waves,
)
from tangrid.ops.mulfa_lookup.by_point import pull_by_point, read_by_point
from tangrid.ops.mulfa_lookup.filtering import (
    filter_at_corners,
    first_layer_grads,
    gates_at_corners,
    gates_vjp,
    hidden_vjp,
    mix_vjp,
    raw_values,
)
from tangrid.ops.mulfa_lookup.first_layer import (
    coords_vjp,
    enter_block,
    enter_filters,
    first_layer_vjp,
)
from tangrid.ops.mulfa_lookup.memory import (
    TILE,
    Sizes,
    flush,
    lengths,
    level_of,
    parameters,
    pointers,
    sizes,
)
from tangrid.ops.mulfa_lookup.normalising import (
    AFFINE,
    LIN_ADD,
    LIN_CENTRED,
    pull_weights,
    weigh,
)
from tangrid.ops.mulfa_lookup.paired import (
    add_pairs,
    centre_changes,
    is_paired,
    pull_lambdas,
    pull_pairs,
    read_pairs,
)
from tangrid.ops.mulfa_lookup.reading import (
    offset_vjp,
    read,
    read_affine,
    read_affine_vjp,
    read_vjp,
    scale_grads,
    scale_nodes,
)
from tangrid.ops.mulfa_lookup.waves import fill_waves


class Wants(typing.NamedTuple):
    """Which gradients are wanted."""

    coords: bool
    table: bool
    kernel: bool


@typing.no_type_check
@njit(**INLINE)
def _usual(dims, n):
    """Return the sizes, with those of the usual kernel known to the compiler."""
    return Sizes(dims, 1, WIDTH, n.outputs, n.channels, 1 << dims, n.scalars, n.rows)


@typing.no_type_check
@njit(**INLINE)
def _is_usual(dims, n):
    return n.layers == 1 and n.gates == WIDTH and n.corners == 1 << dims


@typing.no_type_check
@njit(**INLINE)
def _form(normaliser):
    """Return what stands beside phi in affine weights, and whether they are centred."""
    centred = normaliser == LIN_CENTRED
    return np.float32(centred or normaliser == LIN_ADD), centred


@typing.no_type_check
@njit(**INLINE)
def _forward_points(n, p, plan, count, stride, out):
    normaliser = plan.normaliser
    affine = normaliser in AFFINE
    unit, centred = _form(normaliser)
    if affine and is_paired(n):
        read_pairs(count, n, p, unit, centred, stride, out)
        return
    if affine:
        scale_nodes(count, n, p, unit, centred)
    for i in range(count):
        gates_at_corners(i, 0, n, p, False)
        filter_at_corners(i, 0, n, p)
        if affine:
            read_affine(i, n, p, unit, centred, i * stride, out)
        else:
            raw_values(0, n, p)
            weigh(normaliser, plan.epsilon, i, 0, n, p)
            read(i, 0, n, p, i * stride, out)


@typing.no_type_check
@njit(**INLINE)
def _vjp_points(n, p, s, plan, count, stride, upstream, grad_table, wants):
    normaliser = plan.normaliser
    affine = normaliser in AFFINE
    unit, centred = _form(normaliser)
    if affine and is_paired(n):
        pull_pairs(count, n, p, s, unit, centred, stride, upstream)
        if centred:
            centre_changes(count, n, p, wants.coords)
        elif wants.coords:
            pull_lambdas(count, n, p, unit)
        if wants.table:
            add_pairs(count, n, p, grad_table)
        return
    if affine:
        scale_nodes(count, n, p, unit, centred)
        scale_grads(count, stride, n, p, upstream)
    # In passes over a few points: within one point, each operation waits for another.
    for start in range(0, count, TILE):
        some = min(TILE, count - start)
        for t in range(some):
            gates_at_corners(start + t, t, n, p, True)
            filter_at_corners(start + t, t, n, p)
            raw_values(t, n, p)
        for t in range(some):
            i, at = start + t, (start + t) * stride
            if affine:
                read_affine_vjp(
                    i, t, n, p, unit, centred, at, upstream, grad_table, wants
                )
            else:
                weigh(normaliser, plan.epsilon, i, t, n, p)
                read_vjp(i, t, n, p, at, upstream, grad_table, wants)
                pull_weights(normaliser, plan.epsilon, i, t, n, p)
        if not (wants.kernel or wants.coords):
            continue
        for t in range(some):
            mix_vjp(start + t, t, n, p, s)
            for layer in range(n.layers - 1, 0, -1):
                gates_vjp(start + t, t, layer, n, p, s)
                hidden_vjp(t, layer, n, p, s)
            gates_vjp(start + t, t, 0, n, p, s)
            first_layer_grads(start + t, n, p)
    offset_vjp(count, n, p, s)


@typing.no_type_check
@njit(**INLINE)
def _read_block(n, p, plan, count, inputs, stride, out):
    if plan.by_point:
        unit, centred = _form(plan.normaliser)
        read_by_point(count, inputs, n, p, unit, centred, stride, out)
        return
    enter_filters(count + -count % WIDTH, inputs, n, p)
    if _is_usual(2, n):
        _forward_points(_usual(2, n), p, plan, count, stride, out)
    elif _is_usual(3, n):
        _forward_points(_usual(3, n), p, plan, count, stride, out)
    else:
        _forward_points(n, p, plan, count, stride, out)


@typing.no_type_check
@njit(**INLINE)
def _pull_block(n, p, s, plan, count, inputs, stride, upstream, to, wants):
    if plan.by_point:
        unit, centred = _form(plan.normaliser)
        pull_by_point(
            count, inputs, n, p, s, unit, centred, stride, upstream, to, wants
        )
        return
    enter_filters(count + -count % WIDTH, inputs, n, p)
    if _is_usual(2, n):
        m = _usual(2, n)
        _vjp_points(m, p, s, plan, count, stride, upstream, to, wants)
    elif _is_usual(3, n):
        m = _usual(3, n)
        _vjp_points(m, p, s, plan, count, stride, upstream, to, wants)
    else:
        _vjp_points(n, p, s, plan, count, stride, upstream, to, wants)
    if wants.kernel:
        first_layer_vjp(count, inputs, n.gates, p, s)


@typing.no_type_check
@njit(**INNER)
def _pull_plain(
    coords, table, plan, work, grad_out, grad_table, grad_coords, level, wants
):
    """Add the gradients of a level without a kernel."""
    if wants.table:
        grid_loops.table_vjp_level(
            coords, grad_out, coords[:0], plan.scales, plan.addresses,
            plan.interpolation, level, work.grid, grad_table,
        )  # fmt: skip
    for block in range((coords.shape[0] + BLOCK - 1) // BLOCK if wants.coords else 0):
        grid_loops.coords_vjp_block(
            coords, table, grad_out, plan.scales, plan.addresses, plan.interpolation,
            level, level + 1, block, work.grid, grad_coords[level],
        )  # fmt: skip


def _entries(stamp: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what Python calls, under a name in the cache that the stamp is part of."""

    @typing.no_type_check
    @njit(**OUTER)
    def forward(coords, table, filters, plan, work, out):
        """Read the grid at points."""
        _ = stamp
        num_points, points = coords.shape[0], pointer(coords, 0)
        kernels, inputs = filters.projection.shape
        inputs //= plan.gates
        for level in range(kernels):
            fill_waves(coords, filters, plan, level, work.waves)
            p = pointers(work, table, filters, plan, level)
            n = sizes(coords, table, filters, plan, level)
            own = level_of(plan, level)
            for start in range(0, num_points, BLOCK):
                count = min(BLOCK, num_points - start)
                enter_block(points, start, count, own, n, p)
                to = pointer(out, start * out.shape[1] + level * n.channels)
                _read_block(n, p, plan, count, inputs, out.shape[1], to)
        if kernels < plan.scales.shape[0]:
            for block in range((num_points + BLOCK - 1) // BLOCK):
                grid_loops.forward_block(
                    coords, table, coords[:0], plan.scales, plan.addresses,
                    plan.interpolation, kernels, block, work.grid, out,
                )  # fmt: skip

    @typing.no_type_check
    @njit(**OUTER)
    def vjp(
        coords, table, filters, plan, work, sums, grad_out, grad_table, grad_filters,
        grad_coords, first_level, last_level,
    ):  # fmt: skip
        """Add the gradients of some levels; an empty one is not wanted."""
        _ = stamp
        num_points, points = coords.shape[0], pointer(coords, 0)
        stride = grad_out.shape[1]
        wants = Wants(
            grad_coords.shape[0] > 0,
            grad_table.shape[0] > 0,
            grad_filters.offset.shape[0] > 0,
        )
        s, counts = parameters(sums, 0), lengths(sums)
        inputs = counts.projection // plan.gates
        for level in range(first_level, last_level):
            if level >= filters.projection.shape[0]:
                _pull_plain(
                    coords, table, plan, work, grad_out, grad_table, grad_coords, level,
                    wants,
                )  # fmt: skip
                continue
            fill_waves(coords, filters, plan, level, work.waves)
            p = pointers(work, table, filters, plan, level)
            n = sizes(coords, table, filters, plan, level)
            own = level_of(plan, level)
            to = pointer(grad_table, plan.addresses[level, 0] * n.channels)
            totals = parameters(grad_filters, level)
            for start in range(0, num_points, BLOCK):
                count = min(BLOCK, num_points - start)
                enter_block(points, start, count, own, n, p)
                upstream = pointer(grad_out, start * stride + level * n.channels)
                _pull_block(n, p, s, plan, count, inputs, stride, upstream, to, wants)
                if wants.kernel:
                    flush(s, totals, counts)
                if wants.coords:
                    coords_vjp(filters, plan, level, start, count, n, work, grad_coords)

    return forward, vjp


def compiled_modules() -> tuple[ModuleType, ...]:
    """Return the other modules whose functions are compiled into this one's."""
    return (
        by_point,
        filtering,
        first_layer,
        grid_channels,
        grid_loops,
        lanes,
        loops,
        memory,
        normalising,
        paired,
        reading,
        waves,
        wide_lanes,
    )


forward, vjp = _entries(stamp_of(*compiled_modules()))
