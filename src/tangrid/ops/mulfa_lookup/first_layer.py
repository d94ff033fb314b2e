"""What a block of points has in common before any node is seen.

That is its place in the grid, the Fourier features and the first layer's linear part.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
    load_points,
    locate,
)
from tangrid.ops.mulfa_lookup.lanes import (
    INNER,
    WIDTH,
    add,
    fill,
    fma,
    load,
    mul,
    pointer,
    store,
    total,
)
from tangrid.ops.mulfa_lookup.waves import (
    last_cell,
)

_ONE = np.float32(1)
_HALF = np.float32(0.5)
# Taylor coefficients of cos(pi y) and sin(pi y), exact to float32 for |y| <= 1/2.
_COS = tuple(
    np.float32((-1) ** k * math.pi ** (2 * k) / math.factorial(2 * k)) for k in range(8)
)
_SIN = tuple(
    np.float32((-1) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1))
    for k in range(7)
)


@typing.no_type_check
@njit(**INNER)
def _cells(x, count, scale, shift, last, highest, position, index, row):
    for i in range(count):
        at = x[i] * scale + shift
        cell = min(np.int32(at), last)
        position[i] = at
        index[i] = np.float32(cell)
        # A point that is not in the box must not read outside the table.
        row[i] = max(min(cell, highest), np.int32(0))


@typing.no_type_check
@njit(**INNER)
def _sin_cos_pi(position, count, octave, sine, cosine):
    """Fill sines and cosines of ``pi octave position``; octave is a power of two."""
    for i in range(count):
        half_turns = position[i] * octave
        whole = np.floor(half_turns)
        y = half_turns - whole - _HALF
        z = y * y
        c = _COS[7]
        for k in range(7):
            c = c * z + _COS[6 - k]
        s = _SIN[6]
        for k in range(6):
            s = s * z + _SIN[5 - k]
        # A quarter turn further on, cosine is sine; every half turn flips the sign.
        sign = _ONE - np.float32(2) * (whole - np.float32(2) * np.floor(whole * _HALF))
        sine[i] = sign * c
        cosine[i] = -sign * (s * y)


@typing.no_type_check
@njit(**INNER)
def _first_layer(features, count, inputs, projection, bias, gates, first):
    """Fill ``W_1 gamma + b_1``, four points at a time."""
    features, projection = pointer(features), pointer(projection)
    bias, first = pointer(bias), pointer(first)
    for i in range(0, count, 4):
        for chunk in range(0, gates, WIDTH):
            a = load(bias, chunk)
            b, c, d = a, a, a
            for j in range(inputs):
                weight = load(projection, j * gates + chunk)
                at = j * BLOCK + i
                a = fma(fill(features[at]), weight, a)
                b = fma(fill(features[at + 1]), weight, b)
                c = fma(fill(features[at + 2]), weight, c)
                d = fma(fill(features[at + 3]), weight, d)
            to = i * gates + chunk
            store(first, to, a)
            store(first, to + gates, b)
            store(first, to + 2 * gates, c)
            store(first, to + 3 * gates, d)


@typing.no_type_check
@njit(**INNER)
def enter_block(coords, filters, plan, level, start, count, work):
    """Return the number of corners, having filled what precedes a block's gates."""
    points = work.grid[2]
    load_points(coords, start, count, points)
    scale, shift = plan.scales[level, 0], plan.scales[level, 1]
    address = plan.addresses[level]
    highest = np.int32(plan.waves[level, 1] - 2)
    inputs = 2 * coords.shape[1] * plan.num_frequencies
    for axis in range(coords.shape[1]):
        _cells(
            points[axis], count, scale, shift, last_cell(address), highest,
            work.position[axis], work.index[axis], work.wave_rows[axis],
        )  # fmt: skip
        if plan.waves[level, 2]:
            for i in range(count):
                work.wave_rows[axis, i] = 2 * (start + i)
        seen = work.position[axis] if plan.grid_units else points[axis]
        for octave in range(plan.num_frequencies):
            at = 2 * (axis * plan.num_frequencies + octave) * BLOCK
            _sin_cos_pi(
                seen, count, np.float32(1 << octave), work.features[at : at + BLOCK],
                work.features[at + BLOCK : at + 2 * BLOCK],
            )  # fmt: skip
    _first_layer(
        work.features, count, inputs, filters.projection[level], filters.biases[level],
        plan.gates, work.first,
    )  # fmt: skip
    return locate(count, scale, shift, address, plan.interpolation, work.grid)


@typing.no_type_check
@njit(**INNER)
def first_layer_vjp(features, count, inputs, gates, first_grads, sums):
    """Add gradients of W_1 and b_1, of four features at a time."""
    features, first_grads = pointer(features), pointer(first_grads)
    biases, projection = pointer(sums.biases), pointer(sums.projection)
    for chunk in range(0, gates, WIDTH):
        bias = load(biases, chunk)
        for i in range(count):
            bias = add(bias, load(first_grads, i * gates + chunk))
        store(biases, chunk, bias)
        for j in range(0, inputs, 4):
            at = j * BLOCK
            to = j * gates + chunk
            a, b = load(projection, to), load(projection, to + gates)
            c = load(projection, to + 2 * gates)
            d = load(projection, to + 3 * gates)
            for i in range(count):
                grad = load(first_grads, i * gates + chunk)
                a = fma(fill(features[at + i]), grad, a)
                b = fma(fill(features[at + BLOCK + i]), grad, b)
                c = fma(fill(features[at + 2 * BLOCK + i]), grad, c)
                d = fma(fill(features[at + 3 * BLOCK + i]), grad, d)
            store(projection, to, a)
            store(projection, to + gates, b)
            store(projection, to + 2 * gates, c)
            store(projection, to + 3 * gates, d)


@typing.no_type_check
@njit(**INNER)
def coords_vjp(count, corners, plan, scale, projection, work, grad_coords):
    """Write the coordinates' gradient of a block at one level."""
    _, _, points, _, pairs, slopes = work.grid
    dims, gates = points.shape[0], plan.gates
    features, first_grads = pointer(work.features), pointer(work.first_grads)
    projection = pointer(projection)
    size = scale if plan.grid_units else _ONE
    for i in range(count):
        for axis in range(dims):
            grad = np.float32(0)
            for corner in range(corners if corners > 1 else 0):
                slope = work.linear_grads[corner, i] * slopes[axis, i]
                for other in range(dims):
                    if other != axis:
                        slope *= pairs[other, (corner >> other) & 1, i]
                grad += slope if (corner >> axis) & 1 else -slope
            for octave in range(plan.num_frequencies):
                j = 2 * (axis * plan.num_frequencies + octave)
                sine = np.float32(0)
                cosine = np.float32(0)
                for chunk in range(0, gates, WIDTH):
                    first = load(first_grads, i * gates + chunk)
                    at = j * gates + chunk
                    sine += total(mul(first, load(projection, at)))
                    cosine += total(mul(first, load(projection, at + gates)))
                turn = sine * features[(j + 1) * BLOCK + i]
                turn -= cosine * features[j * BLOCK + i]
                grad += turn * size * np.float32(math.pi * (1 << octave))
            grad_coords[i, axis] = grad
