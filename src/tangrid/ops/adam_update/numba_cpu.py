"""Adam as numba loops over blocks of four cache lines.

A block in which nothing has a gradient costs one read; the loops of the others are
short and separate, because the compiler vectorises a loop only while few arrays may
overlap.
"""

import typing

import numpy as np
from numba import njit

from tangrid.ops.loops import INNER, OUTER, advance, pointer

BLOCK = 64
"""Entries per block."""


@typing.no_type_check
@njit(**INNER)
def _absorb(size, total, summand):
    for i in range(size):
        total[i] += summand[i]


@typing.no_type_check
@njit(**INNER)
def _is_zero(size, grad):
    nonzero = 0
    for i in range(size):
        nonzero += grad[i] != np.float32(0)
    return nonzero == 0


# In the next loops a choice is made by arithmetic or by a value written either way: a
# store behind a branch would keep the compiler from vectorising.


@typing.no_type_check
@njit(**INNER)
def _count(size, counts, grad, moves_all, last):
    for i in range(size):
        moves = np.uint16(moves_all | (grad[i] != np.float32(0)))
        count = counts[i]
        counts[i] = count + (moves & np.uint16(count < last))


@typing.no_type_check
@njit(**INNER)
def _look_up(size, counts, first_corrections, second_corrections, bias1, bias2):
    for i in range(size):
        count = counts[i]
        bias1[i] = first_corrections[count]
        bias2[i] = second_corrections[count]


@typing.no_type_check
@njit(**INNER)
def _move_first(size, first, grad, weight, moves_all):
    for i in range(size):
        moved = first[i] + weight * (grad[i] - first[i])
        first[i] = moved if moves_all or grad[i] != np.float32(0) else first[i]


@typing.no_type_check
@njit(**INNER)
def _move_second(size, second, grad, weight, moves_all):
    for i in range(size):
        moved = second[i] + weight * (grad[i] * grad[i] - second[i])
        second[i] = moved if moves_all or grad[i] != np.float32(0) else second[i]


@typing.no_type_check
@njit(**INNER)
def _correct(size, first, second, eps, bias1, bias2):
    # The move overwrites its first correction: one array fewer for the next loop.
    for i in range(size):
        root = np.sqrt(second[i] * bias2[i])
        bias1[i] = first[i] * bias1[i] / (root + eps)


@typing.no_type_check
@njit(**INNER)
def _step(size, parameter, grad, move, rate, moves_all):
    for i in range(size):
        moved = parameter[i] - rate * move[i]
        kept = parameter[i]
        parameter[i] = moved if moves_all or grad[i] != np.float32(0) else kept


@typing.no_type_check
@njit(**INNER)
def _clear(size, grad):
    for i in range(size):
        grad[i] = np.float32(0)


@typing.no_type_check
@njit(**INNER)
def _update_block(
    size, parameter, first, second, counts, grad, corrections, last, numbers, moves_all,
    bias1, bias2,
):  # fmt: skip
    rate, weight1, weight2, eps = numbers
    _count(size, counts, grad, moves_all, last)
    _look_up(
        size, counts, corrections, advance(corrections, np.int64(last) + 1), bias1,
        bias2,
    )  # fmt: skip
    _move_first(size, first, grad, weight1, moves_all)
    _move_second(size, second, grad, weight2, moves_all)
    _correct(size, first, second, eps, bias1, bias2)
    _step(size, parameter, grad, bias1, rate, moves_all)
    _clear(size, grad)


@typing.no_type_check
@njit(**INNER)
def _update(
    parameter, first, second, counts, grads, corrections, numbers, skips_zeros, start,
    stop, bias1, bias2,
):  # fmt: skip
    last = np.uint16(corrections.shape[1] - 1)
    for begin in range(start, stop, BLOCK):
        size = min(BLOCK, stop - begin)
        grad = pointer(grads, begin)
        for worker in range(1, grads.shape[0]):
            summand = pointer(grads, worker * grads.shape[1] + begin)
            if not _is_zero(size, summand):
                _absorb(size, grad, summand)
                _clear(size, summand)
        if skips_zeros and _is_zero(size, grad):
            continue
        _update_block(
            size, pointer(parameter, begin), pointer(first, begin),
            pointer(second, begin), pointer(counts, begin), grad,
            pointer(corrections, 0), last, numbers, not skips_zeros,
            pointer(bias1, 0), pointer(bias2, 0),
        )  # fmt: skip


@typing.no_type_check
@njit(**OUTER)
def update_range(
    parameter, first, second, counts, grads, corrections, numbers, skips_zeros, start,
    stop,
):  # fmt: skip
    """Update the entries from start to stop on the calling thread."""
    bias1 = np.empty(BLOCK, np.float32)
    bias2 = np.empty(BLOCK, np.float32)
    _update(
        parameter, first, second, counts, grads, corrections, numbers, skips_zeros,
        start, stop, bias1, bias2,
    )  # fmt: skip
