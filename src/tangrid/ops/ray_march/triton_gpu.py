"""Marching as a Triton program: a lane for each ray, and a warp for each program.

Rays are walked twice, first to count and then, once it is known where the samples of
each ray begin, to write them: by one program, so that both walks round alike. A sample
has one writer: the same bits come out every time.
"""

import math

import torch
import triton
import triton.language as tl

from tangrid.ops.contract import is_interpreted
from tangrid.ops.ray_march.occupied import BLOCK

RAYS = 32
"""Rays of one program: as many as a warp has lanes, so that none waits for another."""
INTERPRETED_RAYS = 256
"""The same for the interpreter, which needs as long for many lanes as for one."""
_LEAST_SLOPE = tl.constexpr(1e-9)
_BLOCK = tl.constexpr(BLOCK)


@triton.jit
def _number(distance, lattice, GROWS: tl.constexpr, ENDS: tl.constexpr):
    """Return the place of a distance on the lattice."""
    shortest, longest, near, far, rate, joint, end = lattice
    number = distance / shortest
    if GROWS:
        grown = joint + tl.log(tl.maximum(distance, near) / near) / rate
        if ENDS:
            grown = tl.where(distance < far, grown, end + (distance - far) / longest)
        number = tl.where(distance < near, number, grown)
    return number


@triton.jit
def _distance(number, lattice, GROWS: tl.constexpr, ENDS: tl.constexpr):
    """Return the distance of a place on the lattice."""
    shortest, longest, near, far, rate, joint, end = lattice
    distance = number * shortest
    if GROWS:
        if ENDS:
            grown = near * tl.exp((tl.minimum(number, end) - joint) * rate)
            grown = tl.where(number < end, grown, far + (number - end) * longest)
        else:
            grown = near * tl.exp((number - joint) * rate)
        distance = tl.where(number < joint, distance, grown)
    return distance


@triton.jit
def _slope(slope):
    return tl.where(tl.abs(slope) < _LEAST_SLOPE, _LEAST_SLOPE, slope)


@triton.jit
def _within(first, last, origin, inverse, outer):
    """Return the part of a span in which a ray is between two sides of the cube."""
    low = (0.5 - outer - origin) * inverse
    high = (0.5 + outer - origin) * inverse
    first = tl.maximum(first, tl.minimum(low, high))
    return first, tl.minimum(last, tl.maximum(low, high))


@triton.jit
def _way_out(place, cell, inverse, more):
    """Return the way to the border of a cell, or of its block, along one axis."""
    # The lowest bits number the cells of a block.
    border = cell & ~more
    border = tl.where(inverse > 0, border + more + 1, border)
    return (border.to(tl.float32) - place) * inverse


