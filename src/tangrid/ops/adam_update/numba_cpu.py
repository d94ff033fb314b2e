"""Adam as numba loops over blocks of four cache lines.

A block in which nothing has a gradient costs one read; the loops of the others are
short and separate, because the compiler vectorises a loop only while few arrays may
overlap.
"""

import typing

import numpy as np
from numba import njit, prange

BLOCK = 64
RUN = 1 << 14
"""Entries that one thread takes at a time."""

_SERIAL = {"cache": True, "nogil": True, "fastmath": {"contract", "nsz"}}
_PARALLEL = {**_SERIAL, "parallel": True}


@typing.no_type_check
@njit(**_SERIAL)
def _absorb(total, summand):
    for i in range(total.shape[0]):
        total[i] += summand[i]


@typing.no_type_check
@njit(**_SERIAL)
def _is_zero(grad):
    nonzero = 0
    for i in range(grad.shape[0]):
        nonzero += grad[i] != np.float32(0)
    return nonzero == 0


@typing.no_type_check
@njit(**_SERIAL)
def _count(counts, grad, skips_zeros, corrections, bias1, bias2):
    last = corrections.shape[1] - 1
    for i in range(grad.shape[0]):
        count = np.int64(counts[i])
        if count < last and not (skips_zeros and grad[i] == np.float32(0)):
            count += 1
            counts[i] = np.uint16(count)
        bias1[i] = corrections[0, count]
        bias2[i] = corrections[1, count]


@typing.no_type_check
@njit(**_SERIAL)
def _move_first(first, grad, weight, skips_zeros):
    for i in range(grad.shape[0]):
        moved = first[i] + weight * (grad[i] - first[i])
        first[i] = first[i] if skips_zeros and grad[i] == np.float32(0) else moved


@typing.no_type_check
@njit(**_SERIAL)
def _move_second(second, grad, weight, skips_zeros):
    for i in range(grad.shape[0]):
        moved = second[i] + weight * (grad[i] * grad[i] - second[i])
        second[i] = second[i] if skips_zeros and grad[i] == np.float32(0) else moved


@typing.no_type_check
@njit(**_SERIAL)
def _correct(first, second, eps, bias1, bias2):
    # The move overwrites its first correction: one array fewer for the next loop.
    for i in range(bias1.shape[0]):
        root = np.sqrt(second[i] * bias2[i])
        bias1[i] = first[i] * bias1[i] / (root + eps)


@typing.no_type_check
@njit(**_SERIAL)
def _step(parameter, grad, move, rate, skips_zeros):
    for i in range(grad.shape[0]):
        moved = parameter[i] - rate * move[i]
        kept = skips_zeros and grad[i] == np.float32(0)
        parameter[i] = parameter[i] if kept else moved


@typing.no_type_check
@njit(**_SERIAL)
def update_range(
    parameter, first, second, counts, grads, corrections, numbers, skips_zeros, start,
    stop,
):  # fmt: skip
    """Update the entries from start to stop on the calling thread."""
    rate, weight1, weight2, eps = numbers
    bias1 = np.empty(BLOCK, np.float32)
    bias2 = np.empty(BLOCK, np.float32)
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        grad = grads[0, begin:end]
        for summand in range(1, grads.shape[0]):
            if not _is_zero(grads[summand, begin:end]):
                _absorb(grad, grads[summand, begin:end])
                grads[summand, begin:end] = np.float32(0)
        if skips_zeros and _is_zero(grad):
            continue
        m = first[begin:end]
        v = second[begin:end]
        b1 = bias1[: end - begin]
        b2 = bias2[: end - begin]
        _count(counts[begin:end], grad, skips_zeros, corrections, b1, b2)
        _move_first(m, grad, weight1, skips_zeros)
        _move_second(v, grad, weight2, skips_zeros)
        _correct(m, v, eps, b1, b2)
        _step(parameter[begin:end], grad, b1, rate, skips_zeros)
        grad[:] = np.float32(0)


@typing.no_type_check
@njit(**_PARALLEL)
def update_parallel(
    parameter, first, second, counts, grads, corrections, numbers, skips_zeros
):
    """Update all entries with numba's threads."""
    size = parameter.shape[0]
    for run in prange((size + RUN - 1) // RUN):
        update_range(
            parameter, first, second, counts, grads, corrections, numbers, skips_zeros,
            run * RUN, min(size, run * RUN + RUN),
        )  # fmt: skip
