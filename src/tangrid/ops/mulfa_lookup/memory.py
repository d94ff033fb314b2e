"""What the compiled loops of MulFAGrid's lookup work on: parameters and scratch.

Python allocates and holds the arrays; what goes through single points sees addresses.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import typing

import numpy as np
from numba import njit

from tangrid.ops.grid_lookup.numba_cpu import (
    BLOCK,
    NEAREST,
    Places,
    new_scratch,
    places_in,
)
from tangrid.ops.loops import INLINE, INNER, pointer

TILE = 16
"""Points whose layers are kept between the passes of a loop over points."""


class Filters(typing.NamedTuple):
    """Parameters or their gradients by level, each level's as one flat row.

    The gates are padded with zeros to whole lanes, and are the last axis of everything.
    """

    projection: np.ndarray  # [l, inputs g], inputs padded to four
    hidden: np.ndarray  # [l, (n - 1) g_in g_out]
    hidden_turned: np.ndarray  # [l, (n - 1) g_out g_in]
    biases: np.ndarray  # [l, n g]
    frequencies: np.ndarray  # [l, n d g], float64
    phases: np.ndarray  # [l, n g]
    mix: np.ndarray  # [l, o g]
    offset: np.ndarray  # [l, o k], padded to whole lanes


class Plan(typing.NamedTuple):
    """What is known before any point is seen."""

    scales: np.ndarray
    addresses: np.ndarray
    wave_rows: np.ndarray  # by kernel: nodes of an axis, or 0 for two rows per point
    interpolation: int
    normaliser: int
    epsilon: float
    grid_units: bool
    num_frequencies: int
    layers: int
    gates: int
    by_point: bool  # whether the loops for few gates serve


class Work(typing.NamedTuple):
    """What one thread computes with."""

    grid: tuple  # what `locate` fills
    places: np.ndarray  # [2, d i]: position in cells, index of the cell
    wave_rows: np.ndarray  # [d i]: row in the tables of waves
    waves: np.ndarray  # [d rows n 2 g]: tables of one level
    features: np.ndarray  # [inputs i]
    first: np.ndarray  # [2, i g]: the first layer before its gates, and its gradient
    scaled: np.ndarray  # [f k i]: features times lambda
    plain: np.ndarray  # [f i]: their sums
    grads: np.ndarray  # [2, o k i]: gradients of phi, and [k i] of lambda
    changes: np.ndarray  # [f k i]: gradients of features, before lambda
    upstream: np.ndarray  # [i f]: gradients of the level's features
    # From here on of a tile, t being its points.
    layers: np.ndarray  # [4, t n k g]: sines, cosines, before and after the gates
    pulled: np.ndarray  # [2, k g]: gradients of one layer of one point
    scalars: np.ndarray  # [3, t o k]: phi, weights, gradients of weights


class Sizes(typing.NamedTuple):
    """Counts, `scalars` being outputs times corners in whole lanes; rows of waves."""

    dims: int
    layers: int
    gates: int
    outputs: int
    channels: int
    corners: int
    scalars: int
    rows: int


class Level(typing.NamedTuple):
    """What `Plan` says of one level; `by_node` is whether waves are."""

    scale: float
    shift: float
    address: typing.Any
    by_node: bool
    interpolation: int
    grid_units: bool
    num_frequencies: int


class Pointers(typing.NamedTuple):
    """Addresses in `Work`, in the level's features and in its parameters."""

    places: Places
    position: typing.Any
    features: typing.Any
    rows: typing.Any
    lambdas: typing.Any
    index: typing.Any
    wave_rows: typing.Any
    waves: typing.Any
    first: typing.Any
    first_grads: typing.Any
    scaled: typing.Any
    plain: typing.Any
    raw_grads: typing.Any
    linear_grads: typing.Any
    changes: typing.Any
    upstream: typing.Any
    sines: typing.Any
    cosines: typing.Any
    before: typing.Any
    after: typing.Any
    pulled: typing.Any
    turned: typing.Any
    raw: typing.Any
    weights: typing.Any
    weight_grads: typing.Any
    table: typing.Any
    projection: typing.Any
    hidden: typing.Any
    hidden_turned: typing.Any
    biases: typing.Any
    mix: typing.Any
    offset: typing.Any


