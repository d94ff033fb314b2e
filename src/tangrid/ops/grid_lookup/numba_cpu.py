"""Grid lookup as numba loops over blocks of points that stay in the L1 cache.

Each block first finds, level by level and axis by axis, the table row and the weight of
every corner, in loops the compiler vectorises; then it gathers or scatters. Directions,
if there are any rows of them, turn weights into their derivatives along them. Functions
take NumPy views of float32 tensors and write into given outputs. The serial forms
release the interpreter lock, so that a training loop runs one per thread.
"""
# Kernels are typed by numba.

import typing
from collections.abc import Callable
from types import ModuleType

import numpy as np
from numba import njit, prange

from tangrid.ops import lanes, loops, wide_lanes
from tangrid.ops.grid_lookup import channels as channel_loops
from tangrid.ops.grid_lookup.channels import BLOCK, dots_of, gather, scatter
from tangrid.ops.lanes import fma
from tangrid.ops.loops import (
    INLINE,
    INNER,
    OUTER,
    PARALLEL,
    advance,
    pointer,
    stamp_of,
)

DENSE, HASHED, TILED = 0, 1, 2
NEAREST, LINEAR, SMOOTHSTEP, QUINTIC = 0, 1, 2, 3

_ONE = np.float32(1)


class Places(typing.NamedTuple):
    """Addresses of what a block of points needs at one level, point by point."""

    rows: typing.Any  # [corners]
    weights: typing.Any  # [corners]
    points: typing.Any  # [d]
    terms: typing.Any  # [d, 2]: what either side adds to the row
    pairs: typing.Any  # [d, 2]: weights of either side
    slopes: typing.Any  # [d]
    gradients: typing.Any  # [d]
    products: typing.Any  # [1]


@typing.no_type_check
@njit(**OUTER)
def new_scratch(num_dims):
    """Return memory for what `Places` names."""
    corners = 1 << num_dims
    return (
        np.empty(corners * BLOCK, np.uint32),
        np.empty(corners * BLOCK, np.float32),
        np.empty(num_dims * BLOCK, np.float32),
        np.empty(num_dims * 2 * BLOCK, np.uint32),
        np.empty(num_dims * 2 * BLOCK, np.float32),
        np.empty(num_dims * BLOCK, np.float32),
        np.empty(num_dims * BLOCK, np.float32),
        np.empty(BLOCK, np.float32),
    )


@typing.no_type_check
@njit(**INLINE)
def places_in(scratch):
    """Return the addresses of scratch memory, which must be the caller's argument."""
    return Places(
        pointer(scratch[0], 0),
        pointer(scratch[1], 0),
        pointer(scratch[2], 0),
        pointer(scratch[3], 0),
        pointer(scratch[4], 0),
        pointer(scratch[5], 0),
        pointer(scratch[6], 0),
        pointer(scratch[7], 0),
    )


@typing.no_type_check
@njit(**INNER)
def load_points(coords, num_dims, start, count, points):
    """Copy a block of coordinates axis by axis, so that later loops are contiguous."""
    for i in range(count):
        for axis in range(num_dims):
            points[axis * BLOCK + i] = coords[(start + i) * num_dims + axis]


# The next functions each see plain addresses and one loop: that is what the compiler
# vectorises.


@typing.no_type_check
@njit(**INNER)
def _cells(x, count, scale, shift, last, stride, low, high, fraction):
    for i in range(count):
        position = fma(x[i], scale, shift)
        # Truncation is floor here: positions are not negative inside the box.
        cell = min(np.int32(position), last)
        term = np.uint32(np.uint32(cell) * stride)
        low[i] = term
        high[i] = np.uint32(term + stride)
        fraction[i] = position - np.float32(cell)


@typing.no_type_check
@njit(**INNER)
def _fractions(t, count, scale, interpolation, lower, slope):
    if interpolation == SMOOTHSTEP:
        for i in range(count):
            slope[i] = scale * np.float32(6) * t[i] * (_ONE - t[i])
            t[i] = t[i] * t[i] * (np.float32(3) - np.float32(2) * t[i])
    elif interpolation == QUINTIC:
        for i in range(count):
            rest = t[i] * (t[i] - _ONE)
            inner = t[i] * (t[i] * np.float32(6) - np.float32(15)) + np.float32(10)
            slope[i] = scale * np.float32(30) * rest * rest
            t[i] = t[i] * t[i] * t[i] * inner
    else:
        for i in range(count):
            slope[i] = scale
    for i in range(count):
        lower[i] = _ONE - t[i]


