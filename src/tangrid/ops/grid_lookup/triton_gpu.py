"""Grid lookup as Triton programs, one instance per block of points and level.

Levels are the slow axis of the launch, so that the table of the level at work stays in
the cache. An instance finds the cell of its points axis by axis, and then for every
corner the row and the weight: one point per thread, its channels moved as one vector.
Addresses are the reference's to the bit: positions by a fused multiply-add, products
and sums of vertex coordinates modulo 2^32. Everything is summed in float32, whatever
the table's dtype.
"""
# Triton joins tuples, and unpacks none inside others.
# ruff: noqa: RUF005

import triton
import triton.language as tl

NEAREST, SMOOTHSTEP, QUINTIC = tl.constexpr(0), tl.constexpr(2), tl.constexpr(3)
IS_HASHED, IS_TILED = tl.constexpr(1), tl.constexpr(2)
# Numbers per level in `GridLayout.scales` and `GridLayout.addresses`.
SCALES, ADDRESSES = tl.constexpr(2), tl.constexpr(8)


@triton.jit
def fraction(t, scale, INTERPOLATION: tl.constexpr):
    """Return the upper vertex's weight along an axis, and its derivative."""
    if INTERPOLATION == SMOOTHSTEP:
        upper = t * t * (3.0 - 2.0 * t)
        slope = scale * 6.0 * t * (1.0 - t)
    elif INTERPOLATION == QUINTIC:
        upper = t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
        slope = scale * 30.0 * (t * (t - 1.0)) * (t * (t - 1.0))
    else:
        upper = t
        # One number per point, as above.
        slope = scale + 0.0 * t
    return upper, slope


@triton.jit
def locate(
    coords, points, inside, scales, addresses, level,
    DIMS: tl.constexpr, INTERPOLATION: tl.constexpr,
):  # fmt: skip
    """Return what either side of every axis adds to the row, weighs, and its slope."""
    scale = tl.load(scales + SCALES * level)
    shift = tl.load(scales + SCALES * level + 1)
    last = tl.load(addresses + ADDRESSES * level + 3).to(tl.int32)
    terms, pairs, slopes = (), (), ()
    for axis in tl.static_range(DIMS):
        factor = tl.load(addresses + ADDRESSES * level + 4 + axis).to(tl.uint32)
        x = tl.load(coords + points * DIMS + axis, mask=inside, other=0.0)
        position = tl.fma(x, scale, shift)
        cell = tl.floor(position).to(tl.int32)
        cell = tl.where(last >= 0, tl.minimum(tl.maximum(cell, 0), last), cell)
        upper, slope = fraction(position - cell.to(tl.float32), scale, INTERPOLATION)
        term = cell.to(tl.uint32) * factor
        terms = terms + (term, term + factor)
        pairs = pairs + (1.0 - upper, upper)
        slopes = slopes + (slope,)
    return terms, pairs, slopes


@triton.jit
def rows_of(
    terms, addresses, level, DIMS: tl.constexpr, CORNERS: tl.constexpr,
    HASHED: tl.constexpr, TILED: tl.constexpr,
):  # fmt: skip
    """Return the table row of each corner."""
    offset = tl.load(addresses + ADDRESSES * level)
    size = tl.load(addresses + ADDRESSES * level + 1).to(tl.uint32)
    storage = tl.load(addresses + ADDRESSES * level + 2)
    rows = ()
    for corner in tl.static_range(CORNERS):
        index = terms[corner & 1]
        bits = index
        for axis in tl.static_range(1, DIMS):
            index += terms[2 * axis + ((corner >> axis) & 1)]
            bits ^= terms[2 * axis + ((corner >> axis) & 1)]
        # One past the end wraps: what is below the size becomes a large number by the
        # subtraction. The last row is for points that are not in the box.
        row = tl.minimum(tl.minimum(index, index - size), size - 1)
        if TILED:
            row = tl.where(storage == IS_TILED, index % size, row)
        if HASHED:
            # A hashed level has a power of two rows.
            row = tl.where(storage == IS_HASHED, bits & (size - 1), row)
        rows = rows + (row.to(tl.int64) + offset,)
    return rows


