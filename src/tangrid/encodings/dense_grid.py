"""Dense grids: every node of every level has features of its own."""

from dataclasses import dataclass, field

import torch

from tangrid.encodings.contract import ENCODINGS
from tangrid.encodings.resampling import (
    ResampledEncoding,
    Resampling,
    replace_parameters,
    resampling,
)
from tangrid.encodings.table_grid import TableDtype, TableGrid, TableGridConfig
from tangrid.errors import ConfigError
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.grid_lookup.layout import Convention, Interpolation
from tangrid.runs.annotations import ADDED_LATER
from tangrid.signals.site import Site


@ENCODINGS.register("dense-grid")
@dataclass(frozen=True, kw_only=True)
class DenseGridConfig(TableGridConfig):
    """One or several dense grids, vertices on the box's corners."""

    num_levels: int = 4
    """Number of resolutions (L)."""
    channels_per_level: int = 4
    """Features per node (F)."""
    convention: Convention = "align-corners"
    """Where the vertices lie."""
    interpolation: Interpolation = "linear"
    """How the corners of a cell are weighted."""
    table_dtype: TableDtype | None = field(default=None, metadata=ADDED_LATER)
    """As what features are read; None as they are kept and trained, in float32. float16
    halves what a GPU moves."""

    def layout(self, num_dims: int) -> GridLayout:
        """Return where the nodes are.

        Args:
            num_dims: Number of coordinates.
        """
        return grid_layout(
            num_dims=num_dims,
            num_levels=self.num_levels,
            base_resolution=self.base_resolution,
            growth=self.growth,
            storage="dense",
            convention=self.convention,
            interpolation=self.interpolation,
        )

    def build(self, site: Site, generator: torch.Generator) -> "DenseGrid":
        """Return the grid with small random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        layout = self.layout(site.num_dims)
        return DenseGrid(
            layout, self.channels_per_level, generator, table_dtype=self.table_dtype
        )


class DenseGrid(TableGrid, ResampledEncoding):
    """Interpolate one table without collisions, which can be resampled."""

    def resample_like(self, other: ResampledEncoding) -> dict[str, Resampling]:
        """Take the nodes of another resolution, with features interpolated from these.

        Args:
            other: Built from the same settings with another resolution.

        Returns:
            What makes what belongs to a new parameter, by its name.

        Raises:
            ConfigError: If it is no such grid.
        """
        if not isinstance(other, DenseGrid):
            raise ConfigError(
                "DenseGrid.resample_like: expected another dense grid, got a "
                f"{type(other).__name__}. Build it from the same settings."
            )
        maps = {"table": resampling(self.layout, other.layout)}
        replace_parameters(self, maps)
        self.layout = other.layout
        return maps