def new_work(
    num_points: int, num_dims: int, channels: int, filters: Filters, plan: Plan
) -> Work:
    """Return the memory that one thread needs.

    Args:
        num_points: Points that the thread will see.
        num_dims: Number of coordinates.
        channels: Features per node.
        filters: Parameters of all levels, or of the coarsest ones.
        plan: What is known before any point is seen.
    """
    gates, corners = plan.gates, 2**num_dims
    rows = np.where(plan.wave_rows > 0, plan.wave_rows, 2 * num_points).max()
    layers = plan.layers * corners * gates
    return Work(
        grid=new_scratch(num_dims),
        places=_empty(2, num_dims * BLOCK),
        wave_rows=np.empty(num_dims * BLOCK, np.int32),
        waves=_empty(num_dims * rows * plan.layers * 2 * gates),
        # Whole groups of points and features are read even where fewer are filled.
        features=np.zeros(filters.projection.shape[1] // gates * BLOCK, np.float32),
        first=_empty(2, BLOCK * gates),
        scaled=_empty(channels * corners * BLOCK),
        plain=_empty(channels * BLOCK),
        grads=_empty(2, channels * corners * BLOCK),
        changes=_empty(channels * corners * BLOCK),
        upstream=_empty(channels * BLOCK),
        layers=_empty(4, TILE * layers),
        pulled=_empty(2, corners * gates),
        scalars=_empty(3, TILE * filters.offset.shape[1]),
    )


def new_sums(filters: Filters) -> Filters:
    """Return memory for the gradients of one block, summed in float32.

    Args:
        filters: Parameters of all levels, or of the coarsest ones.
    """
    return Filters(*(np.zeros((1, values.shape[1]), np.float32) for values in filters))


def _empty(*shape: int) -> np.ndarray:
    return np.empty(shape, np.float32)


@typing.no_type_check
@njit(**INLINE)
def sizes(coords, table, filters, plan, level):
    """Return the counts of one level."""
    num_points, dims = coords.shape
    rows = plan.wave_rows[level]
    return Sizes(
        dims,
        plan.layers,
        plan.gates,
        filters.mix.shape[1] // plan.gates,
        table.shape[1],
        1 if plan.interpolation == NEAREST else 1 << dims,
        filters.offset.shape[1],
        rows if rows > 0 else 2 * num_points,
    )


@typing.no_type_check
@njit(**INLINE)
def pointers(work, table, filters, plan, level):
    """Return addresses of arrays, which the caller must itself have been given."""
    places, first = work.places.shape[1], work.first.shape[1]
    layers, pulled = work.layers.shape[1], work.pulled.shape[1]
    grads, scalars = work.grads.shape[1], work.scalars.shape[1]
    return Pointers(
        places_in(work.grid),
        pointer(work.places, 0),
        pointer(work.features, 0),
        pointer(work.grid[0], 0),
        pointer(work.grid[1], 0),
        pointer(work.places, places),
        pointer(work.wave_rows, 0),
        pointer(work.waves, 0),
        pointer(work.first, 0),
        pointer(work.first, first),
        pointer(work.scaled, 0),
        pointer(work.plain, 0),
        pointer(work.grads, 0),
        pointer(work.grads, grads),
        pointer(work.changes, 0),
        pointer(work.upstream, 0),
        pointer(work.layers, 0),
        pointer(work.layers, layers),
        pointer(work.layers, 2 * layers),
        pointer(work.layers, 3 * layers),
        pointer(work.pulled, 0),
        pointer(work.pulled, pulled),
        pointer(work.scalars, 0),
        pointer(work.scalars, scalars),
        pointer(work.scalars, 2 * scalars),
        pointer(table, plan.addresses[level, 0] * table.shape[1]),
        parameter(filters.projection, level),
        parameter(filters.hidden, level),
        parameter(filters.hidden_turned, level),
        parameter(filters.biases, level),
        parameter(filters.mix, level),
        parameter(filters.offset, level),
    )


@typing.no_type_check
@njit(**INLINE)
def level_of(plan, level):
    """Return what is known of one level."""
    return Level(
        plan.scales[level, 0],
        plan.scales[level, 1],
        pointer(plan.addresses, level * plan.addresses.shape[1]),
        plan.wave_rows[level] > 0,
        plan.interpolation,
        plan.grid_units,
        plan.num_frequencies,
    )


@typing.no_type_check
@njit(**INLINE)
def parameter(values, level):
    """Return the address of one level's parameters."""
    return pointer(values, level * values.shape[1])


@typing.no_type_check
@njit(**INLINE)
def parameters(values, level):
    """Return addresses of arrays, which the caller must itself have been given."""
    return Filters(
        parameter(values.projection, level),
        parameter(values.hidden, level),
        parameter(values.hidden_turned, level),
        parameter(values.biases, level),
        parameter(values.frequencies, level),
        parameter(values.phases, level),
        parameter(values.mix, level),
        parameter(values.offset, level),
    )


@typing.no_type_check
@njit(**INLINE)
def lengths(values):
    """Return how many numbers there are per level."""
    return Filters(
        values.projection.shape[1],
        values.hidden.shape[1],
        values.hidden_turned.shape[1],
        values.biases.shape[1],
        values.frequencies.shape[1],
        values.phases.shape[1],
        values.mix.shape[1],
        values.offset.shape[1],
    )


@typing.no_type_check
@njit(**INLINE)
def flush(sums, totals, counts):
    """Add sums over a block to float64 totals, and start the next block from zero."""
    _flush(sums.projection, totals.projection, counts.projection)
    _flush(sums.hidden, totals.hidden, counts.hidden)
    _flush(sums.biases, totals.biases, counts.biases)
    _flush(sums.frequencies, totals.frequencies, counts.frequencies)
    _flush(sums.phases, totals.phases, counts.phases)
    _flush(sums.mix, totals.mix, counts.mix)
    _flush(sums.offset, totals.offset, counts.offset)


@typing.no_type_check
@njit(**INNER)
def _flush(sums, totals, count):
    for k in range(count):
        totals[k] += sums[k]
        sums[k] = np.float32(0)
