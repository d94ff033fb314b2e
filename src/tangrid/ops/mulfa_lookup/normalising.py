"""From kernel values at the corners of one cell to weights, and back, for numba."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.mulfa_lookup.filters import NORMALISERS, RESIDUAL_BOUND
from tangrid.ops.mulfa_lookup.lanes import INLINE, INNER

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
def weigh(normaliser, epsilon, n, p):
    """Fill weights, by output and corner, from raw kernel values and lambda."""
    for first in range(0, n.outputs * n.corners, n.corners):
        if normaliser == LIN_ADD:
            for k in range(n.corners):
                p.weights[first + k] = p.linear[k] * (_ONE + p.raw[first + k])
        elif normaliser == NONE:
            for k in range(n.corners):
                p.weights[first + k] = p.raw[first + k]
        elif normaliser == SIGNED_EPS:
            size, mean = _size_and_mean(first, n, p)
            damped = mean / (mean * mean + np.float32(epsilon * epsilon))
            for k in range(n.corners):
                p.weights[first + k] = p.raw[first + k] / size * damped
        else:
            _divide(normaliser, first, n, p)


@typing.no_type_check
@njit(**INNER)
def _size_and_mean(first, n, p):
    size = _TINY
    for k in range(n.corners):
        size += abs(p.raw[first + k])
    mean = np.float32(0)
    for k in range(n.corners):
        mean += p.raw[first + k] / size
    return size, mean


@typing.no_type_check
@njit(**INNER)
def _divide(normaliser, first, n, p):
    """Fill weights and return the sum that they were divided by."""
    largest = p.raw[first]
    for k in range(1, n.corners):
        largest = max(largest, p.raw[first + k])
    whole = np.float32(0)
    for k in range(n.corners):
        value = p.raw[first + k]
        if normaliser == LIN_RESIDUAL:
            value = p.linear[k] * (_ONE + _BOUND * math.tanh(value))
        elif normaliser != SUM:
            value = math.exp(value - largest)
            if normaliser == LIN_SOFTMAX:
                value *= p.linear[k]
        p.weights[first + k] = value
        whole += value
    for k in range(n.corners):
        p.weights[first + k] = p.weights[first + k] / whole
    return largest, whole


@typing.no_type_check
@njit(**INLINE)
def pull_weights(normaliser, epsilon, n, p):
    """Turn gradients of weights into those of raw values; add those of lambda."""
    for first in range(0, n.outputs * n.corners, n.corners):
        if normaliser == LIN_ADD:
            for k in range(n.corners):
                grad = p.grads[first + k]
                p.grad_linear[k] = p.grad_linear[k] + grad * (_ONE + p.raw[first + k])
                p.grads[first + k] = grad * p.linear[k]
        elif normaliser == SIGNED_EPS:
            _pull_damped(epsilon, first, n, p)
        elif normaliser != NONE:
            _pull_divided(normaliser, first, n, p)


@typing.no_type_check
@njit(**INNER)
def _pull_damped(epsilon, first, n, p):
    size, mean = _size_and_mean(first, n, p)
    along = np.float32(0)
    for k in range(n.corners):
        along += p.grads[first + k] * (p.raw[first + k] / size)
    square = np.float32(epsilon * epsilon)
    below = mean * mean + square
    through = along * (square - mean * mean) / (below * below)
    for k in range(n.corners):
        grad = p.grads[first + k]
        p.grads[first + k] = (grad * (mean / below) + through) / size


@typing.no_type_check
@njit(**INNER)
def _pull_divided(normaliser, first, n, p):
    largest, whole = _divide(normaliser, first, n, p)
    mean = np.float32(0)
    for k in range(n.corners):
        mean += p.grads[first + k] * p.weights[first + k]
    for k in range(n.corners):
        value = p.raw[first + k]
        change = p.grads[first + k] - mean
        if normaliser == SUM:
            change /= whole
        elif normaliser == LIN_RESIDUAL:
            bent = math.tanh(value)
            change /= whole
            grad = change * (_ONE + _BOUND * bent)
            p.grad_linear[k] = p.grad_linear[k] + grad
            change *= p.linear[k] * _BOUND * (_ONE - bent * bent)
        else:
            if normaliser == LIN_SOFTMAX:
                grad = change / whole * math.exp(value - largest)
                p.grad_linear[k] = p.grad_linear[k] + grad
            change *= p.weights[first + k]
        p.grads[first + k] = change