@triton.jit(do_not_specialize=("num_rays",))
def _march(
    origins, directions, nears, fars, offsets, bits, blocks, densities, most_thickness,
    shortest, longest, near, far, rate, joint, end, slope, bounds, counts, points,
    distances, lengths, cells, num_rays, RESOLUTION: tl.constexpr,
    CASCADES: tl.constexpr, GROWS: tl.constexpr, ENDS: tl.constexpr,
    HAS_DENSITIES: tl.constexpr, RAYS: tl.constexpr,
):  # fmt: skip
    lattice = (shortest, longest, near, far, rate, joint, end)
    num_blocks: tl.constexpr = RESOLUTION // _BLOCK
    outer: tl.constexpr = 0.5 * 2 ** (CASCADES - 1)
    ray = tl.program_id(0).to(tl.int64) * RAYS + tl.arange(0, RAYS)
    is_ray = ray < num_rays
    ox = tl.load(origins + 3 * ray, mask=is_ray, other=0.0)
    oy = tl.load(origins + 3 * ray + 1, mask=is_ray, other=0.0)
    oz = tl.load(origins + 3 * ray + 2, mask=is_ray, other=0.0)
    dx = _slope(tl.load(directions + 3 * ray, mask=is_ray, other=0.0))
    dy = _slope(tl.load(directions + 3 * ray + 1, mask=is_ray, other=0.0))
    dz = _slope(tl.load(directions + 3 * ray + 2, mask=is_ray, other=0.0))
    first = tl.load(nears + ray, mask=is_ray, other=0.0)
    last = tl.load(fars + ray, mask=is_ray, other=0.0)
    offset = tl.load(offsets + ray, mask=is_ray, other=0.0)
    # One that stands still has no end, and what is no number would have none.
    fastest = tl.maximum(tl.maximum(tl.abs(dx), tl.abs(dy)), tl.abs(dz))
    every = ox + oy + oz + dx + dy + dz + first + offset
    walks = is_ray & (fastest > _LEAST_SLOPE) & (every == every)
    ox, oy, oz = (
        tl.where(walks, ox, 0.0),
        tl.where(walks, oy, 0.0),
        tl.where(walks, oz, 0.0),
    )
    dx, dy, dz = (
        tl.where(walks, dx, 1.0),
        tl.where(walks, dy, 1.0),
        tl.where(walks, dz, 1.0),
    )
    ix, iy, iz = 1 / dx, 1 / dy, 1 / dz
    first, last = _within(first, last, ox, ix, outer)
    first, last = _within(first, last, oy, iy, outer)
    first, last = _within(first, last, oz, iz, outer)
    first = tl.maximum(first, 0.0)
    walks = walks & (first < last)
    number = _number(tl.where(walks, first, 0.0), lattice, GROWS, ENDS)
    number = number + tl.where(walks, offset, 0.0)
    distance = _distance(number, lattice, GROWS, ENDS)
    walks = walks & (distance < last)
    before = tl.full((RAYS,), -1.0, tl.float32)
    thickness = tl.zeros((RAYS,), tl.float32)
    count = tl.zeros((RAYS,), tl.int64)
    is_lost = tl.zeros((RAYS,), tl.int32)
    place = tl.load(bounds + ray, mask=is_ray, other=0)
    limit = tl.load(bounds + ray + 1, mask=is_ray, other=0)
    while tl.max(walks.to(tl.int32), axis=0) > 0:
        # A step that is lost in the distance would be taken for ever.
        stands = walks & (distance <= before)
        is_lost = tl.where(stands, 1, is_lost)
        walks = walks & (distance > before)
        before = distance
        x, y, z = ox + distance * dx, oy + distance * dy, oz + distance * dz
        reach = tl.maximum(
            tl.maximum(tl.abs(x - 0.5), tl.abs(y - 0.5)), tl.abs(z - 0.5)
        )
        cascade = tl.zeros((RAYS,), tl.int32)
        scale = tl.full((RAYS,), RESOLUTION, tl.float32)
        for inner in tl.static_range(CASCADES - 1):
            is_outside = reach >= 0.5 * 2**inner
            cascade += is_outside.to(tl.int32)
            scale = tl.where(is_outside, 0.5 * scale, scale)
        px = (x - 0.5) * scale + 0.5 * RESOLUTION
        py = (y - 0.5) * scale + 0.5 * RESOLUTION
        pz = (z - 0.5) * scale + 0.5 * RESOLUTION
        i = tl.minimum(tl.maximum(px, 0.0), RESOLUTION - 1.0).to(tl.int32)
        j = tl.minimum(tl.maximum(py, 0.0), RESOLUTION - 1.0).to(tl.int32)
        k = tl.minimum(tl.maximum(pz, 0.0), RESOLUTION - 1.0).to(tl.int32)
        block = (cascade * num_blocks + (k >> 3)) * num_blocks + (j >> 3)
        block = block.to(tl.int64) * num_blocks + (i >> 3)
        has_any = tl.load(blocks + block, mask=walks, other=0) != 0
        row = block * (_BLOCK * _BLOCK) + (((k & 7) << 3) | (j & 7))
        held = tl.load(bits + row, mask=walks & has_any, other=0).to(tl.int32)
        is_held = walks & (((held >> (i & 7)) & 1) != 0)
        walks = walks & ~(is_held & (thickness > most_thickness))
        is_taken = is_held & walks
        cell = (cascade.to(tl.int64) * RESOLUTION + k) * RESOLUTION + j
        cell = cell * RESOLUTION + i
        length = tl.minimum(tl.maximum(slope * distance, shortest), longest)
        at = place + count
        has_room = is_taken & (at < limit)
        tl.store(points + 3 * at, x, mask=has_room)
        tl.store(points + 3 * at + 1, y, mask=has_room)
        tl.store(points + 3 * at + 2, z, mask=has_room)
        tl.store(distances + at, distance, mask=has_room)
        tl.store(lengths + at, length, mask=has_room)
        tl.store(cells + at, cell, mask=has_room)
        if HAS_DENSITIES:
            density = tl.load(densities + cell, mask=is_taken, other=0.0)
            thickness += tl.where(is_taken, density * length, 0.0)
        count += is_taken.to(tl.int64)
        more = tl.where(has_any, 0, 7)
        way = tl.minimum(_way_out(px, i, ix, more), _way_out(py, j, iy, more))
        way = tl.maximum(tl.minimum(way, _way_out(pz, k, iz, more)), 0.0)
        border = _number(distance + way / scale, lattice, GROWS, ENDS)
        jump = tl.where(is_taken, 1.0, tl.maximum(tl.ceil(border - number), 1.0))
        number = tl.where(walks, number + jump, number)
        distance = tl.where(walks, _distance(number, lattice, GROWS, ENDS), distance)
        walks = walks & (distance < last)
    tl.store(counts + ray, tl.where(is_lost > 0, -1, count), mask=is_ray)


