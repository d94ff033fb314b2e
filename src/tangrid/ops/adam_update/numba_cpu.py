"""Adam as numba loops over blocks of four cache lines.

A block in which nothing has a gradient costs one read; the loops of the others are
short and separate, because the compiler vectorises a loop only while few arrays may
overlap.
"""

import typing

import numpy as np
from numba import njit

BLOCK = 64
"""Entries per block."""
_SERIAL = {
    "cache": True,
    "nogil": True,
    # With Python's model every division asks first whether it may.
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
}


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


# In the next loops a choice is made by arithmetic or by a value written either way: a
# store behind a branch would keep the compiler from vectorising.


@typing.no_type_check
@njit(**_SERIAL)
def _count(counts, grad, moves_all, last):
    for i in range(grad.shape[0]):
        moves = np.uint16(moves_all | (grad[i] != np.float32(0)))
        count = counts[i]
        counts[i] = count + (moves & np.uint16(count < last))


@typing.no_type_check
@njit(**_SERIAL)
def _look_up(counts, first_corrections, second_corrections, bias1, bias2):
    for i in range(counts.shape[0]):
        count = counts[i]
        bias1[i] = first_corrections[count]
        bias2[i] = second_corrections[count]


@typing.no_type_check
@njit(**_SERIAL)
def _move_first(first, grad, weight, moves_all):
    for i in range(grad.shape[0]):
        moved = first[i] + weight * (grad[i] - first[i])
        first[i] = moved if moves_all or grad[i] != np.float32(0) else first[i]


@typing.no_type_check
@njit(**_SERIAL)
def _move_second(second, grad, weight, moves_all):
    for i in range(grad.shape[0]):
        moved = second[i] + weight * (grad[i] * grad[i] - second[i])
        second[i] = moved if moves_all or grad[i] != np.float32(0) else second[i]


@typing.no_type_check
@njit(**_SERIAL)
def _correct(first, second, eps, bias1, bias2):
    # The move overwrites its first correction: one array fewer for the next loop.
    for i in range(bias1.shape[0]):
        root = np.sqrt(second[i] * bias2[i])
        bias1[i] = first[i] * bias1[i] / (root + eps)


@typing.no_type_check
@njit(**_SERIAL)
def _step(parameter, grad, move, rate, moves_all):
    for i in range(grad.shape[0]):
        moved = parameter[i] - rate * move[i]
        kept = parameter[i]
        parameter[i] = moved if moves_all or grad[i] != np.float32(0) else kept


@typing.no_type_check
@njit(**_SERIAL)
def _clear(grad):
    for i in range(grad.shape[0]):
        grad[i] = np.float32(0)


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
    last = np.uint16(corrections.shape[1] - 1)
    moves_all = not skips_zeros
    for begin in range(start, stop, BLOCK):
        end = min(begin + BLOCK, stop)
        grad = grads[0, begin:end]
        for summand in range(1, grads.shape[0]):
            if not _is_zero(grads[summand, begin:end]):
                _absorb(grad, grads[summand, begin:end])
                _clear(grads[summand, begin:end])
        if skips_zeros and _is_zero(grad):
            continue
        m = first[begin:end]
        v = second[begin:end]
        b1 = bias1[: end - begin]
        b2 = bias2[: end - begin]
        c = counts[begin:end]
        _count(c, grad, moves_all, last)
        _look_up(c, corrections[0], corrections[1], b1, b2)
        _move_first(m, grad, weight1, moves_all)
        _move_second(v, grad, weight2, moves_all)
        _correct(m, v, eps, b1, b2)
        _step(parameter[begin:end], grad, b1, rate, moves_all)
        _clear(grad)
