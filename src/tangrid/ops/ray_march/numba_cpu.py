"""Marching as a loop along each ray that jumps over empty cells and empty blocks.

A jump ends on the first place of the lattice behind the cell. Functions take NumPy
views of float32 tensors and run on the calling thread without the interpreter lock.
"""
# Kernels are typed by numba.

import math
import typing

import numpy as np
from numba import njit

from tangrid.ops.loops import INLINE, OUTER

_LEAST_SLOPE = np.float32(1e-9)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_ZERO = np.float32(0)


@typing.no_type_check
@njit(**INLINE)
def _number(distance, steps):
    shortest, longest, near, far, rate = steps
    if distance < near:
        return distance / shortest
    first = near / shortest
    if distance < far:
        return first + np.float32(math.log(distance / near)) / rate
    last = first + np.float32(math.log(far / near)) / rate
    return last + (distance - far) / longest


@typing.no_type_check
@njit(**INLINE)
def _distance(number, steps):
    shortest, longest, near, far, rate = steps
    first = near / shortest
    if number < first:
        return number * shortest
    last = first + np.float32(math.log(far / near)) / rate
    if number < last:
        return near * np.float32(math.exp((number - first) * rate))
    return far + (number - last) * longest


@typing.no_type_check
@njit(**INLINE)
def _slope(slope):
    # What is no number stays so.
    return _LEAST_SLOPE if abs(slope) < _LEAST_SLOPE else slope


@typing.no_type_check
@njit(**INLINE)
def _cascade(x, y, z, num_cascades):
    reach = max(abs(x - _HALF), abs(y - _HALF), abs(z - _HALF))
    cascade, edge = 0, _HALF
    while reach >= edge and cascade < num_cascades - 1:
        cascade += 1
        edge += edge
    return cascade


@typing.no_type_check
@njit(**INLINE)
def _way_out(place, cell, inverse, more):
    """Return the way to the border of a cell, or of its block, along one axis."""
    # The lowest bits number the cells of a block.
    border = cell & ~more
    if inverse > _ZERO:
        border += more + 1
    return (np.float32(border) - place) * inverse


@typing.no_type_check
@njit(**OUTER)
def march(
    origins, directions, nears, fars, offsets, bits, blocks, resolution, steps, slope,
    densities, most_thickness, bounds, points, distances, lengths, cells,
):  # fmt: skip
    """Take samples along all rays; those beyond the room given are only counted.

    Returns:
        The number of samples; -1 if a step is lost in the distance to the camera.
    """
    num_cascades = bits.shape[0]
    num_blocks = resolution // 8
    room = distances.shape[0]
    outer = _HALF * np.float32(1 << (num_cascades - 1))
    shortest, longest, _, _, _ = steps
    last_cell = resolution - 1
    count = 0
    bounds[0] = 0
    for ray in range(origins.shape[0]):
        ox, oy, oz = origins[ray, 0], origins[ray, 1], origins[ray, 2]
        dx = _slope(directions[ray, 0])
        dy = _slope(directions[ray, 1])
        dz = _slope(directions[ray, 2])
        # A division costs as much as all else of a jump.
        ix, iy, iz = _ONE / dx, _ONE / dy, _ONE / dz
        first, last = nears[ray], fars[ray]
        is_still = max(abs(dx), abs(dy), abs(dz)) <= _LEAST_SLOPE
        if is_still or math.isnan(ox + oy + oz + dx + dy + dz):
            # Comparisons below would pass over what is no number, and the ray go on to
            # its end; one that stands still has no end.
            last = first
        for origin, inverse in ((ox, ix), (oy, iy), (oz, iz)):
            low = (_HALF - outer - origin) * inverse
            high = (_HALF + outer - origin) * inverse
            first = max(first, min(low, high))
            last = min(last, max(low, high))
        number = _number(max(first, _ZERO), steps) + offsets[ray]
        distance = _distance(number, steps)
        thickness, before = _ZERO, np.float32(-math.inf)
        while distance < last:
            if not distance > before:
                return -1
            before = distance
            x, y, z = ox + distance * dx, oy + distance * dy, oz + distance * dz
            cascade = _cascade(x, y, z, num_cascades)
            scale = np.float32(resolution) / np.float32(1 << cascade)
            shift = _HALF * np.float32(resolution)
            px = (x - _HALF) * scale + shift
            py = (y - _HALF) * scale + shift
            pz = (z - _HALF) * scale + shift
            i = min(max(int(px), 0), last_cell)
            j = min(max(int(py), 0), last_cell)
            k = min(max(int(pz), 0), last_cell)
            block = ((k >> 3) * num_blocks + (j >> 3)) * num_blocks + (i >> 3)
            has_any = blocks[cascade, block] != 0
            if has_any:
                row = bits[cascade, block, ((k & 7) << 3) | (j & 7)]
                if (row >> (i & 7)) & 1:
                    if thickness > most_thickness:
                        break
                    cell = ((cascade * resolution + k) * resolution + j) * resolution
                    length = min(max(slope * distance, shortest), longest)
                    if count < room:
                        points[count, 0] = x
                        points[count, 1] = y
                        points[count, 2] = z
                        distances[count] = distance
                        lengths[count] = length
                        cells[count] = cell + i
                    if densities.shape[0]:
                        thickness += densities[cell + i] * length
                    count += 1
                    number += _ONE
                    distance = _distance(number, steps)
                    continue
            more = 0 if has_any else 7
            way = min(
                _way_out(px, i, ix, more),
                _way_out(py, j, iy, more),
                _way_out(pz, k, iz, more),
            )
            border = _number(distance + max(way, _ZERO) / scale, steps)
            number += max(_ONE, np.float32(math.ceil(border - number)))
            distance = _distance(number, steps)
        bounds[ray + 1] = count
    return count


@typing.no_type_check
@njit(**OUTER)
def observe(cells, values, highest, lowest):
    """Raise the highest and lower the lowest value of each cell to what is found."""
    for i in range(cells.shape[0]):
        cell, value = cells[i], values[i]
        # What is no number stays so, which `max` and `min` pass over.
        if not (value <= highest[cell] or math.isnan(highest[cell])):
            highest[cell] = value
        if not (value >= lowest[cell] or math.isnan(lowest[cell])):
            lowest[cell] = value
