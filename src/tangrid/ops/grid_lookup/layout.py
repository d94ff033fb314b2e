"""Where the nodes of a multi-resolution grid lie and which table row holds each.

A layout resolves resolutions, scales, slot counts and offsets once, as plain numbers,
so that every implementation and every saved field agrees on them to the bit.

Conventions:

``tiny-cuda-nn``
    ``scale = 2^(level log2 b) N_min - 1`` in float32, ``ceil(scale) + 1`` vertices per
    axis, position ``scale x + 1/2``: levels are staggered against each other.
``align-corners``
    ``ceil(N_min b^level)`` vertices per axis, the first at 0 and the last at 1, as
    torch-ngp and NeuRBF have it.

References:
    Mueller et al. 2022, "Instant Neural Graphics Primitives"; tiny-cuda-nn
    ``encodings/grid.h`` and ``common_device.h``.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tangrid.errors import ConfigError
from tangrid.ops.grid_lookup.hashing import HashFunction, hash_factors

Interpolation = Literal["nearest", "linear", "smoothstep", "quintic"]
Convention = Literal["tiny-cuda-nn", "align-corners"]
Storage = Literal["dense", "hashed", "tiled"]

INTERPOLATIONS: tuple[Interpolation, ...] = (
    "nearest",
    "linear",
    "smoothstep",
    "quintic",
)
MAX_DIMS = 4
# Largest resolution whose dense index fits 32 bits, by number of dimensions.
_MAX_DENSE_RESOLUTION = (0, 0xFFFFFFFF, 0xFFFF, 0x659, 0xFF)
# Beyond this float32 cannot tell where in its cell a point lies.
_MAX_RESOLUTION = 2**24


@dataclass(frozen=True, kw_only=True)
class GridLevel:
    """One resolution of a grid and its slots in the shared table.

    Attributes:
        scale: Cells per unit of coordinate; exactly representable in float32.
        shift: Added to the scaled coordinate, in cells.
        resolution: Vertices per axis.
        last_cell: Largest cell index, or None where the index may run one past the end.
        offset: First table row of the level.
        size: Table rows of the level.
        storage: How a vertex finds its row.
        hash_function: Which number a vertex of a hashed level becomes.
    """

    scale: float
    shift: float
    resolution: int
    last_cell: int | None
    offset: int
    size: int
    storage: Storage
    hash_function: HashFunction = "coherent-prime"

    def strides(self, num_dims: int) -> tuple[int, ...]:
        """Return the factor of each vertex coordinate in the row's address.

        They are 0 where tiny-cuda-nn gives up counting: in tiles of more vertices than
        32 bits hold, and for hash functions that know no factors.

        Args:
            num_dims: Number of coordinates.
        """
        if self.storage == "hashed":
            return hash_factors(self.hash_function, num_dims) or (0,) * num_dims
        if self.resolution > _MAX_DENSE_RESOLUTION[num_dims]:
            return (0,) * num_dims
        return tuple(self.resolution**axis for axis in range(num_dims))


@dataclass(frozen=True)
class GridLayout:
    """All levels of a multi-resolution grid in one table.

    Attributes:
        num_dims: Number of coordinates d, 1 to 4.
        interpolation: How the 2^d corners of a cell are weighted.
        levels: From coarse to fine.
    """

    num_dims: int
    interpolation: Interpolation
    levels: tuple[GridLevel, ...]

    @property
    def num_rows(self) -> int:
        """Number of rows of the table."""
        return self.levels[-1].offset + self.levels[-1].size

    @property
    def refusals(self) -> list[str]:
        """Why only the reference can address the levels; empty where all can."""
        others = {
            level.hash_function
            for level in self.levels
            if level.storage == "hashed" and not any(level.strides(self.num_dims))
        }
        return [f"vertices are hashed by '{name}'" for name in sorted(others)]

    @cached_property
    def wrapping(self) -> "GridLayout":
        """The same grid, told to wrap every address however far a point lies outside.

        Of dense levels the fast implementations wrap what is one past the end alone.
        """
        levels = tuple(
            replace(level, storage="tiled") if level.storage == "dense" else level
            for level in self.levels
        )
        return replace(self, levels=levels)

    @cached_property
    def scales(self) -> NDArray[np.float32]:
        """Scale and shift of each level, as [l, 2]."""
        return np.array([(lv.scale, lv.shift) for lv in self.levels], np.float32)

    @cached_property
    def addresses(self) -> NDArray[np.int64]:
        """Offset, size, storage code, last cell (or -1) and four strides, as [l, 8]."""
        codes = {"dense": 0, "hashed": 1, "tiled": 2}
        rows = []
        for lv in self.levels:
            last = -1 if lv.last_cell is None else lv.last_cell
            strides = [*lv.strides(self.num_dims), 0, 0, 0, 0][:MAX_DIMS]
            rows.append((lv.offset, lv.size, codes[lv.storage], last, *strides))
        return np.array(rows, np.int64)

    @property
    def interpolation_code(self) -> int:
        """Position of the interpolation in `INTERPOLATIONS`."""
        return INTERPOLATIONS.index(self.interpolation)


def grid_layout(
    *,
    num_dims: int,
    num_levels: int,
    base_resolution: int,
    growth: float,
    log2_table_size: int = 19,
    storage: Storage = "hashed",
    convention: Convention = "tiny-cuda-nn",
    interpolation: Interpolation = "linear",
    slot_multiple: int = 8,
    hash_function: HashFunction = "coherent-prime",
    stops_at_overflow: bool = True,
) -> GridLayout:
    """Lay out a grid whose resolution grows geometrically from level to level.

    Args:
        num_dims: Number of coordinates, 1 to 4.
        num_levels: Number of resolutions (L).
        base_resolution: Vertices per axis of the coarsest level (N_min).
        growth: Ratio of resolutions of neighbouring levels (b), at least 1.
        log2_table_size: Logarithm of the most rows a hashed level may have (T).
        storage: ``hashed`` is dense wherever the level fits its table; ``tiled``
            repeats a block of base_resolution^d rows.
        convention: Where the vertices lie.
        interpolation: How corners are weighted.
        slot_multiple: What the rows of a level are rounded up to a multiple of;
            tiny-cuda-nn's and torch-ngp's is 8.
        hash_function: Which number a vertex of a hashed level becomes.
        stops_at_overflow: Whether tiles whose addresses overflow 32 bits are refused;
            otherwise all vertices of such a level are its first row, as in
            tiny-cuda-nn.

    Returns:
        The layout; its number of rows is the size of the table to allocate.

    Raises:
        ConfigError: If a number is out of range or a level would overflow.

    Example:
        >>> layout = grid_layout(num_dims=3, num_levels=16, base_resolution=16,
        ...                      growth=1.3819, log2_table_size=14)
        >>> layout.levels[0].resolution
        16
    """
    _check(num_dims, num_levels, base_resolution, growth, log2_table_size)
    levels: list[GridLevel] = []
    offset = 0
    for level in range(num_levels):
        scale, resolution = _resolve(level, base_resolution, growth, convention)
        dense = min(resolution**num_dims, 2**31 - 1)
        rounded = -(-dense // slot_multiple) * slot_multiple
        size, kind = _slots(
            resolution, num_dims, rounded, (base_resolution, log2_table_size), storage
        )
        if stops_at_overflow or kind != "tiled":
            _check_overflow(resolution, num_dims, kind)
        aligned = convention == "align-corners"
        nearest = interpolation == "nearest"
        levels.append(
            GridLevel(
                scale=scale,
                # The nearest vertex of an aligned grid is found by rounding.
                shift=(0.5 if nearest else 0.0) if aligned else 0.5,
                resolution=resolution,
                last_cell=resolution - (1 if nearest else 2) if aligned else None,
                offset=offset,
                size=size,
                storage=kind,
                hash_function=hash_function,
            )
        )
        offset += size
    return GridLayout(num_dims, interpolation, tuple(levels))


def _check(
    num_dims: int,
    num_levels: int,
    base_resolution: int,
    growth: float,
    log2_table_size: int,
) -> None:
    limits = (
        ("num_dims", num_dims, 1, MAX_DIMS),
        ("num_levels", num_levels, 1, 64),
        ("base_resolution", base_resolution, 2, 2**20),
        ("log2_table_size", log2_table_size, 3, 28),
    )
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise ConfigError(
                f"grid_layout({name}=...): expected a whole number from {low} to "
                f"{high}, got {value}."
            )
    if not (math.isfinite(growth) and growth >= 1):
        raise ConfigError(
            f"grid_layout(growth=...): expected a finite ratio >= 1, got {growth}."
        )
    finest = math.log2(base_resolution) + (num_levels - 1) * math.log2(growth)
    if finest > math.log2(_MAX_RESOLUTION):
        raise ConfigError(
            f"grid_layout(growth={growth:g}): expected at most {_MAX_RESOLUTION} "
            f"vertices per axis, got about 2^{finest:.1f} in the finest of "
            f"{num_levels} levels. Use a smaller growth or fewer levels."
        )


def _resolve(
    level: int, base_resolution: int, growth: float, convention: Convention
) -> tuple[float, int]:
    if convention == "align-corners":
        # The tolerance keeps 16 * 2.0**k from becoming one vertex more by rounding.
        exact = base_resolution * growth**level
        resolution = math.ceil(exact - 1e-9 * exact)
        return float(np.float32(resolution - 1)), resolution
    # Each step is rounded to float32, but taken in float64: NumPy's own float32 log2
    # and exp2 are off by one in the last place, differently on each processor.
    log2_growth = np.float32(math.log2(np.float32(growth)))
    ratio = np.float32(2.0 ** float(np.float32(level) * log2_growth))
    scale = ratio * np.float32(base_resolution) - np.float32(1)
    return float(scale), math.ceil(scale) + 1


def _slots(
    resolution: int,
    num_dims: int,
    rounded: int,
    limits: tuple[int, int],
    storage: Storage,
) -> tuple[int, Storage]:
    """Return the rows of a level and how they are found, given those of all nodes."""
    base_resolution, log2_table_size = limits
    dense = resolution**num_dims
    fits = resolution <= _MAX_DENSE_RESOLUTION[num_dims]
    if storage == "hashed":
        size = min(rounded, 2**log2_table_size)
        return size, "dense" if fits and size >= dense else "hashed"
    if storage == "tiled":
        size = min(rounded, base_resolution**num_dims)
        return size, "dense" if size >= dense else "tiled"
    return rounded, "dense"


def _check_overflow(resolution: int, num_dims: int, storage: Storage) -> None:
    if storage == "hashed" or resolution <= _MAX_DENSE_RESOLUTION[num_dims]:
        return
    raise ConfigError(
        f"grid_layout(storage='{storage}'): expected at most "
        f"{_MAX_DENSE_RESOLUTION[num_dims]} vertices per axis in {num_dims} "
        f"dimensions, got {resolution}. Use storage='hashed' or a smaller growth."
    )
