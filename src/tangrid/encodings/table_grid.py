"""Grids with one table of features and weights of corners: hashed, tiled or dense."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.encodings.contract import (
    EncodingConfig,
    GridEncoding,
    Lookup,
    Selection,
    SizeFamily,
)
from tangrid.encodings.grid_reads import level_lookups, level_rows, small_random
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.accumulation import buffer_for
from tangrid.ops.grid_lookup import GridLayout, grid_lookup

TableDtype = Literal["float16"]

# A level finer than this many vertices along an axis serves no signal we know.
_FINEST = 2**14
_LARGEST_LOG2_TABLE = 26


@dataclass(frozen=True, kw_only=True)
class TableGridConfig(EncodingConfig, ABC):
    """Settings that every multi-resolution grid has."""

    num_levels: int = 16
    """Number of resolutions (L)."""
    channels_per_level: int = 2
    """Features per node (F)."""
    base_resolution: int = 16
    """Vertices per axis of the coarsest level (N_min)."""
    growth: float = 1.5
    """Ratio of the resolutions of neighbouring levels (b)."""

    def __post_init__(self) -> None:
        """Refuse a grid without features or without nodes.

        Raises:
            ConfigError: If there are no channels or no nodes.
        """
        if self.channels_per_level < 1:
            raise ConfigError(
                f"{type(self).__name__}.channels_per_level: expected a whole number "
                f">= 1, got {self.channels_per_level}."
            )
        if self.base_resolution < 1:
            raise ConfigError(
                f"{type(self).__name__}.base_resolution: expected a whole number >= 1, "
                f"got {self.base_resolution}."
            )

    @abstractmethod
    def layout(self, num_dims: int) -> GridLayout:
        """Return where the nodes are.

        Args:
            num_dims: Number of coordinates.
        """

    def reaching(self, finest_resolution: float) -> "TableGridConfig":
        """Return these settings with the growth that ends at a finest resolution.

        A single level, to which growth does not matter, gets that resolution itself.

        Args:
            finest_resolution: Vertices per axis of the finest level (N_max).
        """
        ratio = max(finest_resolution / self.base_resolution, 1.0)
        growth = ratio ** (1 / max(self.num_levels - 1, 1))
        if self.num_levels > 1:
            return dataclasses.replace(self, growth=growth)
        only = max(round(finest_resolution), 2)
        return dataclasses.replace(self, base_resolution=only, growth=growth)

    def larger_tables(self) -> tuple["TableGridConfig", ...]:
        """Return these settings with ever larger tables, themselves first."""
        return (self,)

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth of the finest resolution, also with larger or coarser tables.

        Larger tables are tried first, and a coarser coarsest level where they leave out
        a budget: in three dimensions that level alone may fill them.
        """
        if self.num_levels == 1:
            return tuple(config.coarsest_family() for config in self.larger_tables())

        def family(config: TableGridConfig) -> SizeFamily:
            ratio = _FINEST / config.base_resolution
            return lambda size: dataclasses.replace(
                config, growth=ratio ** (size / (self.num_levels - 1))
            )

        bases = (self.base_resolution, *_halvings(self.base_resolution))
        return tuple(
            family(dataclasses.replace(config, base_resolution=base))
            for base in bases
            for config in self.larger_tables()
        )

    def coarsest_family(self) -> SizeFamily:
        """Return growth of the coarsest level's resolution."""
        return lambda size: dataclasses.replace(
            self, base_resolution=round(2 * (_FINEST / 2) ** size)
        )


def _halvings(resolution: int) -> Iterator[int]:
    """Yield resolutions half as fine as the one before, down to 2."""
    while resolution >= 4:
        resolution //= 2
        yield resolution


class TableGrid(GridEncoding):
    """Interpolate the features of one table, level by level.

    Args:
        layout: Where the nodes are.
        channels_per_level: Features per node (F).
        generator: Source of the initial features.
        level_factors: What the features of each level are multiplied by; None leaves
            them alone.
        table_dtype: As what the table is read; None as it is kept, in float32, in which
            its gradient is summed, too.
    """

    level_factors: Tensor | None

    def __init__(
        self,
        layout: GridLayout,
        channels_per_level: int,
        generator: torch.Generator,
        level_factors: Float[Tensor, " l"] | None = None,
        table_dtype: TableDtype | None = None,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.num_dims = layout.num_dims
        self.num_features = len(layout.levels) * channels_per_level
        self.is_piecewise_constant = layout.interpolation == "nearest"
        self.table = small_random(generator, layout.num_rows, channels_per_level)
        self.table_dtype: TableDtype | None = table_dtype
        self.register_buffer("level_factors", level_factors, persistent=False)

    def select(self, coords: Coords) -> Selection:
        """Return the rows that every level reads for each point.

        Args:
            coords: Points in the unit box.
        """
        return level_rows(coords, self.layout)

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level.

        Args:
            coords: Points in the unit box.
            selection: Rows per level, from `select`.
        """
        lookups = level_lookups("table", coords, self.layout, selection)
        if self.level_factors is None:
            return lookups
        return tuple(
            dataclasses.replace(lookup, weights=lookup.weights * factor)
            for lookup, factor in zip(lookups, self.level_factors, strict=True)
        )

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, the coarsest level first.

        Args:
            coords: Points in the unit box.
        """
        table = self.table
        # In float64 nothing is rounded on the way.
        if self.table_dtype is not None and table.dtype == torch.float32:
            table = table.to(getattr(torch, self.table_dtype))
        return self.interpolated(coords, table, buffer_for(self.table))

    def interpolated(
        self,
        coords: Coords,
        table: Float[Tensor, "rows c"],
        grad_into: Tensor | None = None,
    ) -> Features:
        """Return what the grid makes of another table than its own; linear in it.

        Args:
            coords: Points in the unit box.
            table: Features of the nodes.
            grad_into: What the table's gradient is added to, as in `grid_lookup`.
        """
        features = grid_lookup(coords, table, self.layout, grad_into=grad_into)
        if self.level_factors is None:
            return features
        return features * self.level_factors.repeat_interleave(table.shape[1])

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the table as group ``grid``."""
        return {"grid": [self.table]}


def enlarged_log2_sizes(log2_table_size: int) -> range:
    """Return the table sizes worth trying when levels saturate, the given one first.

    Args:
        log2_table_size: Logarithm of the rows per level (T).
    """
    return range(log2_table_size, max(log2_table_size, _LARGEST_LOG2_TABLE) + 1)
