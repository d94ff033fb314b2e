"""MulFAGrid's lookup as numba loops: points in blocks, gates eight at a time.

Gates are separable: ``sin(Omega i + phase)`` follows from sines and cosines along each
axis by the addition theorem, so one table per axis and level, made by rotation once per
call, replaces every sine. The Fourier features and the first, node-independent layer are
computed for a block of points at once. Levels are independent in the backward pass, and
each sums in the order of the points: the bits do not depend on the number of threads.
"""
# Kernels are typed by numba.

import typing

import numpy as np
from numba import njit, prange

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
)
from tangrid.ops.mulfa_lookup.filtering import (
    filter_at_corners,
    gates_at_corners,
    gates_vjp,
    hidden_vjp,
    mix_vjp,
    raw_values,
    read,
    read_affine,
    read_vjp,
)
from tangrid.ops.mulfa_lookup.first_layer import (
    coords_vjp,
    enter_block,
    first_layer_vjp,
)
from tangrid.ops.mulfa_lookup.lanes import (
    INLINE,
    INNER,
    PARALLEL,
    SERIAL,
    WIDTH,
    add,
    load,
    pointer,
    store,
)
from tangrid.ops.mulfa_lookup.memory import (
    Filters,
    Sizes,
    flush,
    new_sums,
    new_work,
    pointers,
)
from tangrid.ops.mulfa_lookup.normalising import (
    LIN_ADD,
    NONE,
    pull_weights,
    weigh,
)
from tangrid.ops.mulfa_lookup.waves import (
    level_waves,
)

_RUN = 16  # blocks
_ONE = np.float32(1)


@typing.no_type_check
@njit(**INLINE)
def _forward_points(n, p, plan, normaliser, count, stride, column, to):
    none = normaliser == NONE
    unit = np.float32(0) if none else _ONE
    affine = none or normaliser == LIN_ADD
    for i in range(count):
        gates_at_corners(i, n, p)
        filter_at_corners(i, n, p)
        for corner in range(n.corners):
            p.linear[corner] = _ONE if none else p.lambdas[corner * BLOCK + i]
        if affine:
            read_affine(i, n, p, unit, i * stride + column, to)
        else:
            raw_values(n, p)
            weigh(normaliser, plan.epsilon, n, p)
            read(i, n, p, i * stride + column, to)


@typing.no_type_check
@njit(**INNER)
def _forward_block(work, waves, own, filters, plan, level, n, count, column, out):
    p = pointers(work, waves, own, filters, level)
    stride = out.shape[1]
    to = pointer(out)
    none = plan.normaliser == NONE
    if n.layers == 1 and n.gates == 8 and n.corners == 4:
        m = Sizes(2, 1, 8, n.outputs, n.channels, 4, n.rows)
        _forward_points(m, p, plan, plan.normaliser, count, stride, column, to)
    else:
        _forward_points(n, p, plan, plan.normaliser, count, stride, column, to)


@typing.no_type_check
@njit(**INNER)
def _forward_run(coords, table, filters, plan, waves, first_block, last_block, out):
    dims, channels = coords.shape[1], table.shape[1]
    work = new_work(dims, channels, filters, plan)
    for level in range(plan.scales.shape[0]):
        address = plan.addresses[level]
        own = table[address[0] : address[0] + address[1]]
        own_waves = waves[plan.waves[level, 0] :]
        for block in range(first_block, last_block):
            start = block * BLOCK
            count = min(BLOCK, coords.shape[0] - start)
            corners = enter_block(coords, filters, plan, level, start, count, work)
            n = Sizes(
                dims, plan.layers, plan.gates, filters.offset.shape[1], channels,
                corners, plan.waves[level, 1],
            )  # fmt: skip
            _forward_block(
                work, own_waves, own, filters, plan, level, n, count, level * channels,
                out[start : start + count],
            )  # fmt: skip


@typing.no_type_check
@njit(**SERIAL)
def forward_serial(coords, table, filters, plan, waves, out):
    """Read the grid on the calling thread."""
    for level in range(plan.scales.shape[0]):
        level_waves(coords, filters, plan, level, waves)
    blocks = (coords.shape[0] + BLOCK - 1) // BLOCK
    _forward_run(coords, table, filters, plan, waves, 0, blocks, out)


