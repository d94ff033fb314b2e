"""Dense grids: every node of every level has features of its own."""

from dataclasses import dataclass

import torch

from tangrid.encodings.contract import ENCODINGS
from tangrid.encodings.table_grid import TableGrid, TableGridConfig
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.grid_lookup.layout import Convention, Interpolation
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

    def build(self, site: Site, generator: torch.Generator) -> TableGrid:
        """Return the grid with small random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        layout = self.layout(site.num_dims)
        return TableGrid(layout, self.channels_per_level, generator)
