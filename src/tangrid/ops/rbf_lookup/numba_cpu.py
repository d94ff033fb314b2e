"""The lookup at radial nodes as numba loops over channels, which are vector code.

Functions take NumPy views of float32 tensors and write into given outputs. Sums over
points are taken in their order whatever the number of threads: points are independent
going forward, blocks of channels going backward.
"""
# Kernels are typed by numba.

import typing
from collections.abc import Callable
from types import ModuleType

import numpy as np
from numba import njit, prange

from tangrid.ops import lanes, loops, sines
from tangrid.ops.lanes import WIDTH, fma
from tangrid.ops.loops import INNER, OUTER, PARALLEL, advance, pointer, stamp_of
from tangrid.ops.sines import cosine, sine

POINTS = 256
"""Points that one thread takes at a time."""


@typing.no_type_check
@njit(**INNER)
def _add_waves(value, channels, frequencies, features, out):
    for j in range(channels):
        out[j] = fma(sine(frequencies[j] * value), features[j], out[j])


@typing.no_type_check
@njit(**INNER)
def _slope(value, channels, frequencies, features, grad_out):
    total = np.float32(0)
    for j in range(channels):
        slope = frequencies[j] * cosine(frequencies[j] * value)
        total += slope * features[j] * grad_out[j]
    return total


@typing.no_type_check
@njit(**INNER)
def _forward_points(rows, values, table, frequencies, first, last, out):
    neighbours, channels = rows.shape[1], table.shape[1]
    factors = pointer(frequencies, 0)
    for i in range(first, last):
        to = pointer(out, i * channels)
        for j in range(channels):
            to[j] = np.float32(0)
        for k in range(neighbours):
            features = pointer(table, rows[i, k] * channels)
            _add_waves(values[i, k], channels, factors, features, to)


@typing.no_type_check
@njit(**INNER)
def _table_vjp_channels(rows, values, frequencies, grad_out, first, count, grad_table):
    neighbours, channels = rows.shape[1], grad_table.shape[1]
    factors = advance(pointer(frequencies, 0), first)
    for i in range(len(rows)):
        upstream = pointer(grad_out, i * channels + first)
        for k in range(neighbours):
            to = pointer(grad_table, rows[i, k] * channels + first)
            _add_waves(values[i, k], count, factors, upstream, to)


@typing.no_type_check
@njit(**INNER)
def _values_vjp_points(
    rows, values, table, frequencies, grad_out, first, last, grad_values
):
    channels = table.shape[1]
    factors = pointer(frequencies, 0)
    for i in range(first, last):
        upstream = pointer(grad_out, i * channels)
        for k in range(rows.shape[1]):
            features = pointer(table, rows[i, k] * channels)
            grad_values[i, k] = _slope(
                values[i, k], channels, factors, features, upstream
            )


def compiled_modules() -> tuple[ModuleType, ...]:
    """Return the other modules whose functions are compiled into this one's."""
    return lanes, loops, sines


def _entries(stamp: int) -> tuple[Callable[..., None], ...]:
    """Return what Python calls, under a name in the cache that the stamp is part of."""

    @typing.no_type_check
    @njit(**OUTER)
    def forward_serial(rows, values, table, frequencies, out):
        """Read the nodes on the calling thread."""
        _ = stamp
        _forward_points(rows, values, table, frequencies, 0, len(rows), out)

    @typing.no_type_check
    @njit(**PARALLEL)
    def forward_parallel(rows, values, table, frequencies, out):
        """Read the nodes with numba's threads."""
        _ = stamp
        for run in prange((len(rows) + POINTS - 1) // POINTS):
            last = min(run * POINTS + POINTS, len(rows))
            _forward_points(rows, values, table, frequencies, run * POINTS, last, out)

    @typing.no_type_check
    @njit(**OUTER)
    def table_vjp_serial(rows, values, frequencies, grad_out, grad_table):
        """Add the gradient of the nodes' features on the calling thread."""
        _ = stamp
        channels = grad_table.shape[1]
        _table_vjp_channels(
            rows, values, frequencies, grad_out, 0, channels, grad_table
        )

    @typing.no_type_check
    @njit(**PARALLEL)
    def table_vjp_parallel(rows, values, frequencies, grad_out, grad_table):
        """Add the gradient of the nodes' features, a few channels on each thread."""
        _ = stamp
        channels = grad_table.shape[1]
        for run in prange((channels + WIDTH - 1) // WIDTH):
            count = min(WIDTH, channels - run * WIDTH)
            _table_vjp_channels(
                rows, values, frequencies, grad_out, run * WIDTH, count, grad_table
            )

    @typing.no_type_check
    @njit(**OUTER)
    def values_vjp_serial(rows, values, table, frequencies, grad_out, grad_values):
        """Compute the gradient of the radial values on the calling thread."""
        _ = stamp
        _values_vjp_points(
            rows, values, table, frequencies, grad_out, 0, len(rows), grad_values
        )

    @typing.no_type_check
    @njit(**PARALLEL)
    def values_vjp_parallel(rows, values, table, frequencies, grad_out, grad_values):
        """Compute the gradient of the radial values with numba's threads."""
        _ = stamp
        for run in prange((len(rows) + POINTS - 1) // POINTS):
            last = min(run * POINTS + POINTS, len(rows))
            _values_vjp_points(
                rows,
                values,
                table,
                frequencies,
                grad_out,
                run * POINTS,
                last,
                grad_values,
            )

    return (
        forward_serial,
        forward_parallel,
        table_vjp_serial,
        table_vjp_parallel,
        values_vjp_serial,
        values_vjp_parallel,
    )


(
    forward_serial,
    forward_parallel,
    table_vjp_serial,
    table_vjp_parallel,
    values_vjp_serial,
    values_vjp_parallel,
) = _entries(stamp_of(*compiled_modules()))
