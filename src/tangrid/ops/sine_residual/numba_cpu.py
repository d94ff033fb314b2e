"""The sine residual in one pass over memory."""
# Kernels are typed by numba.

import typing
from collections.abc import Callable
from types import ModuleType

import numpy as np
from numba import njit, prange

from tangrid.ops import lanes, loops, sines
from tangrid.ops.lanes import fma
from tangrid.ops.loops import INNER, OUTER, PARALLEL, stamp_of
from tangrid.ops.sines import cosine, sine

ROWS = 512
"""Rows that one thread takes at a time."""

_ONE = np.float32(1)


@typing.no_type_check
@njit(**INNER)
def _forward_row(hidden, frequencies, out):
    for j in range(frequencies.shape[0]):
        out[j] = hidden[j] + sine(frequencies[j] * hidden[j])


@typing.no_type_check
@njit(**INNER)
def _vjp_row(hidden, frequencies, grad_out, grad_hidden):
    for j in range(frequencies.shape[0]):
        slope = cosine(frequencies[j] * hidden[j])
        grad_hidden[j] = grad_out[j] * fma(frequencies[j], slope, _ONE)


def compiled_modules() -> tuple[ModuleType, ...]:
    """Return the other modules whose functions are compiled into this one's."""
    return lanes, loops, sines


def _entries(stamp: int) -> tuple[Callable[..., None], ...]:
    """Return what Python calls, under a name in the cache that the stamp is part of."""

    @typing.no_type_check
    @njit(**OUTER)
    def forward_serial(hidden, frequencies, out):
        """Compute all rows on the calling thread."""
        _ = stamp
        for i in range(hidden.shape[0]):
            _forward_row(hidden[i], frequencies, out[i])

    @typing.no_type_check
    @njit(**PARALLEL)
    def forward_parallel(hidden, frequencies, out):
        """Compute all rows with numba's threads."""
        _ = stamp
        for run in prange((hidden.shape[0] + ROWS - 1) // ROWS):
            for i in range(run * ROWS, min(run * ROWS + ROWS, hidden.shape[0])):
                _forward_row(hidden[i], frequencies, out[i])

    @typing.no_type_check
    @njit(**OUTER)
    def vjp_serial(hidden, frequencies, grad_out, grad_hidden):
        """Compute the gradient of all rows on the calling thread."""
        _ = stamp
        for i in range(hidden.shape[0]):
            _vjp_row(hidden[i], frequencies, grad_out[i], grad_hidden[i])

    @typing.no_type_check
    @njit(**PARALLEL)
    def vjp_parallel(hidden, frequencies, grad_out, grad_hidden):
        """Compute the gradient of all rows with numba's threads."""
        _ = stamp
        for run in prange((hidden.shape[0] + ROWS - 1) // ROWS):
            for i in range(run * ROWS, min(run * ROWS + ROWS, hidden.shape[0])):
                _vjp_row(hidden[i], frequencies, grad_out[i], grad_hidden[i])

    return (
        forward_serial,
        forward_parallel,
        vjp_serial,
        vjp_parallel,
    )


(
    forward_serial,
    forward_parallel,
    vjp_serial,
    vjp_parallel,
) = _entries(stamp_of(*compiled_modules()))