@triton.jit
def weights_of(
    pairs, slopes, DIMS: tl.constexpr, CORNERS: tl.constexpr, ALONG: tl.constexpr
):
    """Return the weight of each corner, or its derivative for slopes along some way."""
    weights = ()
    for corner in tl.static_range(CORNERS):
        weight = pairs[corner & 1]
        change = (2 * (corner & 1) - 1) * slopes[0]
        for axis in tl.static_range(1, DIMS):
            pair = pairs[2 * axis + ((corner >> axis) & 1)]
            slope = (2 * ((corner >> axis) & 1) - 1) * slopes[axis]
            change = change * pair + weight * slope
            weight = weight * pair
        if ALONG:
            weights = weights + (change,)
        elif CORNERS == 1:
            # The nearest vertex.
            weights = weights + (0.0 * weight + 1.0,)
        else:
            weights = weights + (weight,)
    return weights


@triton.jit
def corners_of(
    coords, directions, points, inside, scales, addresses, level,
    DIMS: tl.constexpr, INTERPOLATION: tl.constexpr, CORNERS: tl.constexpr,
    HASHED: tl.constexpr, TILED: tl.constexpr, ALONG: tl.constexpr,
):  # fmt: skip
    """Return rows and weights of all corners, or derivatives of weights."""
    terms, pairs, slopes = locate(
        coords, points, inside, scales, addresses, level, DIMS, INTERPOLATION
    )
    rows = rows_of(terms, addresses, level, DIMS, CORNERS, HASHED, TILED)
    if ALONG:
        moves = ()
        for axis in tl.static_range(DIMS):
            move = tl.load(directions + points * DIMS + axis, mask=inside, other=0.0)
            moves = moves + (slopes[axis] * move,)
        weights = weights_of(pairs, moves, DIMS, CORNERS, ALONG)
    else:
        weights = weights_of(pairs, slopes, DIMS, CORNERS, ALONG)
    return rows, weights


