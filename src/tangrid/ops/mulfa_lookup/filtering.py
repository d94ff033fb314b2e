"""The filter network of one point at the corners of its cell, and its gradient."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
)
from tangrid.ops.lanes import (
    WIDTH,
    add,
    fill,
    fma,
    fnma,
    load,
    mul,
    store,
    totals,
)
from tangrid.ops.loops import INLINE


@typing.no_type_check
@njit(**INLINE)
def gates_at_corners(i, t, n, p, wants_cosines):
    """Fill sine and cosine of all gates at the corners of one point's cell."""
    stride = n.layers * 2 * n.gates
    for layer in range(n.layers):
        for chunk in range(0, n.gates, WIDTH):
            to = (t * n.layers + layer) * n.corners * n.gates + chunk
            at = p.wave_rows[i] * stride + layer * 2 * n.gates + chunk
            store(p.sines, to, load(p.waves, at))
            store(p.cosines, to, load(p.waves, at + n.gates))
            if n.corners > 1:
                store(p.sines, to + n.gates, load(p.waves, at + stride))
                store(p.cosines, to + n.gates, load(p.waves, at + stride + n.gates))
            for axis in range(1, n.dims):
                at = (axis * n.rows + p.wave_rows[axis * BLOCK + i]) * stride
                at += layer * 2 * n.gates + chunk
                low_sine, low_cosine = load(p.waves, at), load(p.waves, at + n.gates)
                high_sine = load(p.waves, at + stride)
                high_cosine = load(p.waves, at + stride + n.gates)
                both = wants_cosines or axis < n.dims - 1
                half = min(1 << axis, n.corners)
                for corner in range(half):
                    here = to + corner * n.gates
                    there = here + half * n.gates
                    sine, cosine = load(p.sines, here), load(p.cosines, here)
                    rotated = fma(sine, low_cosine, mul(cosine, low_sine))
                    store(p.sines, here, rotated)
                    if both:
                        rotated = fnma(sine, low_sine, mul(cosine, low_cosine))
                        store(p.cosines, here, rotated)
                    if n.corners > 1:
                        rotated = fma(sine, high_cosine, mul(cosine, high_sine))
                        store(p.sines, there, rotated)
                        if both:
                            rotated = fnma(sine, high_sine, mul(cosine, high_cosine))
                            store(p.cosines, there, rotated)


@typing.no_type_check
@njit(**INLINE)
def filter_at_corners(i, t, n, p):
    """Fill each layer before (from the second on) and after its gates, by corner."""
    first = t * n.layers * n.corners * n.gates
    for chunk in range(0, n.gates, WIDTH):
        shared = load(p.first, i * n.gates + chunk)
        for corner in range(n.corners):
            at = first + corner * n.gates + chunk
            store(p.after, at, mul(shared, load(p.sines, at)))
    for layer in range(1, n.layers):
        for corner in range(n.corners):
            below = first + ((layer - 1) * n.corners + corner) * n.gates
            for chunk in range(0, n.gates, WIDTH):
                value = load(p.biases, layer * n.gates + chunk)
                weights = (layer - 1) * n.gates * n.gates + chunk
                for j in range(n.gates):
                    weight = load(p.hidden, weights + j * n.gates)
                    value = fma(fill(p.after[below + j]), weight, value)
                at = below + n.corners * n.gates + chunk
                store(p.before, at, value)
                store(p.after, at, mul(value, load(p.sines, at)))


@typing.no_type_check
@njit(**INLINE)
def _mixed(scalar, t, n, p):
    """Return what adds up to one raw value; `scalar` counts outputs, then corners."""
    output = min(scalar >> n.dims if n.corners > 1 else scalar, n.outputs - 1)
    corner = scalar & (n.corners - 1)
    last = (((t + 1) * n.layers - 1) * n.corners + corner) * n.gates
    value = mul(load(p.mix, output * n.gates), load(p.after, last))
    for chunk in range(WIDTH, n.gates, WIDTH):
        weight = load(p.mix, output * n.gates + chunk)
        value = fma(weight, load(p.after, last + chunk), value)
    return value


@typing.no_type_check
@njit(**INLINE)
def raw_values(t, n, p):
    """Fill phi by output and corner."""
    for k in range(0, n.scalars, WIDTH):
        value = totals(
            _mixed(k, t, n, p), _mixed(k + 1, t, n, p), _mixed(k + 2, t, n, p),
            _mixed(k + 3, t, n, p), _mixed(k + 4, t, n, p), _mixed(k + 5, t, n, p),
            _mixed(k + 6, t, n, p), _mixed(k + 7, t, n, p),
        )  # fmt: skip
        store(p.raw, t * n.scalars + k, add(value, load(p.offset, k)))


