"""The filter network of one point at the corners of its cell, and the table's reads."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
)
from tangrid.ops.mulfa_lookup.lanes import (
    INLINE,
    WIDTH,
    add,
    fill,
    fma,
    fnma,
    load,
    mul,
    store,
    total,
)


@typing.no_type_check
@njit(**INLINE)
def gates_at_corners(i, n, p):
    """Fill sine and cosine of all gates at the corners of one point's cell."""
    stride = n.layers * 2 * n.gates
    for layer in range(n.layers):
        for chunk in range(0, n.gates, WIDTH):
            to = layer * n.corners * n.gates + chunk
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
                half = min(1 << axis, n.corners)
                for here in range(to, to + half * n.gates, n.gates):
                    sine, cosine = load(p.sines, here), load(p.cosines, here)
                    store(p.sines, here, fma(sine, low_cosine, mul(cosine, low_sine)))
                    store(
                        p.cosines, here, fnma(sine, low_sine, mul(cosine, low_cosine))
                    )
                    if n.corners > 1:
                        there = here + half * n.gates
                        store(
                            p.sines, there,
                            fma(sine, high_cosine, mul(cosine, high_sine)),
                        )  # fmt: skip
                        store(
                            p.cosines, there,
                            fnma(sine, high_sine, mul(cosine, high_cosine)),
                        )  # fmt: skip


@typing.no_type_check
@njit(**INLINE)
def filter_at_corners(i, n, p):
    """Fill each layer before (from the second on) and after its gates, by corner."""
    for chunk in range(0, n.gates, WIDTH):
        shared = load(p.first, i * n.gates + chunk)
        for at in range(chunk, n.corners * n.gates, n.gates):
            store(p.after, at, mul(shared, load(p.sines, at)))
    for layer in range(1, n.layers):
        for corner in range(n.corners):
            below = ((layer - 1) * n.corners + corner) * n.gates
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
def raw_values(n, p):
    """Fill phi by output and corner."""
    last = (n.layers - 1) * n.corners * n.gates
    for output in range(n.outputs):
        for corner in range(n.corners):
            value = p.offset[output]
            for chunk in range(0, n.gates, WIDTH):
                weight = load(p.mix, output * n.gates + chunk)
                layer = load(p.after, last + corner * n.gates + chunk)
                value += total(mul(weight, layer))
            p.raw[output * n.corners + corner] = value


@typing.no_type_check
@njit(**INLINE)
def read_affine(i, n, p, unit, to, out):
    """Write a point's features where weights are affine in phi: sum nodes, then mix."""
    last = (n.layers - 1) * n.corners * n.gates
    for channel in range(n.channels):
        output = channel if n.outputs > 1 else 0
        value = np.float32(0)
        for corner in range(n.corners):
            node = p.rows[corner * BLOCK + i]
            part = p.linear[corner] * p.table[node * n.channels + channel]
            p.grads[corner] = part
            value += part
        value *= unit + p.offset[output]
        for chunk in range(0, n.gates, WIDTH):
            layer = mul(fill(p.grads[0]), load(p.after, last + chunk))
            for corner in range(1, n.corners):
                at = last + corner * n.gates + chunk
                layer = fma(fill(p.grads[corner]), load(p.after, at), layer)
            value += total(mul(layer, load(p.mix, output * n.gates + chunk)))
        out[to + channel] = value


@typing.no_type_check
@njit(**INLINE)
def read(i, n, p, to, out):
    """Write a point's features."""
    for channel in range(n.channels):
        first = channel * n.corners if n.outputs > 1 else 0
        value = np.float32(0)
        for corner in range(n.corners):
            node = p.rows[corner * BLOCK + i]
            value += p.weights[first + corner] * p.table[node * n.channels + channel]
        out[to + channel] = value


@typing.no_type_check
@njit(**INLINE)
def read_vjp(i, n, p, at, upstream, grad_table, wants_table):
    """Add the table's gradient of one point; fill those of its weights."""
    for k in range(n.outputs * n.corners):
        p.grads[k] = np.float32(0)
    for channel in range(n.channels):
        first = channel * n.corners if n.outputs > 1 else 0
        grad = upstream[at + channel]
        for corner in range(n.corners):
            k = first + corner
            node = p.rows[corner * BLOCK + i] * n.channels + channel
            p.grads[k] = p.grads[k] + grad * p.table[node]
            if wants_table:
                grad_table[node] = grad_table[node] + grad * p.weights[k]


@typing.no_type_check
@njit(**INLINE)
def mix_vjp(n, p, sums):
    """Add gradients of C and c; fill those of the last layer, by corner."""
    last = (n.layers - 1) * n.corners * n.gates
    for output in range(n.outputs):
        for corner in range(n.corners):
            sums.offset[output] = (
                sums.offset[output] + p.grads[output * n.corners + corner]
            )
    for chunk in range(0, n.gates, WIDTH):
        for output in range(n.outputs):
            weight = load(p.mix, output * n.gates + chunk)
            change = load(sums.mix, output * n.gates + chunk)
            for corner in range(n.corners):
                grad = fill(p.grads[output * n.corners + corner])
                at = corner * n.gates + chunk
                change = fma(grad, load(p.after, last + at), change)
                below = mul(grad, weight)
                if output > 0:
                    below = add(below, load(p.pulled, at))
                store(p.pulled, at, below)
            store(sums.mix, output * n.gates + chunk, change)


@typing.no_type_check
@njit(**INLINE)
def gates_vjp(i, layer, n, p, sums):
    """Pull gradients through one layer's gates; add those of phase and frequency."""
    for chunk in range(0, n.gates, WIDTH):
        value = load(p.first, i * n.gates + chunk)
        whole = fill(np.float32(0))
        for corner in range(n.corners):
            at = corner * n.gates + chunk
            here = layer * n.corners * n.gates + at
            grad = load(p.pulled, at)
            if layer > 0:
                value = load(p.before, here)
            turn = mul(mul(grad, value), load(p.cosines, here))
            store(p.pulled, at, mul(grad, load(p.sines, here)))
            store(p.turned, at, turn)
            whole = add(whole, turn)
        at = layer * n.gates + chunk
        store(sums.phases, at, add(whole, load(sums.phases, at)))
        for axis in range(n.dims):
            at = (layer * n.dims + axis) * n.gates + chunk
            change = load(sums.frequencies, at)
            change = fma(fill(p.index[axis * BLOCK + i]), whole, change)
            for corner in range(n.corners):
                if (corner >> axis) & 1:
                    change = add(change, load(p.turned, corner * n.gates + chunk))
            store(sums.frequencies, at, change)


@typing.no_type_check
@njit(**INLINE)
def hidden_vjp(layer, n, p, sums):
    """Pull gradients through the weights before one layer; add those of the weights."""
    start = (layer - 1) * n.gates * n.gates
    for corner in range(n.corners):
        here = ((layer - 1) * n.corners + corner) * n.gates
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