@typing.no_type_check
@njit(**INNER)
def _copy(count, source, target):
    for i in range(count):
        target[i] = source[i]


@typing.no_type_check
@njit(**INNER)
def _multiply(count, factor, product):
    for i in range(count):
        product[i] *= factor[i]


@typing.no_type_check
@njit(**INNER)
def _exclusive_or(count, term, row):
    for i in range(count):
        row[i] ^= term[i]


@typing.no_type_check
@njit(**INNER)
def _add(count, term, row):
    for i in range(count):
        row[i] = np.uint32(row[i] + term[i])


@typing.no_type_check
@njit(**INNER)
def _wrap(count, storage, size, row):
    if storage == HASHED:
        mask = np.uint32(size - np.uint32(1))
        for i in range(count):
            row[i] &= mask
    elif storage == TILED:
        for i in range(count):
            row[i] %= size
    else:
        # One past the end wraps; the minimum keeps a point that is not in the box
        # from reading outside the table.
        last = np.uint32(size - np.uint32(1))
        for i in range(count):
            index = row[i]
            index = np.uint32(index - size) if index >= size else index
            row[i] = min(index, last)


@typing.no_type_check
@njit(**INLINE)
def _of(numbers, axis, side):
    return advance(numbers, (2 * axis + side) * BLOCK)


@typing.no_type_check
@njit(**INNER)
def locate(count, num_dims, scale, shift, address, interpolation, places):
    """Find the rows (within the level) and weights of the corners around each point.

    Returns:
        The number of corners; the results stand in the places.
    """
    storage = address[2]
    size = np.uint32(address[1])
    last = np.int32(address[3]) if address[3] >= 0 else np.int32(2147483647)
    corners = 1 if interpolation == NEAREST else 1 << num_dims
    terms, pairs = places.terms, places.pairs
    for axis in range(num_dims):
        _cells(
            advance(places.points, axis * BLOCK), count, scale, shift, last,
            np.uint32(address[4 + axis]), _of(terms, axis, 0), _of(terms, axis, 1),
            _of(pairs, axis, 1),
        )  # fmt: skip
        _fractions(
            _of(pairs, axis, 1), count, scale, interpolation, _of(pairs, axis, 0),
            advance(places.slopes, axis * BLOCK),
        )  # fmt: skip
    for corner in range(corners):
        rows = advance(places.rows, corner * BLOCK)
        weights = advance(places.weights, corner * BLOCK)
        _copy(count, _of(terms, 0, corner & 1), rows)
        _copy(count, _of(pairs, 0, corner & 1), weights)
        for axis in range(1, num_dims):
            bit = (corner >> axis) & 1
            if storage == HASHED:
                _exclusive_or(count, _of(terms, axis, bit), rows)
            else:
                _add(count, _of(terms, axis, bit), rows)
            _multiply(count, _of(pairs, axis, bit), weights)
        _wrap(count, storage, size, rows)
        if interpolation == NEAREST:
            for i in range(count):
                weights[i] = _ONE
    return corners


@typing.no_type_check
@njit(**INNER)
def _differentiate(directions, start, count, num_dims, corners, places):
    """Replace located weights by their derivatives along directions, if any."""
    if directions.shape[0] == 0:
        return
    slopes, product = places.slopes, places.products
    for i in range(count):
        for axis in range(num_dims):
            slopes[axis * BLOCK + i] *= directions[start + i, axis]
    for corner in range(corners):
        change = advance(places.weights, corner * BLOCK)
        for i in range(count):
            product[i], change[i] = _ONE, np.float32(0)
        # The nearest vertex is the only corner, and no weight of it changes.
        for axis in range(num_dims if corners > 1 else 0):
            bit = (corner >> axis) & 1
            sign, slope = np.float32(2 * bit - 1), advance(slopes, axis * BLOCK)
            pair = _of(places.pairs, axis, bit)
            for i in range(count):
                change[i] = change[i] * pair[i] + product[i] * (sign * slope[i])
                product[i] *= pair[i]


