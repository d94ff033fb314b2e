"""Sines and cosines in numba that the compiler can vectorise.

A sine is taken of what remains after the nearest multiple of pi, by a polynomial of
degree 9 whose error is below one unit in the last place of float32 for arguments up to
some ten thousand radians; pi is subtracted in two parts, so that nothing cancels.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import typing

import numpy as np
from numba import njit

from tangrid.ops.lanes import fma, fnma
from tangrid.ops.loops import INLINE

_INVERSE_PI = np.float32(0.3183098861837907)
_PI_HIGH = np.float32(3.140625)
_PI_LOW = np.float32(9.676535897932e-4)
# Fitted to sin(r) = r + C3 r^3 + ... between -pi/2 and pi/2: the largest relative error
# is 6e-9.
_C3 = np.float32(-1.66666595e-1)
_C5 = np.float32(8.33306543e-3)
_C7 = np.float32(-1.98095389e-4)
_C9 = np.float32(2.60563107e-6)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_TWO = np.float32(2)


@typing.no_type_check
@njit(**INLINE)
def _sine_of_rest(angle, multiple, whole):
    rest = fnma(multiple, _PI_LOW, fnma(multiple, _PI_HIGH, angle))
    square = rest * rest
    tail = fma(square, fma(square, fma(square, _C9, _C7), _C5), _C3)
    sign = _ONE - _TWO * fnma(_TWO, np.floor(whole * _HALF), whole)
    return sign * fma(rest * square, tail, rest)


@typing.no_type_check
@njit(**INLINE)
def sine(angle):
    """Return the sine of a float32 angle in radians."""
    whole = np.rint(angle * _INVERSE_PI)
    return _sine_of_rest(angle, whole, whole)


@typing.no_type_check
@njit(**INLINE)
def cosine(angle):
    """Return the cosine of a float32 angle in radians."""
    whole = np.rint(fma(angle, _INVERSE_PI, _HALF))
    return _sine_of_rest(angle, whole - _HALF, whole)