def march(rays, offsets, cells, steps, densities, most_thickness):
    """Return bounds, points, distances, lengths and cells of the samples of all rays.

    Args:
        rays: Origins, directions, least and largest distances.
        offsets: Share of a step at which each ray's first sample stands.
        cells: Where samples are taken.
        steps: How far apart.
        densities: What each cell is thought to hold; None to go on to the end.
        most_thickness: Thickness after which a ray ends.

    Returns:
        The samples; None if a step is lost in the distance to the camera.
    """
    given = [
        tensor.contiguous() for tensor in (*rays, offsets, cells.bits, cells.blocks)
    ]
    given.append(offsets.new_empty(0) if densities is None else densities.contiguous())
    # A whole number would be an argument of another type.
    numbers = [float(x) for x in (most_thickness, *_lattice(steps), steps.slope)]
    num_rays = len(offsets)
    num_lanes = INTERPRETED_RAYS if is_interpreted() else RAYS
    shapes = {
        "RESOLUTION": cells.resolution,
        "CASCADES": cells.num_cascades,
        "GROWS": steps.slope > 0,
        "ENDS": steps.slope > 0 and math.isfinite(steps.longest),
        "HAS_DENSITIES": densities is not None,
        "RAYS": num_lanes,
        "num_warps": 1,
        # Said, as Triton is about to change what it does unasked.
        "enable_fp_fusion": True,
    }
    grid = (triton.cdiv(num_rays, num_lanes),)
    counts = offsets.new_empty(num_rays, dtype=torch.int64)

    def walk(bounds, room):
        out = _room(offsets, room)
        with torch.cuda.device_of(offsets):
            _march[grid](*given, *numbers, bounds, counts, *out, num_rays, **shapes)
        return out

    # Without room a walk counts.
    none = counts.new_zeros(num_rays + 1)
    walk(none, 0)
    bounds = torch.cat((none[:1], counts.cumsum(0)))
    # How many there are is a shape: the one thing to wait for.
    size, is_lost = torch.stack((bounds[-1], (counts < 0).any().long())).tolist()
    return None if is_lost else (bounds, *walk(bounds, size))


def _room(like, size):
    points, distances, lengths = (
        like.new_empty(size, *shape) for shape in ((3,), (), ())
    )
    return points, distances, lengths, like.new_empty(size, dtype=torch.int64)


def _lattice(steps):
    """Return lengths, where they begin to grow and end, ln, and both places."""
    shortest, longest, near, far, rate = steps.numbers
    if not steps.slope:
        return shortest, longest, near, far, rate, near, far
    joint = near / shortest
    return (
        shortest,
        longest,
        near,
        far,
        rate,
        joint,
        joint + math.log(far / near) / rate,
    )
