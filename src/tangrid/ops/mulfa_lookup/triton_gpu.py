"""MulFAGrid's lookup as Triton programs, one instance per block of points and level.

Levels are the slow axis of the launch. Going forward, one pass over the corners of the
cell makes the sums that every normaliser is a function of. Going back, that pass is run
again where the normaliser needs those sums, and a second one computes the network once
more at every corner, which is less work than to store it. What an instance finds for
the kernel's parameters it writes to a row of its own, so that the sum over instances
has one order.
"""
# Triton joins tuples, and unpacks none inside others.
# ruff: noqa: RUF005

import triton
import triton.language as tl

from tangrid.ops.grid_lookup.triton_gpu import (
    ADDRESSES,
    NEAREST,
    SCALES,
    locate,
    rows_of,
)
from tangrid.ops.mulfa_lookup.triton_filters import (
    back_along,
    counted,
    filtered,
    first_layer,
    gates_of_cells,
    load_hidden,
    load_mix,
    mixed,
    normalised,
    pulled_weights,
    summed,
)
from tangrid.ops.mulfa_lookup.triton_gradients import (
    first_layer_vjp,
    no_sums,
    pulled_network,
    store_sums,
)

ADDED, LISTED = tl.constexpr(1), tl.constexpr(2)
"""What becomes of the table's gradient, if it is wanted."""


@triton.jit
def places_and_cells(
    coords, points, inside, scales, addresses, level,
    DIMS: tl.constexpr, GRID_UNITS: tl.constexpr,
):  # fmt: skip
    """Return where the Fourier features see the points, and their cells."""
    scale = tl.load(scales + SCALES * level)
    shift = tl.load(scales + SCALES * level + 1)
    last = tl.load(addresses + ADDRESSES * level + 3).to(tl.int32)
    places, cells = (), ()
    for axis in tl.static_range(DIMS):
        x = tl.load(coords + points * DIMS + axis, mask=inside, other=0.0)
        position = tl.fma(x, scale, shift)
        cell = tl.floor(position).to(tl.int32)
        cell = tl.where(last >= 0, tl.minimum(tl.maximum(cell, 0), last), cell)
        places = places + (position if GRID_UNITS else x,)
        cells = cells + (cell,)
    return places, cells


@triton.jit
def weights_of_nearest(pairs, DIMS: tl.constexpr):
    """Return the weight of the only corner along every axis, which is one."""
    ones = ()
    for axis in tl.static_range(DIMS):
        one = 0.0 * pairs[2 * axis] + 1.0
        ones = ones + (one, one)
    return ones


@triton.jit
def lanes_of(inside, CHANNELS: tl.constexpr, PADDED: tl.constexpr):
    """Return the channels of a row, and which of them exist at which points."""
    channels = tl.arange(0, PADDED)[None, :]
    return channels, inside[:, None] & (channels < CHANNELS)


@triton.jit
def sides_of(terms, pairs, corner, DIMS: tl.constexpr):
    """Return on which side of every axis a corner is, its terms, and its weights."""
    bits, own_terms, sides = (), (), ()
    for axis in tl.static_range(DIMS):
        bit = tl.full([1], 0, tl.int32) + ((corner >> axis) & 1)
        term = tl.where(bit == 1, terms[2 * axis + 1], terms[2 * axis])
        side = tl.where(bit == 1, pairs[2 * axis + 1], pairs[2 * axis])
        bits = bits + (bit,)
        # As if both sides were this one: the first corner is the one that is meant.
        own_terms = own_terms + (term, term)
        sides = sides + (side,)
    return bits, own_terms, sides


@triton.jit
def product_of(sides, DIMS: tl.constexpr, BESIDES: tl.constexpr):
    """Return the product of weights along the axes, but for one axis."""
    product = 0.0 * sides[0] + 1.0
    for axis in tl.static_range(DIMS):
        if axis != BESIDES:
            product = product * sides[axis]
    return product