@typing.no_type_check
@njit(**INNER)
def forward_block(
    coords, table, directions, scales, addresses, interpolation, first, block, scratch,
    out,
):  # fmt: skip
    """Read the levels from `first` on at one block of points."""
    places = places_in(scratch)
    start = block * BLOCK
    num_dims, channels, stride = coords.shape[1], table.shape[1], out.shape[1]
    count = min(BLOCK, coords.shape[0] - start)
    load_points(pointer(coords, 0), num_dims, start, count, places.points)
    for level in range(first, scales.shape[0]):
        address = pointer(addresses, level * addresses.shape[1])
        corners = locate(
            count, num_dims, scales[level, 0], scales[level, 1], address,
            interpolation, places,
        )  # fmt: skip
        _differentiate(directions, start, count, num_dims, corners, places)
        gather(
            pointer(table, address[0] * channels), channels, count, corners,
            places.rows, places.weights,
            pointer(out, start * stride + level * channels), stride,
        )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def table_vjp_level(
    coords, grad_out, directions, scales, addresses, interpolation, level, scratch,
    grad_table,
):  # fmt: skip
    """Add the gradient of one level's part of the table."""
    places = places_in(scratch)
    num_dims, channels = coords.shape[1], grad_table.shape[1]
    stride = grad_out.shape[1]
    address = pointer(addresses, level * addresses.shape[1])
    own = pointer(grad_table, address[0] * channels)
    for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
        start = block * BLOCK
        count = min(BLOCK, coords.shape[0] - start)
        load_points(pointer(coords, 0), num_dims, start, count, places.points)
        corners = locate(
            count, num_dims, scales[level, 0], scales[level, 1], address,
            interpolation, places,
        )  # fmt: skip
        _differentiate(directions, start, count, num_dims, corners, places)
        scatter(
            own, channels, count, corners, places.rows, places.weights,
            pointer(grad_out, start * stride + level * channels), stride,
        )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def _contract(count, slope, difference, below, above, high, low, gradient):
    for i in range(count):
        gradient[i] += slope[i] * difference[i]
        low[i] = below[i] * low[i] + above[i] * high[i]


@typing.no_type_check
@njit(**INNER)
def _weights_vjp(count, num_dims, places):
    """Add the gradient of coordinates, given that of weights in their place."""
    pairs, difference = places.pairs, places.products
    for axis in range(num_dims - 1, -1, -1):
        # Axes beyond this one are interpolated already.
        for corner in range(1 << axis):
            low = advance(places.weights, corner * BLOCK)
            high = advance(low, BLOCK << axis)
            for i in range(count):
                difference[i] = high[i] - low[i]
            for other in range(axis):
                _multiply(count, _of(pairs, other, (corner >> other) & 1), difference)
            _contract(
                count, advance(places.slopes, axis * BLOCK), difference,
                _of(pairs, axis, 0), _of(pairs, axis, 1), high, low,
                advance(places.gradients, axis * BLOCK),
            )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def coords_vjp_block(
    coords, table, grad_out, scales, addresses, interpolation, first, last, block,
    scratch, grad_coords,
):  # fmt: skip
    """Fill in what levels from `first` to before `last` give one block's gradient."""
    if interpolation == NEAREST:
        return
    places = places_in(scratch)
    start = block * BLOCK
    count = min(BLOCK, coords.shape[0] - start)
    num_dims, channels, stride = coords.shape[1], table.shape[1], grad_out.shape[1]
    load_points(pointer(coords, 0), num_dims, start, count, places.points)
    for k in range(num_dims * BLOCK):
        places.gradients[k] = np.float32(0)
    for level in range(first, last):
        address = pointer(addresses, level * addresses.shape[1])
        own = pointer(table, address[0] * channels)
        corners = locate(
            count, num_dims, scales[level, 0], scales[level, 1], address,
            interpolation, places,
        )  # fmt: skip
        dots_of(
            own, channels, count, corners, places.rows,
            pointer(grad_out, start * stride + level * channels), stride,
            places.weights,
        )  # fmt: skip
        _weights_vjp(count, num_dims, places)
    for i in range(count):
        for axis in range(num_dims):
            grad_coords[start + i, axis] = places.gradients[axis * BLOCK + i]


