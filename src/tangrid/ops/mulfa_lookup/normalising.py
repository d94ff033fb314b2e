"""From kernel values at the corners of one cell to weights, and back, for numba.

The affine normalisers need none of this, see `tangrid.ops.mulfa_lookup.reading`.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import BLOCK
from tangrid.ops.loops import INNER
from tangrid.ops.mulfa_lookup.filters import NORMALISERS, RESIDUAL_BOUND

LIN_ADD = NORMALISERS.index("lin_add")
LIN_CENTRED = NORMALISERS.index("lin_centred")
AFFINE = (NORMALISERS.index("none"), LIN_ADD, LIN_CENTRED)
"""Weights are affine in the kernel's values: nodes can be summed before mixing."""
_SUM = NORMALISERS.index("sum")
_SIGNED_EPS = NORMALISERS.index("signed_eps")
_LIN_SOFTMAX = NORMALISERS.index("lin_softmax")
_LIN_RESIDUAL = NORMALISERS.index("lin_residual")

_ONE = np.float32(1)
_BOUND = np.float32(RESIDUAL_BOUND)
_TINY = np.finfo(np.float32).tiny


@typing.no_type_check
@njit(**INNER)
def weigh(normaliser, epsilon, i, t, n, p):
    """Fill weights, by output and corner, from raw kernel values and lambda."""
    for output in range(n.outputs):
        first = t * n.scalars + output * n.corners
        if normaliser == _SIGNED_EPS:
            _damp(epsilon, first, n, p)
        else:
            _divide(normaliser, i, first, n, p)


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
def _divide(normaliser, i, first, n, p):
    """Return the largest value and the weights' divisor, having filled the weights."""
    largest = p.raw[first]
    for k in range(first + 1, first + n.corners):
        largest = max(largest, p.raw[k])
    whole = np.float32(0)
    for corner in range(n.corners):
        value = p.raw[first + corner]
        linear = p.lambdas[corner * BLOCK + i]
        if normaliser == _LIN_RESIDUAL:
            value = linear * (_ONE + _BOUND * math.tanh(value))
        elif normaliser != _SUM:
            value = math.exp(value - largest)
            if normaliser == _LIN_SOFTMAX:
                value *= linear
        p.weights[first + corner] = value
        whole += value
    for k in range(first, first + n.corners):
        p.weights[k] = p.weights[k] / whole
    return largest, whole


@typing.no_type_check
@njit(**INNER)
def pull_weights(normaliser, epsilon, i, t, n, p):
    """Fill gradients of raw values and of lambda from those of weights."""
    for corner in range(n.corners):
        p.linear_grads[corner * BLOCK + i] = np.float32(0)
    for output in range(n.outputs):
        first = t * n.scalars + output * n.corners
        to = output * n.corners * BLOCK + i
        if normaliser == _SIGNED_EPS:
            _pull_damped(epsilon, first, to, n, p)
        else:
            _pull_divided(normaliser, i, first, to, n, p)


@typing.no_type_check
@njit(**INNER)
def _pull_damped(epsilon, first, to, n, p):
    size, mean = _size_and_mean(first, n, p)
    along = np.float32(0)
    for k in range(first, first + n.corners):
        along += p.weight_grads[k] * (p.raw[k] / size)
    square = np.float32(epsilon * epsilon)
    below = mean * mean + square
    through = along * (square - mean * mean) / (below * below)
    for corner in range(n.corners):
        grad = p.weight_grads[first + corner] * (mean / below) + through
        p.raw_grads[to + corner * BLOCK] = grad / size


@typing.no_type_check
@njit(**INNER)
def _pull_divided(normaliser, i, first, to, n, p):
    largest, whole = _divide(normaliser, i, first, n, p)
    mean = np.float32(0)
    for k in range(first, first + n.corners):
        mean += p.weight_grads[k] * p.weights[k]
    for corner in range(n.corners):
        k, own = first + corner, corner * BLOCK
        change = p.weight_grads[k] - mean
        linear = np.float32(0)
        if normaliser == _SUM:
            change /= whole
        elif normaliser == _LIN_RESIDUAL:
            bent = math.tanh(p.raw[k])
            change /= whole
            linear = change * (_ONE + _BOUND * bent)
            change *= p.lambdas[own + i] * _BOUND * (_ONE - bent * bent)
        else:
            if normaliser == _LIN_SOFTMAX:
                linear = change / whole * math.exp(p.raw[k] - largest)
            change *= p.weights[k]
        p.raw_grads[to + own] = change
        p.linear_grads[own + i] = p.linear_grads[own + i] + linear
