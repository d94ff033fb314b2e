"""Sines and cosines of angles in turns, for Triton programs.

Whole half turns leave an angle in turns exactly, so that no long reduction stands in
the program for arguments that never come: the library's sine carries one, and memory
for it. What remains, at most a quarter turn, goes through a polynomial of degree 9.
"""
# Programs are typed by Triton.
# ruff: noqa: ANN001, ANN201, ANN202

import triton
import triton.language as tl

# Fitted to sin(2 pi r) = r (C0 + C1 r^2 + ...) between -1/4 and 1/4: the largest
# relative error is 6e-9 before, and 2e-7 after rounding to float32.
_C0 = tl.constexpr(6.28318548)
_C1 = tl.constexpr(-41.3416786)
_C2 = tl.constexpr(81.6022339)
_C3 = tl.constexpr(-76.5749893)
_C4 = tl.constexpr(39.7109184)


@triton.jit
def _sine_of_rest(rest, whole):
    square = rest * rest
    tail = _C1 + square * (_C2 + square * (_C3 + square * _C4))
    sine = rest * (_C0 + square * tail)
    is_odd = (whole - 2.0 * tl.floor(whole * 0.5)) != 0.0
    return tl.where(is_odd, -sine, sine)


@triton.jit
def sine_of_turns(turns):
    """Return sin(2 pi turns), of float32 turns of moderate size."""
    whole = tl.floor(2.0 * turns + 0.5)
    return _sine_of_rest(turns - 0.5 * whole, whole)


@triton.jit
def cosine_of_turns(turns):
    """Return cos(2 pi turns), of float32 turns of moderate size."""
    whole = tl.floor(2.0 * turns + 1.0)
    return _sine_of_rest(turns - (0.5 * whole - 0.25), whole)
