"""Gram matrices and products as loops over reads, listed under the rows they read.

Under each of its rows a point meets exactly those points with which it has anything in
common. A node collects what is written to it by going through its own list, so that no
two threads write to one place and the order of a sum is always the same.
"""
# Kernels are typed by numba.

import typing

from numba import njit, prange

from tangrid.ops.loops import OUTER, PARALLEL


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


# Values are laid out as [., o r]: with one weight for all, that is one loop.


@typing.no_type_check
@njit(**OUTER)
def _add_weighted(weights, repeats, values, target):
    if weights.shape[0] == 1:
        for q in range(values.shape[0]):
            target[q] += weights[0] * values[q]
    else:
        for o in range(weights.shape[0]):
            for q in range(o * repeats, (o + 1) * repeats):
                target[q] += weights[o] * values[q]


@typing.no_type_check
@njit(**OUTER)
def _write_node(node, starts, order, points, weights, repeats, values, written):
    corners = weights.shape[1]
    for at in range(starts[node], starts[node + 1]):
        point = points[at]
        corner = order[at] - point * corners
        _add_weighted(weights[point, corner], repeats, values[point], written[node])


@typing.no_type_check
@njit(**OUTER)
def _read_point(i, places, weights, repeats, written, read):
    for k in range(places.shape[1]):
        node = places[i, k]
        if node >= 0:
            _add_weighted(weights[i, k], repeats, written[node], read[i])


@typing.no_type_check
@njit(**OUTER)
def product_serial(
    places,
    weights,
    starts,
    order,
    points,
    other_weights,
    repeats,
    values,
    written,
    read,
):
    """Write and read on the calling thread."""
    for node in range(written.shape[0]):
        _write_node(
            node, starts, order, points, other_weights, repeats, values, written
        )
    for i in range(places.shape[0]):
        _read_point(i, places, weights, repeats, written, read)


@typing.no_type_check
@njit(**PARALLEL)
def product_parallel(
    places,
    weights,
    starts,
    order,
    points,
    other_weights,
    repeats,
    values,
    written,
    read,
):
    """Write and read with numba's threads."""
    for node in prange(written.shape[0]):
        _write_node(
            node, starts, order, points, other_weights, repeats, values, written
        )
    for i in prange(places.shape[0]):
        _read_point(i, places, weights, repeats, written, read)
