"""The addressing of tiny-cuda-nn's grids, one vertex at a time in Python's own numbers.

Written from the documented rules and independent of the package: no tensors, integers
that are cut to 32 bits where the original's overflow, float32 only for the scale of a
level and for the position of a point.
"""

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

import numpy as np

HASH_FACTORS = (1, 2654435761, 805459861, 3674653429)
LARGEST_DENSE = {1: 0xFFFFFFFF, 2: 65535, 3: 1625, 4: 255}
"""Most vertices per axis whose address is counted instead of hashed."""


class Level(NamedTuple):
    """One resolution: scale, vertices per axis, first row and number of rows."""

    scale: np.float32
    resolution: int
    offset: int
    size: int


def scale_of(level: int, growth: float, coarsest: int) -> np.float32:
    """2^(level log2 growth) coarsest - 1, every step correctly rounded to float32."""
    with localcontext() as context:
        context.prec = 40
        octave = Decimal(2).ln()
        log2_growth = Decimal(float(np.float32(growth))).ln() / octave
        octaves = np.float32(level) * np.float32(float(log2_growth))
        ratio = (Decimal(float(octaves)) * octave).exp()
        return np.float32(float(ratio)) * np.float32(coarsest) - np.float32(1)


def levels_of(
    dims: int, count: int, coarsest: int, growth: float, log2_size: int, kind: str
) -> list[Level]:
    levels = []
    offset = 0
    for number in range(count):
        scale = scale_of(number, growth, coarsest)
        resolution = math.ceil(scale) + 1
        size = min(resolution**dims, 0xFFFFFFFF // 2)
        size = (size + 7) // 8 * 8
        if kind == "hashed":
            size = min(size, 1 << log2_size)
        elif kind == "tiled":
            size = min(size, coarsest**dims)
        levels.append(Level(scale, resolution, offset, size))
        offset += size
    return levels


def row_of(vertex: tuple[int, ...], level: Level, kind: str) -> int:
    dims = len(vertex)
    index, stride = 0, 1
    if level.resolution <= LARGEST_DENSE[dims]:
        for place in vertex:
            index = (index + place * stride) % 2**32
            stride *= level.resolution
    else:
        stride = 0xFFFFFFFF
    if kind == "hashed" and level.size < stride:
        index = 0
        for place, factor in zip(vertex, HASH_FACTORS, strict=False):
            index ^= (place * factor) % 2**32
    return level.offset + index % level.size


def position_of(x: np.float32, level: Level) -> np.float32:
    """A fused multiply-add: the exact sum, rounded once."""
    exact = Fraction(float(level.scale)) * Fraction(float(x)) + Fraction(1, 2)
    near = np.float32(float(exact))
    around = [
        np.nextafter(near, np.float32(-np.inf)),
        near,
        np.nextafter(near, np.float32(np.inf)),
    ]

    def distance(number: np.float32) -> tuple[Fraction, int]:
        is_odd = int(number.view(np.int32)) & 1
        return abs(Fraction(float(number)) - exact), is_odd

    return min(around, key=distance)


def corners_of(point: np.ndarray, level: Level, kind: str) -> list[tuple[int, float]]:
    """Row and linear weight of each corner of the cell, axis 0 varying fastest."""
    positions = [position_of(x, level) for x in point]
    cell = [math.floor(p) for p in positions]
    fraction = [float(p) - c for p, c in zip(positions, cell, strict=True)]
    corners = []
    for bits in itertools.product((0, 1), repeat=len(point)):
        upper = bits[::-1]
        vertex = tuple(c + u for c, u in zip(cell, upper, strict=True))
        weight = math.prod(
            f if u else 1 - f for f, u in zip(fraction, upper, strict=True)
        )
        corners.append((row_of(vertex, level, kind), weight))
    return corners
