"""Channels of table rows that have been located: read, added to, multiplied.

A block of points has, corner by corner, rows and weights; two channels are moved as one
number of 64 bits, four as one vector.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202, C901, SIM110

import typing

import numpy as np
from numba import njit

from tangrid.ops.lanes import WIDTH, fill_four, fma, load_four, mul, store
from tangrid.ops.loops import INLINE, INNER
from tangrid.ops.wide_lanes import gather_pairs, load_twice, store_pairs

_ZERO = np.float32(0)
BLOCK = 256
"""Points per block: rows and weights of the corners of one level fill half of L1."""


@typing.no_type_check
@njit(**INNER)
def gather(table, channels, count, corners, rows, weights, out, stride):
    """Read the channels of a block of points at one level."""
    done = 0
    if channels == 2:
        # The compiler makes no gather of an indexed loop by itself.
        done = count // WIDTH * WIDTH
        for i in range(0, done, WIDTH):
            pairs = mul(gather_pairs(table, rows, i), load_twice(weights, i))
            for corner in range(1, corners):
                at = corner * BLOCK + i
                weight = load_twice(weights, at)
                pairs = fma(gather_pairs(table, rows, at), weight, pairs)
            store_pairs(out, i * stride, stride, pairs)
    elif channels % 4 == 0:
        done = count
        for i in range(count):
            for channel in range(0, channels, 4):
                row = np.int64(rows[i]) * channels + channel
                four = mul(load_four(table, row), fill_four(weights[i]))
                for corner in range(1, corners):
                    at = corner * BLOCK + i
                    row = np.int64(rows[at]) * channels + channel
                    four = fma(load_four(table, row), fill_four(weights[at]), four)
                store(out, i * stride + channel, four)
    for i in range(done, count):
        for channel in range(channels):
            a = np.float32(0)
            for corner in range(corners):
                at = corner * BLOCK + i
                row = np.int64(rows[at]) * channels
                a = fma(weights[at], table[row + channel], a)
            out[i * stride + channel] = a


@typing.no_type_check
@njit(**INLINE)
def _are_zeros(numbers, first):
    for k in range(4):
        if numbers[first + k] != _ZERO:
            return False
    return True


@typing.no_type_check
@njit(**INNER)
def scatter(grad_table, channels, count, corners, rows, weights, grad_out, stride):
    """Add a block of gradients, times the weights, to the rows that were read."""
    if channels == 2:
        for i in range(count):
            a = grad_out[i * stride]
            b = grad_out[i * stride + 1]
            # Points that a loss does not depend on, as behind a wall.
            if a == _ZERO and b == _ZERO:
                continue
            for corner in range(corners):
                at = corner * BLOCK + i
                row = 2 * np.int64(rows[at])
                grad_table[row] = fma(weights[at], a, grad_table[row])
                grad_table[row + 1] = fma(weights[at], b, grad_table[row + 1])
        return
    if channels % 4 == 0:
        for i in range(count):
            for channel in range(0, channels, 4):
                first = i * stride + channel
                if _are_zeros(grad_out, first):
                    continue
                four = load_four(grad_out, first)
                for corner in range(corners):
                    at = corner * BLOCK + i
                    row = np.int64(rows[at]) * channels + channel
                    change = fill_four(weights[at])
                    store(
                        grad_table, row, fma(change, four, load_four(grad_table, row))
                    )
        return
    for i in range(count):
        for corner in range(corners):
            at = corner * BLOCK + i
            row = np.int64(rows[at]) * channels
            for channel in range(channels):
                grad = grad_out[i * stride + channel]
                grad_table[row + channel] = fma(
                    weights[at], grad, grad_table[row + channel]
                )


@typing.no_type_check
@njit(**INNER)
def dots_of(table, channels, count, corners, rows, grad_out, stride, dots):
    """Write the products of gradients with the row of every corner."""
    for i in range(count):
        for corner in range(corners):
            at = corner * BLOCK + i
            row, dot = np.int64(rows[at]) * channels, np.float32(0)
            for channel in range(channels):
                dot = fma(table[row + channel], grad_out[i * stride + channel], dot)
            dots[at] = dot
