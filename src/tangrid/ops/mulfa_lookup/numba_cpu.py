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

import hashlib
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from numba import njit

from tangrid.ops import loops
from tangrid.ops.grid_lookup import numba_cpu as grid_loops
from tangrid.ops.grid_lookup.numba_cpu import BLOCK
from tangrid.ops.loops import INLINE, OUTER, pointer
from tangrid.ops.mulfa_lookup import (
    filtering,
    first_layer,
    lanes,
    memory,
    normalising,
    waves,
)
from tangrid.ops.mulfa_lookup.filtering import (
    filter_at_corners,
    first_layer_grads,
    gates_at_corners,
    gates_vjp,
    gather,
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
    WIDTH,
)
from tangrid.ops.mulfa_lookup.memory import (
    TILE,
    Sizes,
    flush,
    pointers,
    sizes,
    sum_pointers,
)
from tangrid.ops.mulfa_lookup.normalising import LIN_ADD, NONE, pull_weights, weigh
from tangrid.ops.mulfa_lookup.waves import fill_waves

_ONE = np.float32(1)


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
def _fill_linear(i, t, n, p, none):
    for corner in range(n.corners):
        value = _ONE if none else p.lambdas[corner * BLOCK + i]
        for output in range(n.outputs):
            p.linear[t * n.scalars + output * n.corners + corner] = value


@typing.no_type_check
@njit(**INLINE)
def _forward_points(n, p, plan, count, stride, out):
    normaliser, epsilon = plan.normaliser, plan.epsilon
    none = normaliser == NONE
    unit = np.float32(0) if none else _ONE
    affine = none or normaliser == LIN_ADD
    for start in range(0, count, TILE):
        some = min(TILE, count - start)
        for t in range(some):
            gather(start + t, t, n, p)
        for t in range(some):
            gates_at_corners(start + t, t, n, p, False)
            filter_at_corners(start + t, t, n, p)
            _fill_linear(start + t, t, n, p, none)
        for t in range(some):
            to = (start + t) * stride
            if affine:
                read_affine(start + t, t, n, p, unit, to, out)
            else:
                raw_values(t, n, p)
                weigh(normaliser, epsilon, t, n, p)
                read(t, n, p, to, out)


@typing.no_type_check
@njit(**INLINE)
def _vjp_points(n, p, s, plan, count, stride, upstream, grad_table, wants):
    normaliser, epsilon = plan.normaliser, plan.epsilon
    # In passes over a few points: within one point, each operation waits for another.
    for start in range(0, count, TILE):
        some = min(TILE, count - start)
        for t in range(some):
            i = start + t
            gates_at_corners(i, t, n, p, True)
            filter_at_corners(i, t, n, p)
            raw_values(t, n, p)
            _fill_linear(i, t, n, p, False)
        for t in range(some):
            weigh(normaliser, epsilon, t, n, p)
        for t in range(some):
            i = start + t
            read_vjp(i, t, n, p, i * stride, upstream, grad_table, wants.table)
        if not (wants.kernel or wants.coords):
            continue
        for t in range(some):
            pull_weights(normaliser, epsilon, t, n, p, wants.coords)
        for t in range(some):
            i = start + t
            mix_vjp(t, n, p, s)
            for layer in range(n.layers - 1, 0, -1):
                gates_vjp(i, t, layer, n, p, s)
                hidden_vjp(t, layer, n, p, s)
            gates_vjp(i, t, 0, n, p, s)
            first_layer_grads(i, n, p)
        if wants.coords:
            for t in range(some):
                for corner in range(n.corners):
                    to = corner * BLOCK + start + t
                    p.linear_grads[to] = p.grad_linear[t * n.corners + corner]


def _entries(stamp: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return `forward` and `vjp`.

    numba renews a cached function when its own file changes, but not when a file with
    functions that it calls does. What a function closes over is part of its name in the
    cache, hence the stamp.
    """

    @typing.no_type_check
    @njit(**OUTER)
    def forward(coords, table, filters, plan, work, out):
        """Read the grid at points."""
        _ = stamp
        num_points = coords.shape[0]
        for level in range(plan.scales.shape[0]):
            fill_waves(coords, filters, plan, level, work.waves)
            p = pointers(work, table, filters, plan, level)
            n = sizes(coords, table, filters, plan, level)
            for start in range(0, num_points, BLOCK):
                count = min(BLOCK, num_points - start)
                enter_block(coords, filters, plan, level, start, count, n, work)
                to = pointer(out, start * out.shape[1] + level * n.channels)
                if _is_usual(2, n):
                    m = _usual(2, n)
                    _forward_points(m, p, plan, count, out.shape[1], to)
                else:
                    _forward_points(n, p, plan, count, out.shape[1], to)

    @typing.no_type_check
    @njit(**OUTER)
    def vjp(
        coords, table, filters, plan, work, sums, grad_out, grad_table, grad_filters,
        grad_coords, first_level, last_level,
    ):  # fmt: skip
        """Add the gradients of some levels; an empty one is not wanted."""
        _ = stamp
        num_points = coords.shape[0]
        stride = grad_out.shape[1]
        wants = Wants(
            grad_coords.shape[0] > 0,
            grad_table.shape[0] > 0,
            grad_filters.offset.shape[0] > 0,
        )
        s = sum_pointers(sums)
        for level in range(first_level, last_level):
            fill_waves(coords, filters, plan, level, work.waves)
            p = pointers(work, table, filters, plan, level)
            n = sizes(coords, table, filters, plan, level)
            to = pointer(grad_table, plan.addresses[level, 0] * n.channels)
            for start in range(0, num_points, BLOCK):
                count = min(BLOCK, num_points - start)
                enter_block(coords, filters, plan, level, start, count, n, work)
                upstream = pointer(grad_out, start * stride + level * n.channels)
                if _is_usual(2, n):
                    m = _usual(2, n)
                    _vjp_points(m, p, s, plan, count, stride, upstream, to, wants)
                else:
                    _vjp_points(n, p, s, plan, count, stride, upstream, to, wants)
                if wants.kernel:
                    first_layer_vjp(work, count, plan.gates, sums)
                    flush(sums, grad_filters, level)
                if wants.coords:
                    coords_vjp(filters, plan, level, start, count, n, work, grad_coords)

    return forward, vjp


def compiled_modules() -> tuple[ModuleType, ...]:
    """Return the other modules whose functions are compiled into this one's."""
    return filtering, first_layer, grid_loops, lanes, loops, memory, normalising, waves


def stamp_of(*modules: ModuleType) -> int:
    """Return a number that changes with the text of modules.

    Args:
        modules: Modules with a file.
    """
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")


forward, vjp = _entries(stamp_of(*compiled_modules()))