@typing.no_type_check
@njit(**INLINE)
def mix_vjp(i, t, n, p, sums):
    """Add gradients of C; fill those of the last layer, by corner."""
    last = ((t + 1) * n.layers - 1) * n.corners * n.gates
    for chunk in range(0, n.gates, WIDTH):
        for output in range(n.outputs):
            weight = load(p.mix, output * n.gates + chunk)
            change = load(sums.mix, output * n.gates + chunk)
            for corner in range(n.corners):
                grad = fill(p.raw_grads[(output * n.corners + corner) * BLOCK + i])
                at = corner * n.gates + chunk
                change = fma(grad, load(p.after, last + at), change)
                below = mul(grad, weight)
                if output > 0:
                    below = add(below, load(p.pulled, at))
                store(p.pulled, at, below)
            store(sums.mix, output * n.gates + chunk, change)


@typing.no_type_check
@njit(**INLINE)
def gates_vjp(i, t, layer, n, p, sums):
    """Pull gradients through one layer's gates; add those of phase and frequency."""
    own = (t * n.layers + layer) * n.corners * n.gates
    for chunk in range(0, n.gates, WIDTH):
        value = load(p.first, i * n.gates + chunk)
        for corner in range(n.corners):
            at = corner * n.gates + chunk
            if layer > 0:
                value = load(p.before, own + at)
            turned = mul(mul(load(p.pulled, at), value), load(p.cosines, own + at))
            store(p.turned, corner * WIDTH, turned)
        _phases_vjp(i, layer, chunk, n, p, sums)
        for corner in range(n.corners):
            at = corner * n.gates + chunk
            store(p.pulled, at, mul(load(p.pulled, at), load(p.sines, own + at)))


@typing.no_type_check
@njit(**INLINE)
def _phases_vjp(i, layer, chunk, n, p, sums):
    """Add what `turned` holds to gradients of phases and, by axis, of frequencies."""
    for back in range(n.dims if n.corners > 1 else 0):
        # Halve the corners: the upper half is one step further along this axis. What
        # it adds up to takes the place of its first corner.
        half = 1 << (n.dims - 1 - back)
        upper = load(p.turned, half * WIDTH)
        store(p.turned, 0, add(upper, load(p.turned, 0)))
        for corner in range(1, half):
            at = corner * WIDTH
            high = load(p.turned, at + half * WIDTH)
            upper = add(upper, high)
            store(p.turned, at, add(high, load(p.turned, at)))
        store(p.turned, half * WIDTH, upper)
    whole = load(p.turned, 0)
    at = layer * n.gates + chunk
    store(sums.phases, at, add(whole, load(sums.phases, at)))
    for axis in range(n.dims):
        at = (layer * n.dims + axis) * n.gates + chunk
        change = fma(fill(p.index[axis * BLOCK + i]), whole, load(sums.frequencies, at))
        if n.corners > 1:
            change = add(change, load(p.turned, WIDTH << axis))
        store(sums.frequencies, at, change)


@typing.no_type_check
@njit(**INLINE)
def hidden_vjp(t, layer, n, p, sums):
    """Pull gradients through the weights before one layer; add those of the weights."""
    start = (layer - 1) * n.gates * n.gates
    for corner in range(n.corners):
        here = ((t * n.layers + layer - 1) * n.corners + corner) * n.gates
        own = corner * n.gates
        for chunk in range(0, n.gates, WIDTH):
            grad = load(p.pulled, own + chunk)
            at = layer * n.gates + chunk
            store(sums.biases, at, add(grad, load(sums.biases, at)))
            below = fill(np.float32(0))
            for j in range(n.gates):
                at = start + j * n.gates + chunk
                below = fma(fill(p.pulled[own + j]), load(p.hidden_turned, at), below)
                change = fma(fill(p.after[here + j]), grad, load(sums.hidden, at))
                store(sums.hidden, at, change)
            store(p.turned, own + chunk, below)
        for chunk in range(0, n.gates, WIDTH):
            store(p.pulled, own + chunk, load(p.turned, own + chunk))


@typing.no_type_check
@njit(**INLINE)
def first_layer_grads(i, n, p):
    """Store the first layer's gradient, summed over the corners."""
    for chunk in range(0, n.gates, WIDTH):
        grad = load(p.pulled, chunk)
        for corner in range(1, n.corners):
            grad = add(grad, load(p.pulled, corner * n.gates + chunk))
        store(p.first_grads, i * n.gates + chunk, grad)
