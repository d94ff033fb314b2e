"""Grids on projected coordinates, whose reads are joined by products or sums.

A factor is a dense grid over some of the axes: a line over one, a plane over two. All
factors of a model are read by the one grid lookup there is.
"""

from abc import ABC
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tangrid.encodings.contract import (
    EncodingConfig,
    Lookup,
    Selection,
)
from tangrid.encodings.grid_reads import level_lookups, level_rows
from tangrid.encodings.resampling import (
    ResampledEncoding,
    Resampling,
    replace_parameters,
    resampling,
)
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.grid_lookup import GridLayout, grid_layout, grid_lookup
from tangrid.ops.grid_lookup.layout import MAX_DIMS


class Factor(NamedTuple):
    """One grid over some of the axes.

    Attributes:
        name: Of the parameter that holds its features.
        axes: The coordinates that it sees.
        layout: Where its nodes are.
    """

    name: str
    axes: tuple[int, ...]
    layout: GridLayout


def dense_factor(
    axes: tuple[int, ...], resolution: int, num_levels: int = 1, growth: float = 1.0
) -> Factor:
    """Return a dense factor with vertices on the box's edges, named by its axes.

    Args:
        axes: The coordinates that it sees.
        resolution: Vertices per axis of the coarsest level.
        num_levels: Number of resolutions.
        growth: Ratio of resolutions of neighbouring levels.
    """
    layout = grid_layout(
        num_dims=len(axes),
        num_levels=num_levels,
        base_resolution=resolution,
        growth=growth,
        storage="dense",
        slot_multiple=1,
        convention="align-corners",
    )
    return Factor("over_" + "_".join("xyzt"[axis] for axis in axes), axes, layout)


def check_dims(config: EncodingConfig, num_dims: int, least: int) -> None:
    """Refuse a number of coordinates that factors cannot be made of.

    Args:
        config: Settings that are to be built.
        num_dims: Number of coordinates.
        least: The fewest that make a product.

    Raises:
        ConfigError: If there are fewer, or more than a grid can have.
    """
    if not least <= num_dims <= MAX_DIMS:
        raise ConfigError(
            f"{type(config).__name__}.build: expected {least} to {MAX_DIMS} "
            f"coordinates, got {num_dims}. Use 'dense-grid' in one dimension."
        )


class FactoredGrid(ResampledEncoding, ABC):
    """Read factors at projected coordinates; subclasses join the reads in `combine`.

    Args:
        num_dims: Number of coordinates.
        factors: The grids.
        channels: Features of every node of every grid.
    """

    def __init__(self, num_dims: int, factors: list[Factor], channels: int) -> None:
        super().__init__()
        self.num_dims = num_dims
        self.factors = tuple(factors)
        for factor in factors:
            table = nn.Parameter(torch.empty(factor.layout.num_rows, channels))
            self.register_parameter(factor.name, table)

    def select(self, coords: Coords) -> Selection:
        """Return the rows that every level of every factor reads.

        Args:
            coords: Points in the unit box.
        """
        return tuple(
            rows
            for factor in self.factors
            for rows in level_rows(coords[:, factor.axes], factor.layout)
        )

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per factor and level.

        Args:
            coords: Points in the unit box.
            selection: Rows, from `select`.
        """
        rows = iter(selection)
        lookups: list[Lookup] = []
        for factor in self.factors:
            own = tuple(islice(rows, len(factor.layout.levels)))
            points = coords[:, factor.axes]
            lookups += level_lookups(factor.name, points, factor.layout, own)
        return tuple(lookups)

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point.

        Args:
            coords: Points in the unit box.
        """
        reads: list[Tensor] = []
        for factor in self.factors:
            table: Tensor = getattr(self, factor.name)
            read = grid_lookup(coords[:, factor.axes], table, factor.layout)
            reads += read.split(table.shape[1], dim=1)
        return self.combine(tuple(reads), coords)

    def resample_like(self, other: ResampledEncoding) -> dict[str, Resampling]:
        """Take the nodes of another resolution, with features interpolated from these.

        Args:
            other: Built from the same settings with another resolution.

        Returns:
            What makes what belongs to a new parameter, by its name.

        Raises:
            ConfigError: If it has other factors.
        """
        names = [factor.name for factor in self.factors]
        theirs = other.factors if isinstance(other, FactoredGrid) else ()
        if [factor.name for factor in theirs] != names:
            raise ConfigError(
                f"{type(self).__name__}.resample_like: expected a grid with the "
                f"factors {', '.join(names)}, got a {type(other).__name__} with "
                "others. Build it from the same settings."
            )
        maps = {
            own.name: resampling(own.layout, their.layout)
            for own, their in zip(self.factors, theirs, strict=True)
        }
        replace_parameters(self, maps)
        self.factors = theirs
        return maps

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all features as group ``grid``."""
        return {"grid": [getattr(self, factor.name) for factor in self.factors]}
