"""Reads of the table, and what they hand back to the table and to kernel values.

Where weights are affine in the kernel's values, w = lambda (unit + phi), what stands
before phi is computed for a block of points at once.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import BLOCK
from tangrid.ops.lanes import WIDTH, add, fill, fma, load, mul, total
from tangrid.ops.loops import INLINE

_ONE = np.float32(1)
_ZERO = np.float32(0)


@typing.no_type_check
@njit(**INLINE)
def scale_nodes(count, n, p, unit, centred):
    """Fill the corners' features times lambda, and their sums over the corners.

    Where weights are centred, features are those beyond the interpolated value: the
    kernel's mean, times that value, is the same subtraction.
    """
    for channel in range(n.channels):
        plain = channel * BLOCK
        for corner in range(n.corners):
            to = (channel * n.corners + corner) * BLOCK
            own = corner * BLOCK
            for i in range(count):
                scaled = p.table[p.rows[own + i] * n.channels + channel]
                scaled *= p.lambdas[own + i] if unit > 0 else _ONE
                p.scaled[to + i] = scaled
                p.plain[plain + i] = scaled + (p.plain[plain + i] if corner else _ZERO)
        for corner in range(n.corners if centred else 0):
            to = (channel * n.corners + corner) * BLOCK
            for i in range(count):
                p.scaled[to + i] -= p.lambdas[corner * BLOCK + i] * p.plain[plain + i]


@typing.no_type_check
@njit(**INLINE)
def read_affine(i, n, p, unit, centred, to, out):
    """Write a point's features: sum the last layer over the corners, then mix."""
    last = (n.layers - 1) * n.corners * n.gates
    for channel in range(n.channels):
        output = channel if n.outputs > 1 else 0
        node = channel * n.corners * BLOCK + i
        mixed = fill(_ZERO)
        for chunk in range(0, n.gates, WIDTH):
            layer = mul(fill(p.scaled[node]), load(p.after, last + chunk))
            for corner in range(1, n.corners):
                scaled = fill(p.scaled[node + corner * BLOCK])
                at = last + corner * n.gates + chunk
                layer = fma(scaled, load(p.after, at), layer)
            mixed = fma(layer, load(p.mix, output * n.gates + chunk), mixed)
        plain = p.plain[channel * BLOCK + i]
        whole = unit if centred else unit + p.offset[output * n.corners]
        out[to + channel] = plain * whole + total(mixed)


@typing.no_type_check
@njit(**INLINE)
def scale_grads(count, stride, n, p, upstream):
    """Fill the gradients of raw values."""
    for channel in range(n.channels):
        for corner in range(n.corners):
            own = (channel * n.corners + corner) * BLOCK
            to = own if n.outputs > 1 else corner * BLOCK
            for i in range(count):
                grad = upstream[i * stride + channel] * p.scaled[own + i]
                if channel > 0 and n.outputs == 1:
                    grad += p.raw_grads[to + i]
                p.raw_grads[to + i] = grad


@typing.no_type_check
@njit(**INLINE)
def read_affine_vjp(i, t, n, p, unit, centred, at, upstream, grad_table, wants):
    """Add a point's gradients of the table; fill those of lambda."""
    for corner in range(n.corners if wants.coords else 0):
        p.linear_grads[corner * BLOCK + i] = _ZERO
    for channel in range(n.channels):
        raw = t * n.scalars + (channel * n.corners if n.outputs > 1 else 0)
        mean = _ZERO
        for corner in range(n.corners if centred else 0):
            mean += p.lambdas[corner * BLOCK + i] * p.raw[raw + corner]
        grad = upstream[at + channel]
        for corner in range(n.corners):
            own = corner * BLOCK + i
            node = p.rows[own] * n.channels + channel
            weight = unit + p.raw[raw + corner] - mean
            linear = p.lambdas[own] if unit > 0 else _ONE
            if wants.table:
                change = grad_table[node] + grad * weight * linear
                grad_table[node] = change
            # Where lambda is not part of the weights, its gradient is zero.
            if wants.coords and unit > 0:
                pulled = weight * p.table[node]
                if centred:
                    pulled -= p.raw[raw + corner] * p.plain[channel * BLOCK + i]
                p.linear_grads[own] += grad * pulled


@typing.no_type_check
@njit(**INLINE)
def read(i, t, n, p, to, out):
    """Write a point's features."""
    for channel in range(n.channels):
        first = t * n.scalars + (channel * n.corners if n.outputs > 1 else 0)
        value = _ZERO
        for corner in range(n.corners):
            node = p.rows[corner * BLOCK + i] * n.channels
            value += p.weights[first + corner] * p.table[node + channel]
        out[to + channel] = value


@typing.no_type_check
@njit(**INLINE)
def read_vjp(i, t, n, p, at, upstream, grad_table, wants):
    """Add the table's gradient of one point; fill those of its weights."""
    for corner in range(n.corners):
        node = p.rows[corner * BLOCK + i] * n.channels
        shared = _ZERO
        for channel in range(n.channels):
            k = t * n.scalars + corner + (channel * n.corners if n.outputs > 1 else 0)
            grad = upstream[at + channel]
            own = grad * p.table[node + channel]
            shared += own
            p.weight_grads[k] = own if n.outputs > 1 else shared
            if wants.table:
                change = grad_table[node + channel] + grad * p.weights[k]
                grad_table[node + channel] = change


@typing.no_type_check
@njit(**INLINE)
def offset_vjp(count, n, p, sums):
    """Add gradients of c, by corner."""
    for k in range(n.outputs * n.corners):
        own = k * BLOCK
        whole = fill(_ZERO)
        for i in range(0, count // WIDTH * WIDTH, WIDTH):
            whole = add(whole, load(p.raw_grads, own + i))
        change = total(whole)
        for i in range(count // WIDTH * WIDTH, count):
            change += p.raw_grads[own + i]
        sums.offset[k] = sums.offset[k] + change
