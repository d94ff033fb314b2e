"""Gram matrices and products as loops over reads, listed under the rows they read.

Under each of its rows a point meets exactly those points with which it has anything in
common. A node collects what is written to it by going through its own list, so that no
two threads write to one place and the order of a sum is always the same.
"""
# Kernels are typed by numba.

import typing

from numba import njit, prange

from tangrid.ops.loops import INLINE, OUTER, PARALLEL, pointer


@typing.no_type_check
@njit(**OUTER)
def _add_row(i, places, entries, starts, points, others, lower, out):
    channels, other_channels = entries.shape[2], others.shape[1]
    width = entries.shape[3]
    for k in range(places.shape[1]):
        node = places[i, k]
        if node < 0:
            continue
        for at in range(starts[node], starts[node + 1]):
            j = points[at]
            # Points stand in order under every row.
            if lower and j > i:
                break
            for c in range(channels):
                for e in range(other_channels):
                    total = entries.dtype.type(0)
                    for o in range(width):
                        total += entries[i, k, c, o] * others[at, e, o]
                    out[i, c, j, e] += total


@typing.no_type_check
@njit(**OUTER)
def add_serial(places, entries, starts, points, others, lower, out):
    """Add all rows on the calling thread."""
    for i in range(places.shape[0]):
        _add_row(i, places, entries, starts, points, others, lower, out)


@typing.no_type_check
@njit(**PARALLEL)
def add_parallel(places, entries, starts, points, others, lower, out):
    """Add all rows with numba's threads, long rows and short ones in turn."""
    count = places.shape[0]
    for turn in prange(count):
        i = turn // 2 if turn % 2 == 0 else count - 1 - turn // 2
        _add_row(i, places, entries, starts, points, others, lower, out)


@typing.no_type_check
@njit(**INLINE)
def _add_weighted(weights, row, values, source, target, goal):
    """Add a row of values to another, each channel by its weight or all by one."""
    columns, width = values.shape[1], values.shape[2]
    count = columns * width
    numbers, sums = pointer(values, source * count), pointer(target, goal * count)
    if weights.shape[1] == 1:
        weight = weights[row, 0]
        for q in range(count):
            sums[q] += weight * numbers[q]
    else:
        for r in range(columns):
            for o in range(width):
                sums[r * width + o] += weights[row, o] * numbers[r * width + o]


@typing.no_type_check
@njit(**INLINE)
def _clear(target, row):
    count = target.shape[1] * target.shape[2]
    sums = pointer(target, row * count)
    for q in range(count):
        sums[q] = 0


@typing.no_type_check
@njit(**OUTER)
def _write_node(node, starts, points, weights, values, written):
    _clear(written, node)
    for at in range(starts[node], starts[node + 1]):
        _add_weighted(weights, at, values, points[at], written, node)


@typing.no_type_check
@njit(**OUTER)
def write_serial(starts, points, weights, values, written):
    """Collect what is written to every node on the calling thread."""
    for node in range(written.shape[0]):
        _write_node(node, starts, points, weights, values, written)


@typing.no_type_check
@njit(**PARALLEL)
def write_parallel(starts, points, weights, values, written):
    """Collect what is written to every node with numba's threads."""
    for node in prange(written.shape[0]):
        _write_node(node, starts, points, weights, values, written)


@typing.no_type_check
@njit(**OUTER)
def _read_point(i, places, weights, written, read):
    _clear(read, i)
    corners = places.shape[1]
    for k in range(corners):
        if places[i, k] >= 0:
            _add_weighted(weights, i * corners + k, written, places[i, k], read, i)


@typing.no_type_check
@njit(**OUTER)
def read_serial(places, weights, written, read):
    """Read all points on the calling thread."""
    for i in range(places.shape[0]):
        _read_point(i, places, weights, written, read)


@typing.no_type_check
@njit(**PARALLEL)
def read_parallel(places, weights, written, read):
    """Read all points with numba's threads."""
    for i in prange(places.shape[0]):
        _read_point(i, places, weights, written, read)
