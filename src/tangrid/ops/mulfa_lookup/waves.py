"""Tables of the gates' sines and cosines along each axis of a level."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.mulfa_lookup.lanes import (
    INLINE,
    INNER,
    WIDTH,
    fma,
    fnma,
    load,
    mul,
    narrow,
    pointer,
    store,
)


@typing.no_type_check
@njit(**INLINE)
def last_cell(address):
    return np.int32(address[3]) if address[3] >= 0 else np.int32(2147483647)


@typing.no_type_check
@njit(**INNER)
def _rotate(start, rows, stride, gates, waves):
    to, start = pointer(waves), pointer(start)
    sine, cosine = load(start, 0), load(start, WIDTH)
    step_sine, step_cosine = load(start, 2 * WIDTH), load(start, 3 * WIDTH)
    for row in range(rows):
        store(to, row * stride, narrow(sine))
        store(to, row * stride + gates, narrow(cosine))
        next_sine = fma(sine, step_cosine, mul(cosine, step_sine))
        cosine = fnma(sine, step_sine, mul(cosine, step_cosine))
        sine = next_sine


@typing.no_type_check
@njit(**INNER)
def _rotate_along_axes(frequencies, phases, dims, layers, gates, rows, waves):
    """Tabulate sines, then cosines, of all layers' gates at the nodes of each axis.

    The phase is part of axis 0.
    """
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
                _rotate(start, rows, stride, gates, waves[at:])


@typing.no_type_check
@njit(**INNER)
def _evaluate_at_points(
    coords, scale, shift, last, frequencies, phases, layers, gates, waves
):
    """Fill two rows per point and axis, where an axis has more nodes than that."""
    num_points, dims = coords.shape
    stride = layers * 2 * gates
    for axis in range(dims):
        for i in range(num_points):
            cell = min(np.int32(coords[i, axis] * scale + shift), last)
            for upper in range(2):
                at = ((axis * num_points + i) * 2 + upper) * stride
                for layer in range(layers):
                    for k in range(gates):
                        angle = frequencies[
                            (layer * dims + axis) * gates + k
                        ] * np.float64(cell + upper)
                        if axis == 0:
                            angle += phases[layer * gates + k]
                        waves[at + layer * 2 * gates + k] = math.sin(angle)
                        waves[at + (layer * 2 + 1) * gates + k] = math.cos(angle)


@typing.no_type_check
@njit(**INNER)
def level_waves(coords, filters, plan, level, waves):
    rows = plan.waves[level, 1]
    own = waves[plan.waves[level, 0] :]
    if plan.waves[level, 2]:
        _evaluate_at_points(
            coords, plan.scales[level, 0], plan.scales[level, 1],
            last_cell(plan.addresses[level]), filters.frequencies[level],
            filters.phases[level], plan.layers, plan.gates, own,
        )  # fmt: skip
    else:
        _rotate_along_axes(
            filters.frequencies[level], filters.phases[level], coords.shape[1],
            plan.layers, plan.gates, rows, own,
        )  # fmt: skip
