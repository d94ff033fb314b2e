"""From kernel values at the corners of one cell to weights, and back, for numba."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.loops import INLINE, INNER
from tangrid.ops.mulfa_lookup.filters import NORMALISERS, RESIDUAL_BOUND
from tangrid.ops.mulfa_lookup.lanes import (
    WIDTH,
    fma,
    load,
    mul,
    store,
)

NONE = NORMALISERS.index("none")
SUM = NORMALISERS.index("sum")
SIGNED_EPS = NORMALISERS.index("signed_eps")
SOFTMAX = NORMALISERS.index("softmax")
LIN_SOFTMAX = NORMALISERS.index("lin_softmax")
LIN_RESIDUAL = NORMALISERS.index("lin_residual")
LIN_ADD = NORMALISERS.index("lin_add")

_ONE = np.float32(1)
_BOUND = np.float32(RESIDUAL_BOUND)
_TINY = np.finfo(np.float32).tiny


@typing.no_type_check
@njit(**INLINE)
def weigh(normaliser, epsilon, t, n, p):
    """Fill weights, by output and corner, from raw kernel values and lambda."""
    first = t * n.scalars
    if normaliser == LIN_ADD:
        for at in range(first, first + n.scalars, WIDTH):
            linear = load(p.linear, at)
            store(p.weights, at, fma(linear, load(p.raw, at), linear))
    elif normaliser == NONE:
        for at in range(first, first + n.scalars, WIDTH):
            store(p.weights, at, load(p.raw, at))
    else:
        for output in range(n.outputs):
            if normaliser == SIGNED_EPS:
                _damp(epsilon, first + output * n.corners, n, p)
            else:
                _divide(normaliser, first + output * n.corners, n, p)


@typing.no_type_check
@njit(**INNER)
def _size_and_mean(first, n, p):
    size = _TINY
    for k in range(first, first + n.corners):
        size += abs(p.raw[k])
    mean = np.float32(0)
    for k in range(first, first + n.corners):
        mean += p.raw[k] / size
    return size, mean


@typing.no_type_check
@njit(**INNER)
def _damp(epsilon, first, n, p):
    size, mean = _size_and_mean(first, n, p)
    damped = mean / (mean * mean + np.float32(epsilon * epsilon))
    for k in range(first, first + n.corners):
        p.weights[k] = p.raw[k] / size * damped


@typing.no_type_check
@njit(**INNER)
def _divide(normaliser, first, n, p):
    """Return the largest value and the weights' divisor, having filled the weights."""
    largest = p.raw[first]
    for k in range(first + 1, first + n.corners):
        largest = max(largest, p.raw[k])
    whole = np.float32(0)
    for k in range(first, first + n.corners):
        value = p.raw[k]
        if normaliser == LIN_RESIDUAL:
            value = p.linear[k] * (_ONE + _BOUND * math.tanh(value))
        elif normaliser != SUM:
            value = math.exp(value - largest)
            if normaliser == LIN_SOFTMAX:
                value *= p.linear[k]
        p.weights[k] = value
        whole += value
    for k in range(first, first + n.corners):
        p.weights[k] = p.weights[k] / whole
    return largest, whole


@typing.no_type_check
@njit(**INLINE)
def pull_weights(normaliser, epsilon, t, n, p, wants_linear):
    """Turn gradients of weights into those of raw values; fill those of lambda.

    The latter are undefined unless they are wanted.
    """
    first = t * n.scalars
    if wants_linear:
        _start_linear(normaliser, t, n, p)
    if normaliser == LIN_ADD:
        for at in range(first, first + n.scalars, WIDTH):
            store(p.grads, at, mul(load(p.linear, at), load(p.grads, at)))
    elif normaliser == SIGNED_EPS:
        for output in range(n.outputs):
            _pull_damped(epsilon, first + output * n.corners, n, p)
    elif normaliser != NONE:
        for output in range(n.outputs):
            own = first + output * n.corners
            _pull_divided(normaliser, own, t * n.corners, n, p)


@typing.no_type_check
@njit(**INLINE)
def _start_linear(normaliser, t, n, p):
    for corner in range(n.corners):
        grad = np.float32(0)
        if normaliser == LIN_ADD:
            for output in range(n.outputs):
                k = t * n.scalars + output * n.corners + corner
                grad += p.grads[k] * (_ONE + p.raw[k])
        p.grad_linear[t * n.corners + corner] = grad


@typing.no_type_check
@njit(**INNER)
def _pull_damped(epsilon, first, n, p):
    size, mean = _size_and_mean(first, n, p)
    along = np.float32(0)
    for k in range(first, first + n.corners):
        along += p.grads[k] * (p.raw[k] / size)
    square = np.float32(epsilon * epsilon)
    below = mean * mean + square
    through = along * (square - mean * mean) / (below * below)
    for k in range(first, first + n.corners):
        p.grads[k] = (p.grads[k] * (mean / below) + through) / size


@typing.no_type_check
@njit(**INNER)
def _pull_divided(normaliser, first, to, n, p):
    largest, whole = _divide(normaliser, first, n, p)
    mean = np.float32(0)
    for k in range(first, first + n.corners):
        mean += p.grads[k] * p.weights[k]
    for k in range(first, first + n.corners):
        change = p.grads[k] - mean
        linear = np.float32(0)
        if normaliser == SUM:
            change /= whole
        elif normaliser == LIN_RESIDUAL:
            bent = math.tanh(p.raw[k])
            change /= whole
            linear = change * (_ONE + _BOUND * bent)
            change *= p.linear[k] * _BOUND * (_ONE - bent * bent)
        else:
            if normaliser == LIN_SOFTMAX:
                linear = change / whole * math.exp(p.raw[k] - largest)
            change *= p.weights[k]
        p.grads[k] = change
        p.grad_linear[to + k - first] = p.grad_linear[to + k - first] + linear
