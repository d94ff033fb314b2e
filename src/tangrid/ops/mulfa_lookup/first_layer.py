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
from tangrid.ops.lanes import (
    WIDTH,
    add,
    fill,
    fma,
    load,
    mul,
    store,
    total,
)
from tangrid.ops.loops import INLINE, INNER, pointer
from tangrid.ops.mulfa_lookup.memory import parameter
from tangrid.ops.mulfa_lookup.waves import (
    last_cell,
)

_ANCHOR = 4
"""Octaves from one evaluation to the next; in between errors double with the angle."""

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
        # As rows are found: a point at a face must have one cell.
        at = fma(points[i], scale, shift)
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
@njit(**INNER)
def _double(features, own, count):
    """Fill sines and cosines of the next octave, twice the angle."""
    two = np.float32(2)
    for i in range(own, own + count):
        sine, cosine = features[i], features[i + BLOCK]
        features[i + 2 * BLOCK] = two * sine * cosine
        features[i + 3 * BLOCK] = _ONE - two * sine * sine


@typing.no_type_check
@njit(**INNER)
def enter_filters(count, inputs, n, p):
    """Fill ``W_1 gamma + b_1`` of a block, four points at a time."""
    features, gates, first = p.features, n.gates, p.first
    for i in range(0, count, 4):
        for chunk in range(0, gates, WIDTH):
            a = load(p.biases, chunk)
            b, c, d = a, a, a
            for j in range(inputs):
                weight = load(p.projection, j * gates + chunk)
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
def enter_block(coords, start, count, level, n, p):
    """Fill what a block's points need before their first layer.

    Whole lanes are filled: what lies past the end repeats the last point.
    """
    points = p.places.points
    load_points(coords, n.dims, start, count, points)
    last = count - 1
    count += -count % WIDTH
    for axis in range(n.dims):
        at = axis * BLOCK
        for i in range(at + last + 1, at + count):
            points[i] = points[at + last]
        _cells(
            points, at, count, level.scale, level.shift, last_cell(level.address),
            np.int32(n.rows - 2), p.position, p.index, p.wave_rows,
        )  # fmt: skip
        if not level.by_node:
            for i in range(count):
                p.wave_rows[at + i] = np.int32(2 * (start + min(i, last)))
        seen = p.position if level.grid_units else points
        for octave in range(level.num_frequencies):
            to = 2 * (axis * level.num_frequencies + octave) * BLOCK
            if octave % _ANCHOR:
                _double(p.features, to - 2 * BLOCK, count)
            else:
                _sin_cos_pi(seen, at, count, np.float32(1 << octave), p.features, to)
    locate(
        count, n.dims, level.scale, level.shift, level.address, level.interpolation,
        p.places,
    )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def first_layer_vjp(count, inputs, gates, p, sums):
    """Add gradients of W_1 and b_1, of four features and two points at a time."""
    features, grads = p.features, p.first_grads
    if count % 2:
        for k in range(count * gates, (count + 1) * gates):
            grads[k] = np.float32(0)
    for chunk in range(0, gates, WIDTH):
        bias = load(sums.biases, chunk)
        for i in range(count):
            bias = add(bias, load(grads, i * gates + chunk))
        store(sums.biases, chunk, bias)
        for j in range(0, inputs, 4):
            to = j * gates + chunk
            a, b = load(sums.projection, to), load(sums.projection, to + gates)
            c = load(sums.projection, to + 2 * gates)
            d = load(sums.projection, to + 3 * gates)
            nothing = fill(np.float32(0))
            e, f, g, h = nothing, nothing, nothing, nothing
            for i in range(0, count, 2):
                at = j * BLOCK + i
                grad = load(grads, i * gates + chunk)
                a = fma(fill(features[at]), grad, a)
                b = fma(fill(features[at + BLOCK]), grad, b)
                c = fma(fill(features[at + 2 * BLOCK]), grad, c)
                d = fma(fill(features[at + 3 * BLOCK]), grad, d)
                grad = load(grads, (i + 1) * gates + chunk)
                e = fma(fill(features[at + 1]), grad, e)
                f = fma(fill(features[at + BLOCK + 1]), grad, f)
                g = fma(fill(features[at + 2 * BLOCK + 1]), grad, g)
                h = fma(fill(features[at + 3 * BLOCK + 1]), grad, h)
            store(sums.projection, to, add(a, e))
            store(sums.projection, to + gates, add(b, f))
            store(sums.projection, to + 2 * gates, add(c, g))
            store(sums.projection, to + 3 * gates, add(d, h))


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
