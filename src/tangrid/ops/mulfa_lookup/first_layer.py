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
    places_in,
)
from tangrid.ops.loops import INLINE, INNER, pointer
from tangrid.ops.mulfa_lookup.lanes import (
    WIDTH,
    add,
    fill,
    fma,
    load,
    mul,
    store,
    total,
)
from tangrid.ops.mulfa_lookup.memory import parameter
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
@njit(**INLINE)
def _cells(points, row, count, scale, shift, last, highest, position, index, rows):
    for i in range(row, row + count):
        at = points[i] * scale + shift
        cell = min(np.int32(at), last)
        position[i] = at
        index[i] = np.float32(cell)
        # A point that is not in the box must not read outside the table.
        rows[i] = max(min(cell, highest), np.int32(0))


@typing.no_type_check
@njit(**INNER)
def _sin_cos_pi(position, row, count, octave, features, to):
    """Fill sines and cosines of ``pi octave position``; octave is a power of two."""
    for i in range(count):
        half_turns = position[row + i] * octave
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
        features[to + i] = sign * c
        features[to + BLOCK + i] = -sign * (s * y)


@typing.no_type_check
@njit(**INLINE)
def _first_layer(features, count, inputs, projection, bias, gates, first):
    """Fill ``W_1 gamma + b_1``, four points at a time."""
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
def enter_block(coords, filters, plan, level, start, count, n, work):
    """Fill what a block's points need before their gates.

    Whole lanes are filled: what lies past the end repeats the last point.
    """
    places, dims = places_in(work.grid), coords.shape[1]
    points, position = places.points, pointer(work.places, 0)
    load_points(pointer(coords, 0), dims, start, count, points)
    last = count - 1
    count += -count % WIDTH
    for axis in range(dims):
        for i in range(last + 1, count):
            points[axis * BLOCK + i] = points[axis * BLOCK + last]
    scale, shift = plan.scales[level, 0], plan.scales[level, 1]
    address = plan.addresses[level]
    index = pointer(work.places, work.places.shape[1])
    wave_rows, features = pointer(work.wave_rows, 0), pointer(work.features, 0)
    for axis in range(dims):
        at = axis * BLOCK
        _cells(
            points, at, count, scale, shift, last_cell(address), np.int32(n.rows - 2),
            position, index, wave_rows,
        )  # fmt: skip
        if plan.wave_rows[level] == 0:
            for i in range(count):
                wave_rows[at + i] = np.int32(2 * (start + min(i, last)))
        seen = position if plan.grid_units else points
        for octave in range(plan.num_frequencies):
            to = 2 * (axis * plan.num_frequencies + octave) * BLOCK
            _sin_cos_pi(seen, at, count, np.float32(1 << octave), features, to)
    _first_layer(
        features, count, 2 * dims * plan.num_frequencies,
        parameter(filters.projection, level), parameter(filters.biases, level),
        plan.gates, pointer(work.first, 0),
    )  # fmt: skip
    locate(
        count, dims, scale, shift, pointer(plan.addresses, level * len(address)),
        plan.interpolation, places,
    )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def first_layer_vjp(work, count, gates, sums):
    """Add gradients of W_1 and b_1, of four features at a time."""
    features = pointer(work.features, 0)
    grads = pointer(work.first, work.first.shape[1])
    biases, projection = pointer(sums.biases, 0), pointer(sums.projection, 0)
    for chunk in range(0, gates, WIDTH):
        bias = load(biases, chunk)
        for i in range(count):
            bias = add(bias, load(grads, i * gates + chunk))
        store(biases, chunk, bias)
        for j in range(0, sums.projection.shape[0] // gates, 4):
            at = j * BLOCK
            to = j * gates + chunk
            a, b = load(projection, to), load(projection, to + gates)
            c = load(projection, to + 2 * gates)
            d = load(projection, to + 3 * gates)
            for i in range(count):
                grad = load(grads, i * gates + chunk)
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
def coords_vjp(filters, plan, level, start, count, n, work, grad_coords):
    """Write the coordinates' gradient of a block at one level."""
    places, dims = places_in(work.grid), n.dims
    scale = plan.scales[level, 0] if plan.grid_units else _ONE
    features = pointer(work.features, 0)
    grads = pointer(work.first, work.first.shape[1])
    linear = pointer(work.grads, work.grads.shape[1])
    projection = parameter(filters.projection, level)
    for i in range(count):
        for axis in range(dims):
            grad = np.float32(0)
            for corner in range(n.corners if n.corners > 1 else 0):
                slope = linear[corner * BLOCK + i]
                slope *= places.slopes[axis * BLOCK + i]
                for other in range(dims):
                    if other != axis:
                        side = 2 * other + ((corner >> other) & 1)
                        slope *= places.pairs[side * BLOCK + i]
                grad += slope if (corner >> axis) & 1 else -slope
            for octave in range(plan.num_frequencies):
                j = 2 * (axis * plan.num_frequencies + octave)
                turn = _turn(i, j, plan.gates, features, projection, grads)
                grad += turn * scale * np.float32(math.pi * (1 << octave))
            grad_coords[level, start + i, axis] = grad


@typing.no_type_check
@njit(**INLINE)
def _turn(i, j, gates, features, projection, grads):
    """Return the gradient of the angle of features j and j + 1, a sine and a cosine."""
    sine = np.float32(0)
    cosine = np.float32(0)
    for chunk in range(0, gates, WIDTH):
        grad = load(grads, i * gates + chunk)
        sine += total(mul(grad, load(projection, j * gates + chunk)))
        cosine += total(mul(grad, load(projection, (j + 1) * gates + chunk)))
    return sine * features[(j + 1) * BLOCK + i] - cosine * features[j * BLOCK + i]