@typing.no_type_check
@njit(**PARALLEL)
def forward_parallel(coords, table, filters, plan, waves, out):
    """Read the grid with numba's threads, a run of blocks on each."""
    for level in prange(plan.scales.shape[0]):
        level_waves(coords, filters, plan, level, waves)
    blocks = (coords.shape[0] + BLOCK - 1) // BLOCK
    for run in prange((blocks + _RUN - 1) // _RUN):
        last = min((run + 1) * _RUN, blocks)
        _forward_run(coords, table, filters, plan, waves, run * _RUN, last, out)


@typing.no_type_check
@njit(**INLINE)
def _vjp_points(
    n,
    p,
    s,
    plan,
    count,
    stride,
    column,
    upstream,
    grad_table,
    wants_table,
    beyond_table,
):
    for i in range(count):
        gates_at_corners(i, n, p)
        filter_at_corners(i, n, p)
        for corner in range(n.corners):
            p.linear[corner] = p.lambdas[corner * BLOCK + i]
            p.grad_linear[corner] = np.float32(0)
        raw_values(n, p)
        weigh(plan.normaliser, plan.epsilon, n, p)
        read_vjp(i, n, p, i * stride + column, upstream, grad_table, wants_table)
        if not beyond_table:
            continue
        pull_weights(plan.normaliser, plan.epsilon, n, p)
        for corner in range(n.corners):
            p.linear_grads[corner * BLOCK + i] = p.grad_linear[corner]
        mix_vjp(n, p, s)
        for layer in range(n.layers - 1, 0, -1):
            gates_vjp(i, layer, n, p, s)
            hidden_vjp(layer, n, p, s)
        gates_vjp(i, 0, n, p, s)
        for chunk in range(0, n.gates, WIDTH):
            grad = load(p.pulled, chunk)
            for at in range(chunk + n.gates, n.corners * n.gates, n.gates):
                grad = add(grad, load(p.pulled, at))
            store(p.first_grads, i * n.gates + chunk, grad)


@typing.no_type_check
@njit(**INNER)
def _vjp_block(
    work, waves, own, filters, plan, level, n, count, column, grad_out, grad_table, sums,
    beyond_table,
):  # fmt: skip
    p = pointers(work, waves, own, filters, level)
    stride = grad_out.shape[1]
    upstream = pointer(grad_out)
    wants_table = grad_table.shape[0] > 0
    grad_table = pointer(grad_table)
    s = Filters(
        pointer(sums.projection), pointer(sums.hidden), pointer(sums.hidden_turned),
        pointer(sums.biases), pointer(sums.frequencies), pointer(sums.phases),
        pointer(sums.mix), pointer(sums.offset),
    )  # fmt: skip
    if n.layers == 1 and n.gates == 8 and n.corners == 4:
        m = Sizes(2, 1, 8, n.outputs, n.channels, 4, n.rows)
        _vjp_points(
            m,
            p,
            s,
            plan,
            count,
            stride,
            column,
            upstream,
            grad_table,
            wants_table,
            beyond_table,
        )
    else:
        _vjp_points(
            n,
            p,
            s,
            plan,
            count,
            stride,
            column,
            upstream,
            grad_table,
            wants_table,
            beyond_table,
        )


@typing.no_type_check
@njit(**INNER)
def _vjp_level(
    coords, table, filters, plan, level, waves, grad_out, grad_table, grad_filters,
    grad_coords,
):  # fmt: skip
    level_waves(coords, filters, plan, level, waves)
    dims, channels = coords.shape[1], table.shape[1]
    inputs = 2 * dims * plan.num_frequencies
    work = new_work(dims, channels, filters, plan)
    sums = new_sums(dims, filters, plan)
    address = plan.addresses[level]
    own = table[address[0] : address[0] + address[1]]
    own_grad = grad_table
    if grad_table.shape[0] > 0:
        own_grad = grad_table[address[0] : address[0] + address[1]]
    own_waves = waves[plan.waves[level, 0] :]
    wants_coords = grad_coords.shape[0] > 0
    wants_kernel = grad_filters.offset.shape[0] > 0
    for start in range(0, coords.shape[0], BLOCK):
        count = min(BLOCK, coords.shape[0] - start)
        corners = enter_block(coords, filters, plan, level, start, count, work)
        n = Sizes(
            dims, plan.layers, plan.gates, filters.offset.shape[1], channels, corners,
            plan.waves[level, 1],
        )  # fmt: skip
        _vjp_block(
            work, own_waves, own, filters, plan, level, n, count, level * channels,
            grad_out[start : start + count], own_grad, sums,
            wants_kernel or wants_coords,
        )  # fmt: skip
        if wants_kernel:
            first_layer_vjp(
                work.features, count, inputs, plan.gates, work.first_grads, sums
            )
            flush(sums.projection, grad_filters.projection[level])
            flush(sums.hidden, grad_filters.hidden[level])
            flush(sums.biases, grad_filters.biases[level])
            flush(sums.frequencies, grad_filters.frequencies[level])
            flush(sums.phases, grad_filters.phases[level])
            flush(sums.mix, grad_filters.mix[level])
            flush(sums.offset, grad_filters.offset[level])
        if wants_coords:
            coords_vjp(
                count, corners, plan, plan.scales[level, 0], filters.projection[level],
                work, grad_coords[level, start : start + count],
            )  # fmt: skip


@typing.no_type_check
@njit(**SERIAL)
def vjp_serial(
    coords, table, filters, plan, waves, grad_out, grad_table, grad_filters, grad_coords
):
    """Add all gradients on the calling thread, one level after the other."""
    for level in range(plan.scales.shape[0]):
        _vjp_level(
            coords, table, filters, plan, level, waves, grad_out, grad_table,
            grad_filters, grad_coords,
        )  # fmt: skip


@typing.no_type_check
@njit(**PARALLEL)
def vjp_parallel(
    coords, table, filters, plan, waves, grad_out, grad_table, grad_filters, grad_coords
):
    """Add all gradients with numba's threads, a level on each."""
    for level in prange(plan.scales.shape[0]):
        _vjp_level(
            coords, table, filters, plan, level, waves, grad_out, grad_table,
            grad_filters, grad_coords,
        )  # fmt: skip
