"""Kernel functions of one or two gates for all channels: eight points at a time.

One weight per corner serves all channels, so that the loops of a plain grid read nodes
and hand gradients back. The two gates of a point stand side by side; where there is one
gate, the second is zero.

Points past the end of a block repeat its last one and have no upstream gradient.
"""
# Loops are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.channels import BLOCK, dots_of, gather, scatter
from tangrid.ops.lanes import WIDTH, add, fill, fma, fnma, load, mul, store
from tangrid.ops.loops import INLINE, INNER, advance
from tangrid.ops.mulfa_lookup.reading import offset_vjp
from tangrid.ops.wide_lanes import (
    alternate,
    gather_pairs,
    join,
    load_twice,
    load_wide,
    sums_of_pairs,
)

GATES = 2
"""Most gates that these loops are for."""

_PAIRS = 2 * WIDTH
_ONE = np.float32(1)
_ZERO = np.float32(0)


@typing.no_type_check
@njit(**INLINE)
def _nothing():
    return join(fill(_ZERO), fill(_ZERO))


@typing.no_type_check
@njit(**INLINE)
def _everywhere(numbers, start):
    """Return eight copies of a pair."""
    four = alternate(numbers, start)
    return join(four, four)


@typing.no_type_check
@njit(**INNER)
def _first_layer(count, inputs, n, p):
    """Fill ``W_1 gamma + b_1`` of a block, in pairs."""
    for i in range(0, count, WIDTH):
        first = _everywhere(p.biases, 0)
        for j in range(inputs):
            weights = _everywhere(p.projection, j * n.gates)
            first = fma(load_twice(p.features, j * BLOCK + i), weights, first)
        store(p.first, GATES * i, first)


@typing.no_type_check
@njit(**INNER)
def _number_pairs(count, n, p):
    """Count rows of waves in pairs, which are what is gathered."""
    for axis in range(n.dims):
        for i in range(axis * BLOCK, axis * BLOCK + count):
            p.wave_rows[i] *= np.int32(n.gates)


@typing.no_type_check
@njit(**INLINE)
def _wave(i, axis, side, n, p):
    """Return sines and cosines along one axis, on one side of eight points."""
    row = 2 * n.gates
    own = advance(p.waves, (axis * n.rows + side) * row)
    at = axis * BLOCK + i
    sine = gather_pairs(own, p.wave_rows, at)
    return sine, gather_pairs(advance(own, n.gates), p.wave_rows, at)


@typing.no_type_check
@njit(**INLINE)
def _gates(i, n, p):
    """Fill sines and cosines of both gates at the corners of eight points' cells."""
    for side in range(2):
        sine, cosine = _wave(i, 0, side, n, p)
        store(p.sines, side * _PAIRS, sine)
        store(p.cosines, side * _PAIRS, cosine)
    for axis in range(1, n.dims):
        low_sine, low_cosine = _wave(i, axis, 0, n, p)
        high_sine, high_cosine = _wave(i, axis, 1, n, p)
        for corner in range(1 << axis):
            here, there = corner * _PAIRS, (corner + (1 << axis)) * _PAIRS
            sine, cosine = load_wide(p.sines, here), load_wide(p.cosines, here)
            store(p.sines, here, fma(sine, low_cosine, mul(cosine, low_sine)))
            store(p.cosines, here, fnma(sine, low_sine, mul(cosine, low_cosine)))
            store(p.sines, there, fma(sine, high_cosine, mul(cosine, high_sine)))
            store(p.cosines, there, fnma(sine, high_sine, mul(cosine, high_cosine)))


@typing.no_type_check
@njit(**INNER)
def _raw_values(count, n, p):
    """Fill phi without its offset, by corner."""
    mix = _everywhere(p.mix, 0)
    for i in range(0, count, WIDTH):
        _gates(i, n, p)
        mixed = mul(load_wide(p.first, GATES * i), mix)
        for corner in range(n.corners):
            raw = sums_of_pairs(mul(load_wide(p.sines, corner * _PAIRS), mixed))
            store(p.scaled, corner * BLOCK + i, raw)


@typing.no_type_check
@njit(**INNER)
def _weigh(count, n, p, unit, centred):
    """Fill weights, and what stands beside lambda in them in place of phi."""
    raw, weights = p.scaled, p.changes
    for i in range(0, count, WIDTH):
        mean = fill(_ZERO if centred else -p.offset[0])
        for corner in range(n.corners if centred else 0):
            at = corner * BLOCK + i
            mean = fma(load(p.lambdas, at), load(raw, at), mean)
        for corner in range(n.corners):
            at = corner * BLOCK + i
            beside = add(fill(unit), fnma(fill(_ONE), mean, load(raw, at)))
            weight = mul(load(p.lambdas, at), beside) if unit > 0 else beside
            store(weights, at, weight)
            store(raw, at, beside)


@typing.no_type_check
@njit(**INLINE)
def _prepare(count, inputs, n, p, unit, centred):
    _first_layer(count, inputs, n, p)
    _number_pairs(count, n, p)
    _raw_values(count, n, p)
    _weigh(count, n, p, unit, centred)


