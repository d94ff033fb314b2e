"""What the compiled loops of MulFAGrid's lookup work on: records of arrays."""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
    new_scratch,
)
from tangrid.ops.mulfa_lookup.lanes import (
    INLINE,
    INNER,
    pointer,
)

_CORNERS = 16  # of a cell in four dimensions


class Filters(typing.NamedTuple):
    """Parameters or their gradients by level, each level's as one flat row.

    The gates are padded with zeros to whole lanes, and are the last axis of everything.
    """

    projection: np.ndarray  # [l, inputs g]
    hidden: np.ndarray  # [l, (n - 1) g_in g_out]
    hidden_turned: np.ndarray  # [l, (n - 1) g_out g_in]
    biases: np.ndarray  # [l, n g]
    frequencies: np.ndarray  # [l, n d g], float64
    phases: np.ndarray  # [l, n g]
    mix: np.ndarray  # [l, o g]
    offset: np.ndarray  # [l, o]


class Plan(typing.NamedTuple):
    """What is known before any point is seen."""

    scales: np.ndarray
    addresses: np.ndarray
    waves: (
        np.ndarray
    )  # [l, 3]: start and rows of the level's tables, one row per point?
    interpolation: int
    normaliser: int
    epsilon: float
    grid_units: bool
    num_frequencies: int
    layers: int
    gates: int


class Work(typing.NamedTuple):
    """What one thread computes with: of a block of points, then of one point."""

    grid: tuple  # what `locate` fills
    position: np.ndarray  # [d, i] in cells
    index: np.ndarray  # [d, i] of the cell
    wave_rows: np.ndarray  # [d, i] in the tables of waves
    features: np.ndarray  # [inputs, i]
    first: np.ndarray  # [i, g]: the first layer before its gates
    first_grads: np.ndarray
    linear_grads: np.ndarray  # [k, i]
    # From here on of one point. Layers are [n, k, g], scalars [o, k].
    sines: np.ndarray
    cosines: np.ndarray
    before: np.ndarray  # layers before their gates, from the second on
    after: np.ndarray  # layers after their gates
    pulled: np.ndarray  # [k, g]: gradients of one layer
    turned: np.ndarray
    linear: np.ndarray  # [k]: interpolation weights lambda
    grad_linear: np.ndarray
    raw: np.ndarray  # phi
    weights: np.ndarray
    grads: np.ndarray


class Sizes(typing.NamedTuple):
    """Numbers of axes, layers, gates, outputs, channels and corners; rows of waves."""

    dims: int
    layers: int
    gates: int
    outputs: int
    channels: int
    corners: int
    rows: int


class Pointers(typing.NamedTuple):
    """Where `Work` and one level's parameters lie: what the loops over points see."""

    rows: typing.Any
    lambdas: typing.Any
    index: typing.Any
    wave_rows: typing.Any
    first: typing.Any
    first_grads: typing.Any
    linear_grads: typing.Any
    sines: typing.Any
    cosines: typing.Any
    before: typing.Any
    after: typing.Any
    pulled: typing.Any
    turned: typing.Any
    linear: typing.Any
    grad_linear: typing.Any
    raw: typing.Any
    weights: typing.Any
    grads: typing.Any
    waves: typing.Any
    table: typing.Any
    hidden: typing.Any
    hidden_turned: typing.Any
    biases: typing.Any
    mix: typing.Any
    offset: typing.Any


@typing.no_type_check
@njit(**INNER)
def new_work(dims, channels, filters, plan):
    gates = plan.gates
    inputs = (2 * dims * plan.num_frequencies + 3) // 4 * 4
    layers = plan.layers * _CORNERS * gates
    scalars = _CORNERS * max(filters.offset.shape[1], channels)
    return Work(
        new_scratch(dims),
        np.empty((dims, BLOCK), np.float32),
        np.empty((dims, BLOCK), np.float32),
        np.empty((dims, BLOCK), np.int32),
        np.zeros(inputs * BLOCK, np.float32),
        np.empty(BLOCK * gates, np.float32),
        np.empty(BLOCK * gates, np.float32),
        np.empty((_CORNERS, BLOCK), np.float32),
        np.empty(layers, np.float32),
        np.empty(layers, np.float32),
        np.empty(layers, np.float32),
        np.empty(layers, np.float32),
        np.empty(_CORNERS * gates, np.float32),
        np.empty(_CORNERS * gates, np.float32),
        np.empty(_CORNERS, np.float32),
        np.empty(_CORNERS, np.float32),
        np.empty(scalars, np.float32),
        np.empty(scalars, np.float32),
        np.empty(scalars, np.float32),
    )


@typing.no_type_check
@njit(**INLINE)
def pointers(work, waves, table, filters, level):
    return Pointers(
        pointer(work.grid[0]),
        pointer(work.grid[1]),
        pointer(work.index),
        pointer(work.wave_rows),
        pointer(work.first),
        pointer(work.first_grads),
        pointer(work.linear_grads),
        pointer(work.sines),
        pointer(work.cosines),
        pointer(work.before),
        pointer(work.after),
        pointer(work.pulled),
        pointer(work.turned),
        pointer(work.linear),
        pointer(work.grad_linear),
        pointer(work.raw),
        pointer(work.weights),
        pointer(work.grads),
        pointer(waves),
        pointer(table),
        pointer(filters.hidden[level]),
        pointer(filters.hidden_turned[level]),
        pointer(filters.biases[level]),
        pointer(filters.mix[level]),
        pointer(filters.offset[level]),
    )


@typing.no_type_check
@njit(**INNER)
def new_sums(dims, filters, plan):
    """Allocate the gradients of one block, summed in float32."""
    gates, layers = plan.gates, plan.layers
    inputs = (2 * dims * plan.num_frequencies + 3) // 4 * 4
    return Filters(
        np.zeros(inputs * gates, np.float32),
        np.zeros(filters.hidden.shape[1], np.float32),
        np.zeros(0, np.float32),
        np.zeros(layers * gates, np.float32),
        np.zeros(layers * dims * gates, np.float32),
        np.zeros(layers * gates, np.float32),
        np.zeros(filters.mix.shape[1], np.float32),
        np.zeros(filters.offset.shape[1], np.float32),
    )


@typing.no_type_check
@njit(**INNER)
def flush(sums, totals):
    for k in range(totals.shape[0]):
        totals[k] += sums[k]
        sums[k] = np.float32(0)