@triton.jit
def values_at(
    table, terms, addresses, level, channels, mask,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, HASHED: tl.constexpr,
    TILED: tl.constexpr,
):  # fmt: skip
    """Return the rows of a corner, and their values."""
    (row,) = rows_of(terms, addresses, level, DIMS, 1, HASHED, TILED)
    at = table + row[:, None] * CHANNELS + channels
    return row, tl.load(at, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def enter(
    coords, points, inside, scales, addresses, projection, hidden, biases, frequencies,
    phases, level, gates,
    DIMS: tl.constexpr, GRID_UNITS: tl.constexpr, NUM_GATES: tl.constexpr,
    LAYERS: tl.constexpr, OCTAVES: tl.constexpr,
):  # fmt: skip
    """Return places and cells of points, their first layer, and the layers after it."""
    places, cells = places_and_cells(
        coords, points, inside, scales, addresses, level, DIMS, GRID_UNITS
    )
    first = first_layer(
        places, projection, biases, gates, level, NUM_GATES, LAYERS, DIMS, OCTAVES
    )
    starts, steps = gates_of_cells(
        cells, frequencies, phases, gates, level, NUM_GATES, LAYERS, DIMS
    )
    squares, constants = load_hidden(hidden, biases, gates, level, NUM_GATES, LAYERS)
    return places, cells, first, (starts, steps, squares, constants)


@triton.jit
def sums_over_corners(
    table, addresses, level, terms, pairs, channels, mask, first, network, mixing,
    constant,
    DIMS: tl.constexpr, CORNERS: tl.constexpr, CHANNELS: tl.constexpr,
    PADDED: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    LAYERS: tl.constexpr, OUTPUTS: tl.constexpr, NORMALISER: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Return the sums of values and weights that `normalised` makes features of."""
    nothing = tl.zeros([BLOCK, PADDED], tl.float32)
    none = tl.zeros([BLOCK, OUTPUTS], tl.float32)
    extra = none
    if (NORMALISER == "softmax") or (NORMALISER == "lin_softmax"):
        extra = none - float("inf")
    found = (nothing, nothing, none, extra)
    for corner in tl.range(CORNERS, num_stages=1):
        bits, own_terms, sides = sides_of(terms, pairs, corner, DIMS)
        _, values = values_at(
            table, own_terms, addresses, level, channels, mask, DIMS, CHANNELS, HASHED,
            TILED,
        )  # fmt: skip
        last, _ = filtered(first, network, bits, LAYERS, DIMS)
        raw = mixed(last, mixing, constant)
        linear = product_of(sides, DIMS, DIMS)[:, None]
        found = counted(raw, linear, values, found, NORMALISER)
    return found


@triton.jit(do_not_specialize=["num_points"])
def read(
    coords, table, projection, hidden, biases, frequencies, phases, mix, offset,
    scales, addresses, out, num_points, width, epsilon,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr,
    INTERPOLATION: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    GRID_UNITS: tl.constexpr, OCTAVES: tl.constexpr, NUM_GATES: tl.constexpr,
    GATES: tl.constexpr, LAYERS: tl.constexpr, NUM_OUTPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr, NORMALISER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the features of a level that has a kernel."""
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = points < num_points
    gates, outputs = tl.arange(0, GATES), tl.arange(0, OUTPUTS)
    channels, mask = lanes_of(inside, CHANNELS, PADDED)
    CORNERS: tl.constexpr = 1 if INTERPOLATION == NEAREST else 1 << DIMS
    terms, pairs, _ = locate(
        coords, points, inside, scales, addresses, level, DIMS, INTERPOLATION
    )
    if INTERPOLATION == NEAREST:
        pairs = weights_of_nearest(pairs, DIMS)
    _, _, first, network = enter(
        coords, points, inside, scales, addresses, projection, hidden, biases,
        frequencies, phases, level, gates, DIMS, GRID_UNITS, NUM_GATES, LAYERS, OCTAVES,
    )  # fmt: skip
    mixing, constant = load_mix(
        mix, offset, gates, outputs, level, NUM_GATES, NUM_OUTPUTS
    )
    found = sums_over_corners(
        table, addresses, level, terms, pairs, channels, mask, first, network, mixing,
        constant, DIMS, CORNERS, CHANNELS, PADDED, HASHED, TILED, LAYERS, OUTPUTS,
        NORMALISER, BLOCK,
    )  # fmt: skip
    features = normalised(found, epsilon, NORMALISER)
    place = out + points[:, None] * width + level * CHANNELS + channels
    tl.store(place, features.to(out.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=["num_points", "num_sums"])
def pull(
    coords, table, projection, hidden, biases, frequencies, phases, mix, offset,
    scales, addresses, grad_out, to_table, to_rows, to_coords, to_projection, to_hidden,
    to_biases, to_frequencies, to_phases, to_mix, to_offset, num_points, width,
    num_sums, epsilon,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, PADDED: tl.constexpr,
    INTERPOLATION: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    GRID_UNITS: tl.constexpr, OCTAVES: tl.constexpr, NUM_GATES: tl.constexpr,
    GATES: tl.constexpr, LAYERS: tl.constexpr, NUM_OUTPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr, NORMALISER: tl.constexpr, TABLE: tl.constexpr,
    COORDS: tl.constexpr, KERNEL: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add or list a level's gradients of the table; write those of all else.

    Coordinates have a place for every level, the kernel's parameters for every block.
    """
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = points < num_points
    gates, outputs = tl.arange(0, GATES), tl.arange(0, OUTPUTS)
    channels, mask = lanes_of(inside, CHANNELS, PADDED)
    CORNERS: tl.constexpr = 1 if INTERPOLATION == NEAREST else 1 << DIMS
    terms, pairs, slopes = locate(
        coords, points, inside, scales, addresses, level, DIMS, INTERPOLATION
    )
    if INTERPOLATION == NEAREST:
        pairs = weights_of_nearest(pairs, DIMS)
    places, cells, first, network = enter(
        coords, points, inside, scales, addresses, projection, hidden, biases,
        frequencies, phases, level, gates, DIMS, GRID_UNITS, NUM_GATES, LAYERS, OCTAVES,
    )  # fmt: skip
    mixing, constant = load_mix(
        mix, offset, gates, outputs, level, NUM_GATES, NUM_OUTPUTS
    )
    place = grad_out + points[:, None] * width + level * CHANNELS + channels
    upstream = tl.load(place, mask=mask, other=0.0).to(tl.float32)
    none = tl.zeros([BLOCK, OUTPUTS], tl.float32)
    of_all = (none, none, none)
    if (NORMALISER != "none") and (NORMALISER != "lin_add"):
        found = sums_over_corners(
            table, addresses, level, terms, pairs, channels, mask, first, network,
            mixing, constant, DIMS, CORNERS, CHANNELS, PADDED, HASHED, TILED, LAYERS,
            OUTPUTS, NORMALISER, BLOCK,
        )  # fmt: skip
        of_all = back_along(upstream, found, epsilon, NORMALISER, OUTPUTS)
    sums = no_sums(BLOCK, GATES, OUTPUTS, LAYERS, DIMS)
    moves = ()
    for _ in tl.static_range(DIMS):
        moves = moves + (tl.zeros([BLOCK], tl.float32),)
    for corner in tl.range(CORNERS, num_stages=1):
        bits, own_terms, sides = sides_of(terms, pairs, corner, DIMS)
        row, values = values_at(
            table, own_terms, addresses, level, channels, mask, DIMS, CHANNELS, HASHED,
            TILED,
        )  # fmt: skip
        linear = product_of(sides, DIMS, DIMS)[:, None]
        last, before = filtered(first, network, bits, LAYERS, DIMS)
        raw = mixed(last, mixing, constant)
        along = summed(upstream * values, OUTPUTS)
        weight, of_raw, of_linear = pulled_weights(
            raw, linear, along, of_all, NORMALISER
        )
        if TABLE == ADDED:
            at = to_table + row[:, None] * CHANNELS + channels
            tl.atomic_add(at, weight * upstream, mask=mask, sem="relaxed")
        elif TABLE == LISTED:
            entry = (level * CORNERS + corner) * num_points + points
            tl.store(to_rows + entry, row, mask=inside)
            listed = to_table + entry[:, None] * CHANNELS + channels
            tl.store(listed, weight * upstream, mask=mask)
        if COORDS or KERNEL:
            # Beyond the last point nothing is pulled, not even where sums are zero.
            of_raw = tl.where(inside[:, None], of_raw, 0.0)
            sums = pulled_network(
                of_raw, last, before, network, mixing, bits, sums, DIMS, LAYERS, KERNEL
            )
        if COORDS and INTERPOLATION != NEAREST:
            pulled = tl.sum(of_linear, axis=1)
            moved = ()
            for axis in tl.static_range(DIMS):
                slope = (2 * bits[axis] - 1) * slopes[axis]
                rest = product_of(sides, DIMS, axis)
                moved = moved + (moves[axis] + pulled * slope * rest,)
            moves = moved
    to_own = tl.program_id(0).to(tl.int64) * num_sums
    if KERNEL:
        store_sums(
            sums, cells, to_hidden + to_own, to_biases + to_own,
            to_frequencies + to_own, to_phases + to_own, to_mix + to_own,
            to_offset + to_own, gates, outputs, level, DIMS, LAYERS, NUM_GATES,
            NUM_OUTPUTS,
        )  # fmt: skip
    if COORDS or KERNEL:
        of_places = first_layer_vjp(
            sums[0], places, projection, to_projection + to_own, gates, level, DIMS,
            OCTAVES, NUM_GATES, KERNEL, COORDS,
        )  # fmt: skip
    if COORDS:
        unit = 1.0
        if GRID_UNITS:
            unit = tl.load(scales + SCALES * level)
        for axis in tl.static_range(DIMS):
            at = (level * num_points + points) * DIMS + axis
            move = moves[axis] + of_places[axis] * unit
            tl.store(to_coords + at, move, mask=inside)