@typing.no_type_check
@njit(**INNER)
def read_by_point(count, inputs, n, p, unit, centred, stride, out):
    """Write a block's features."""
    _prepare(count + -count % WIDTH, inputs, n, p, unit, centred)
    gather(p.table, n.channels, count, n.corners, p.rows, p.changes, out, stride)


@typing.no_type_check
@njit(**INNER)
def pull_by_point(
    count, inputs, n, p, s, unit, centred, stride, upstream, grad_table, wants
):
    """Add gradients of a block; fill those of lambda and of the first layer."""
    whole = count + -count % WIDTH
    _prepare(whole, inputs, n, p, unit, centred)
    rows, channels, corners = p.rows, n.channels, n.corners
    if wants.table:
        scatter(grad_table, channels, count, corners, rows, p.changes, upstream, stride)
    if not (wants.kernel or wants.coords):
        return
    dots_of(p.table, channels, count, corners, rows, upstream, stride, p.raw_grads)
    for corner in range(corners):
        for i in range(corner * BLOCK + count, corner * BLOCK + whole):
            p.raw_grads[i] = _ZERO
    _pull_weights(whole, n, p, unit, centred)
    offset_vjp(count, n, p, s)
    _pull_gates(whole, n, p, s)
    if wants.kernel:
        _pull_first_layer(whole, inputs, n, p, s)
    for i in range(count * n.gates if wants.coords else 0):
        p.first_grads[i] = _ZERO
    for i in range(count if wants.coords else 0):
        for gate in range(GATES):
            p.first_grads[i * n.gates + gate] = p.first[GATES * i + gate]


@typing.no_type_check
@njit(**INNER)
def _pull_weights(count, n, p, unit, centred):
    """Turn gradients of weights into those of phi; fill those of lambda."""
    grads, beside = p.raw_grads, p.scaled
    if unit == _ZERO:
        for i in range(n.corners * BLOCK):
            p.linear_grads[i] = _ZERO
        return
    for i in range(0, count, WIDTH):
        mean = fill(_ZERO)
        for corner in range(n.corners if centred else 0):
            at = corner * BLOCK + i
            mean = fma(load(p.lambdas, at), load(grads, at), mean)
        for corner in range(n.corners):
            at = corner * BLOCK + i
            change = fnma(fill(_ONE), mean, load(grads, at))
            # But for a term that all corners share, which moving a point cannot tell:
            # lambda sums to 1 everywhere.
            store(p.linear_grads, at, mul(change, load(beside, at)))
            store(grads, at, mul(change, load(p.lambdas, at)))


@typing.no_type_check
@njit(**INNER)
def _pull_gates(count, n, p, s):
    """Add gradients of mix, phases and frequencies; put the first layer's in place."""
    mix = _everywhere(p.mix, 0)
    mixes, phases = _nothing(), _nothing()
    for axis in range(n.dims):
        store(p.pulled, axis * _PAIRS, _nothing())
    for i in range(0, count, WIDTH):
        _gates(i, n, p)
        first = load_wide(p.first, GATES * i)
        mixed = mul(first, mix)
        below, whole = _nothing(), _nothing()
        for corner in range(n.corners):
            grad, at = load_twice(p.raw_grads, corner * BLOCK + i), corner * _PAIRS
            below = fma(grad, load_wide(p.sines, at), below)
            turned = mul(mul(grad, mixed), load_wide(p.cosines, at))
            store(p.cosines, at, turned)
            whole = add(whole, turned)
        mixes = fma(below, first, mixes)
        phases = add(phases, whole)
        store(p.first, GATES * i, mul(below, mix))
        for axis in range(n.dims):
            own = axis * _PAIRS
            steps = load_twice(p.index, axis * BLOCK + i)
            change = fma(steps, whole, load_wide(p.pulled, own))
            for corner in range(n.corners):
                if (corner >> axis) & 1:
                    # The upper corner is one step further along.
                    change = add(change, load_wide(p.cosines, corner * _PAIRS))
            store(p.pulled, own, change)
    for axis in range(n.dims):
        _add_up(p.pulled, axis * _PAIRS, s.frequencies, axis * n.gates)
    store(p.pulled, 0, mixes)
    _add_up(p.pulled, 0, s.mix, 0)
    store(p.pulled, 0, phases)
    _add_up(p.pulled, 0, s.phases, 0)


@typing.no_type_check
@njit(**INNER)
def _pull_first_layer(count, inputs, n, p, s):
    """Add gradients of W_1 and b_1."""
    bias = _nothing()
    for i in range(0, count, WIDTH):
        bias = add(bias, load_wide(p.first, GATES * i))
    store(p.pulled, 0, bias)
    _add_up(p.pulled, 0, s.biases, 0)
    for j in range(inputs):
        change = _nothing()
        for i in range(0, count, WIDTH):
            features = load_twice(p.features, j * BLOCK + i)
            change = fma(features, load_wide(p.first, GATES * i), change)
        store(p.pulled, 0, change)
        _add_up(p.pulled, 0, s.projection, j * n.gates)


@typing.no_type_check
@njit(**INNER)
def _add_up(pairs, start, sums, to):
    """Add eight pairs to one."""
    for gate in range(GATES):
        whole = sums[to + gate]
        for i in range(start + gate, start + _PAIRS, GATES):
            whole += pairs[i]
        sums[to + gate] = whole
