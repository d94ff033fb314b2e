"""Tables of the gates' sines and cosines along each axis of a level.

A row holds, layer by layer, the sines and then the cosines of all gates. The phase is
part of axis 0.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.lanes import (
    WIDTH,
    fma,
    fnma,
    load,
    mul,
    narrow,
    store,
)
from tangrid.ops.loops import INLINE, INNER, pointer


@typing.no_type_check
@njit(**INLINE)
def last_cell(address):
    """Return the largest index of a cell along an axis."""
    return np.int32(address[3]) if address[3] >= 0 else np.int32(2147483647)


@typing.no_type_check
@njit(**INNER)
def fill_waves(coords, filters, plan, level, waves):
    """Fill the tables of one level: a row per node, or two per point if fewer."""
    rows = plan.wave_rows[level]
    if rows > 0:
        _rotate_along_axes(
            filters.frequencies[level], filters.phases[level], coords.shape[1],
            plan.layers, plan.gates, rows, waves,
        )  # fmt: skip
    else:
        _evaluate_at_points(
            coords, plan.scales[level], last_cell(plan.addresses[level]),
            filters.frequencies[level], filters.phases[level], plan.layers, plan.gates,
            waves,
        )  # fmt: skip


@typing.no_type_check
@njit(**INNER)
def _rotate_along_axes(frequencies, phases, dims, layers, gates, rows, waves):
    stride = layers * 2 * gates
    start = np.empty(4 * WIDTH)
    for axis in range(dims):
        for layer in range(layers):
            for chunk in range(0, gates, WIDTH):
                for k in range(WIDTH):
                    phase = np.float64(phases[layer * gates + chunk + k])
                    phase = phase if axis == 0 else 0.0
                    step = frequencies[(layer * dims + axis) * gates + chunk + k]
                    start[k] = math.sin(phase)
                    start[WIDTH + k] = math.cos(phase)
                    start[2 * WIDTH + k] = math.sin(step)
                    start[3 * WIDTH + k] = math.cos(step)
                at = axis * rows * stride + layer * 2 * gates + chunk
                _rotate(start, rows, stride, gates, waves, at)


@typing.no_type_check
@njit(**INNER)
def _rotate(start, rows, stride, gates, waves, at):
    to, start = pointer(waves, at), pointer(start, 0)
    sine, cosine = load(start, 0), load(start, WIDTH)
    step_sine, step_cosine = load(start, 2 * WIDTH), load(start, 3 * WIDTH)
    for row in range(rows):
        store(to, row * stride, narrow(sine))
        store(to, row * stride + gates, narrow(cosine))
        # In float64 even a million steps stay exact to float32.
        next_sine = fma(sine, step_cosine, mul(cosine, step_sine))
        cosine = fnma(sine, step_sine, mul(cosine, step_cosine))
        sine = next_sine


@typing.no_type_check
@njit(**INNER)
def _evaluate_at_points(coords, scale, last, frequencies, phases, layers, gates, waves):
    num_points, dims = coords.shape
    for axis in range(dims):
        for i in range(num_points):
            cell = min(np.int32(fma(coords[i, axis], scale[0], scale[1])), last)
            for upper in range(2):
                row = (axis * num_points + i) * 2 + upper
                for layer in range(layers):
                    to = (row * layers + layer) * 2 * gates
                    for k in range(gates):
                        step = frequencies[(layer * dims + axis) * gates + k]
                        angle = step * np.float64(cell + upper)
                        if axis == 0:
                            angle += phases[layer * gates + k]
                        waves[to + k] = math.sin(angle)
                        waves[to + gates + k] = math.cos(angle)
