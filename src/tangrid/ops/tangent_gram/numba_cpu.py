"""The Gram matrix as loops over pairs of points that share a row of the table.

Points are listed under the rows they read. A point then meets, under each of its rows,
exactly those points with which it has anything in common.
"""
# Kernels are typed by numba.

import typing

import numpy as np
from numba import njit, prange

from tangrid.ops.loops import OUTER, PARALLEL


@typing.no_type_check
@njit(**OUTER)
def _add_row(i, labels, entries, starts, points, others, lower, out):
    channels, other_channels = entries.shape[2], others.shape[1]
    width = entries.shape[3]
    for k in range(labels.shape[1]):
        node = labels[i, k]
        if node < 0:
            continue
        for place in range(starts[node], starts[node + 1]):
            j = points[place]
            # Points stand in order under every row.
            if lower and j > i:
                break
            for c in range(channels):
                for e in range(other_channels):
                    total = entries.dtype.type(0)
                    for o in range(width):
                        total += entries[i, k, c, o] * others[place, e, o]
                    out[i, c, j, e] += total


@typing.no_type_check
@njit(**OUTER)
def add_serial(labels, entries, starts, points, others, lower, out):
    """Add all rows on the calling thread."""
    for i in range(labels.shape[0]):
        _add_row(i, labels, entries, starts, points, others, lower, out)


@typing.no_type_check
@njit(**PARALLEL)
def add_parallel(labels, entries, starts, points, others, lower, out):
    """Add all rows with numba's threads, long rows and short ones in turn."""
    count = labels.shape[0]
    for turn in prange(count):
        i = turn // 2 if turn % 2 == 0 else count - 1 - turn // 2
        _add_row(i, labels, entries, starts, points, others, lower, out)


@typing.no_type_check
@njit(**OUTER)
def label(rows, nodes, labels):
    """Write the place of each row among the sorted nodes, -1 where it is not."""
    for i in range(rows.shape[0]):
        place = np.searchsorted(nodes, rows[i])
        is_there = place < nodes.shape[0] and nodes[place] == rows[i]
        labels[i] = place if is_there else -1