def compiled_modules() -> tuple[ModuleType, ...]:
    """Return the other modules whose functions are compiled into this one's."""
    return channel_loops, lanes, loops, wide_lanes


def _entries(stamp: int) -> tuple[Callable[..., None], ...]:
    """Return what Python calls, under a name in the cache that the stamp is part of."""

    @typing.no_type_check
    @njit(**OUTER)
    def forward_serial(
        coords, table, directions, scales, addresses, interpolation, out
    ):
        """Read the grid on the calling thread."""
        _ = stamp
        scratch = new_scratch(coords.shape[1])
        for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
            forward_block(
                coords, table, directions, scales, addresses, interpolation, 0, block,
                scratch, out,
            )  # fmt: skip

    @typing.no_type_check
    @njit(**PARALLEL)
    def forward_parallel(
        coords, table, directions, scales, addresses, interpolation, out
    ):
        """Read the grid with numba's threads, a run of blocks on each."""
        _ = stamp
        blocks = (coords.shape[0] + BLOCK - 1) // BLOCK
        runs = (blocks + 15) // 16
        for run in prange(runs):
            scratch = new_scratch(coords.shape[1])
            for block in range(run * 16, min(run * 16 + 16, blocks)):
                forward_block(
                    coords, table, directions, scales, addresses, interpolation, 0,
                    block, scratch, out,
                )  # fmt: skip

    @typing.no_type_check
    @njit(**OUTER)
    def table_vjp_serial(
        coords, grad_out, directions, scales, addresses, interpolation, grad_table
    ):
        """Add the table's gradient on the calling thread, one level after the other."""
        _ = stamp
        scratch = new_scratch(coords.shape[1])
        for level in range(scales.shape[0]):
            table_vjp_level(
                coords, grad_out, directions, scales, addresses, interpolation, level,
                scratch, grad_table,
            )  # fmt: skip

    @typing.no_type_check
    @njit(**PARALLEL)
    def table_vjp_parallel(
        coords, grad_out, directions, scales, addresses, interpolation, grad_table
    ):
        """Add the table's gradient with one thread per level.

        Levels own disjoint rows, so no two threads write one row and every sum is taken
        in the order of the points: the bits do not depend on the number of threads.
        A thread gets a run of turns: coarse levels, which the cache holds, and fine
        ones take them by turns.
        """
        _ = stamp
        for turn in prange(scales.shape[0]):
            fine = scales.shape[0] - 1 - turn // 2
            level = fine if turn % 2 else turn // 2
            scratch = new_scratch(coords.shape[1])
            table_vjp_level(
                coords, grad_out, directions, scales, addresses, interpolation, level,
                scratch, grad_table,
            )  # fmt: skip

    @typing.no_type_check
    @njit(**OUTER)
    def coords_vjp_serial(
        coords, table, grad_out, scales, addresses, interpolation, grad_coords
    ):
        """Fill in the coordinates' gradient on the calling thread."""
        _ = stamp
        scratch = new_scratch(coords.shape[1])
        for block in range((coords.shape[0] + BLOCK - 1) // BLOCK):
            coords_vjp_block(
                coords, table, grad_out, scales, addresses, interpolation, 0,
                scales.shape[0], block, scratch, grad_coords,
            )  # fmt: skip

    @typing.no_type_check
    @njit(**PARALLEL)
    def coords_vjp_parallel(
        coords, table, grad_out, scales, addresses, interpolation, grad_coords
    ):
        """Fill in the coordinates' gradient with numba's threads, a block on each."""
        _ = stamp
        for block in prange((coords.shape[0] + BLOCK - 1) // BLOCK):
            scratch = new_scratch(coords.shape[1])
            coords_vjp_block(
                coords, table, grad_out, scales, addresses, interpolation, 0,
                scales.shape[0], block, scratch, grad_coords,
            )  # fmt: skip

    return (
        forward_serial,
        forward_parallel,
        table_vjp_serial,
        table_vjp_parallel,
        coords_vjp_serial,
        coords_vjp_parallel,
    )


(
    forward_serial,
    forward_parallel,
    table_vjp_serial,
    table_vjp_parallel,
    coords_vjp_serial,
    coords_vjp_parallel,
) = _entries(stamp_of(*compiled_modules()))