@triton.jit(do_not_specialize=["num_points", "num_levels"])
def read(
    coords, table, directions, scales, addresses, out, num_points, num_levels,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
    INTERPOLATION: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    ALONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the features of a level, or their derivatives along directions."""
    CORNERS: tl.constexpr = 1 if INTERPOLATION == NEAREST else 1 << DIMS
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = points < num_points
    rows, weights = corners_of(
        coords, directions, points, inside, scales, addresses, level,
        DIMS, INTERPOLATION, CORNERS, HASHED, TILED, ALONG,
    )  # fmt: skip
    lanes = tl.arange(0, WIDTH)[None, :]
    features = (points * num_levels + level)[:, None] * CHANNELS
    for part in range(CHANNELS // WIDTH):
        channels = part * WIDTH + lanes
        total = tl.zeros([BLOCK, WIDTH], tl.float32)
        for corner in tl.static_range(CORNERS):
            place = table + rows[corner][:, None] * CHANNELS + channels
            values = tl.load(place, mask=inside[:, None], other=0.0)
            total += weights[corner][:, None] * values.to(tl.float32)
        values = total.to(out.dtype.element_ty)
        tl.store(out + features + channels, values, mask=inside[:, None])


@triton.jit(do_not_specialize=["num_points", "num_levels"])
def push(
    coords, grad_out, directions, scales, addresses, grad_table, num_points, num_levels,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
    INTERPOLATION: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    ALONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradient of a level's part of the table, in float32."""
    CORNERS: tl.constexpr = 1 if INTERPOLATION == NEAREST else 1 << DIMS
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    level = tl.program_id(1).to(tl.int64)
    inside = points < num_points
    rows, weights = corners_of(
        coords, directions, points, inside, scales, addresses, level,
        DIMS, INTERPOLATION, CORNERS, HASHED, TILED, ALONG,
    )  # fmt: skip
    lanes = tl.arange(0, WIDTH)[None, :]
    features = (points * num_levels + level)[:, None] * CHANNELS
    for part in range(CHANNELS // WIDTH):
        channels = part * WIDTH + lanes
        grad = tl.load(grad_out + features + channels, mask=inside[:, None], other=0.0)
        grad = grad.to(tl.float32)
        # Points that a loss does not depend on, as behind a wall, and such as are not
        # there add nothing.
        some = tl.sum((grad != 0.0).to(tl.int32), axis=1) > 0
        for corner in tl.static_range(CORNERS):
            tl.atomic_add(
                grad_table + rows[corner][:, None] * CHANNELS + channels,
                weights[corner][:, None] * grad,
                mask=some[:, None], sem="relaxed",
            )  # fmt: skip


@triton.jit(do_not_specialize=["num_points", "level"])
def find(
    coords, directions, scales, addresses, rows, weights, num_points, level,
    DIMS: tl.constexpr, INTERPOLATION: tl.constexpr, HASHED: tl.constexpr,
    TILED: tl.constexpr, ALONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the rows and weights of the corners that points read at one level."""
    CORNERS: tl.constexpr = 1 if INTERPOLATION == NEAREST else 1 << DIMS
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = points < num_points
    of_corners, weights_of_corners = corners_of(
        coords, directions, points, inside, scales, addresses, level,
        DIMS, INTERPOLATION, CORNERS, HASHED, TILED, ALONG,
    )  # fmt: skip
    for corner in tl.static_range(CORNERS):
        place = points * CORNERS + corner
        tl.store(rows + place, of_corners[corner], mask=inside)
        tl.store(weights + place, weights_of_corners[corner], mask=inside)


@triton.jit
def contract(dots, pairs, slopes, AXIS: tl.constexpr):
    """Return the last axis' gradient, and products at corners without that axis."""
    gradient = 0.0 * slopes[AXIS]
    rest = ()
    for corner in tl.static_range(1 << AXIS):
        low = dots[corner]
        high = dots[corner + (1 << AXIS)]
        difference = high - low
        for other in tl.static_range(AXIS):
            difference = difference * pairs[2 * other + ((corner >> other) & 1)]
        gradient += slopes[AXIS] * difference
        rest = rest + (pairs[2 * AXIS] * low + pairs[2 * AXIS + 1] * high,)
    return gradient, rest


@triton.jit(do_not_specialize=["num_points", "num_levels", "span"])
def pull(
    coords, table, grad_out, scales, addresses, grad_coords, num_points, num_levels,
    span,
    DIMS: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr,
    INTERPOLATION: tl.constexpr, HASHED: tl.constexpr, TILED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Add what `span` levels give the coordinates' gradient.

    Where one instance takes all levels the order of every sum is that of the levels.
    """
    points = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = points < num_points
    lanes = tl.arange(0, WIDTH)[None, :]
    first = tl.program_id(1) * span
    for level in range(first, tl.minimum(first + span, num_levels)):
        terms, pairs, slopes = locate(
            coords, points, inside, scales, addresses, level, DIMS, INTERPOLATION
        )
        rows = rows_of(terms, addresses, level, DIMS, 1 << DIMS, HASHED, TILED)
        features = (points * num_levels + level)[:, None] * CHANNELS
        dots = ()
        for corner in tl.static_range(1 << DIMS):
            total = tl.zeros([BLOCK, WIDTH], tl.float32)
            for part in range(CHANNELS // WIDTH):
                channels = part * WIDTH + lanes
                place = table + rows[corner][:, None] * CHANNELS + channels
                values = tl.load(place, mask=inside[:, None], other=0.0)
                grad = tl.load(
                    grad_out + features + channels, mask=inside[:, None], other=0.0
                )
                total += values.to(tl.float32) * grad.to(tl.float32)
            dots = dots + (tl.sum(total, axis=1),)
        for step in tl.static_range(DIMS):
            gradient, dots = contract(dots, pairs, slopes, DIMS - 1 - step)
            tl.atomic_add(
                grad_coords + points * DIMS + (DIMS - 1 - step), gradient,
                mask=inside, sem="relaxed",
            )  # fmt: skip
