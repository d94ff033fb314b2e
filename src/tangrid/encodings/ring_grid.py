r"""A smooth grid: Gaussians around the nodes of several rings, divided by their sum.

Along each axis the nearest :math:`2\rho` nodes of a level have the weights

.. math:: g(t) = e^{-t^2 / 2\sigma^2} (1 - t^2 / \rho^2)^3, \qquad |t| < \rho

of their distance t in cells, divided by their sum; weights of a node are products over
the axes. A Gaussian alone jumps where it is cut off; the window takes it to 0 with two
derivatives, so that the field is twice differentiable everywhere. Nodes go on for
:math:`\rho - 1` cells beyond the box, so that its edge is like anywhere else.

References:
    "Differentiable-infinity grid" (ICLR 2026, OpenReview 7G0L4cj452), which has the
    Gaussians and the rings; the window is ours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from tangrid.encodings.contract import ENCODINGS, GridEncoding, Lookup, Selection
from tangrid.encodings.grid_reads import small_random
from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.grid_lookup.layout import GridLevel
from tangrid.ops.grid_lookup.reference import cell_of, scaled_position
from tangrid.signals.site import Site


@ENCODINGS.register("ring-grid")
@dataclass(frozen=True, kw_only=True)
class RingGridConfig(TableGridConfig):
    """Dense grids read through smooth Gaussian weights of several rings of nodes."""

    num_levels: int = 6
    """Number of resolutions (L)."""
    channels_per_level: int = 4
    """Features per node (F)."""
    base_resolution: int = 8
    """Vertices per axis of the coarsest level, on the box's edges and between."""
    num_rings: int = 2
    """Nodes on either side along each axis (rho)."""
    width: float = 0.7
    """Width of the Gaussians in cells (sigma)."""

    def __post_init__(self) -> None:
        """Refuse a grid without features, nodes or Gaussians.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        if self.num_rings < 1 or not self.width > 0:
            raise ConfigError(
                "RingGridConfig: expected num_rings >= 1 and width > 0, got "
                f"{self.num_rings} and {self.width}."
            )

    def layout(self, num_dims: int) -> GridLayout:
        """Return where the nodes within the box are.

        Args:
            num_dims: Number of coordinates.
        """
        return grid_layout(
            num_dims=num_dims,
            num_levels=self.num_levels,
            base_resolution=self.base_resolution,
            growth=self.growth,
            storage="dense",
            convention="align-corners",
        )

    def build(self, site: Site, generator: torch.Generator) -> "RingGrid":
        """Return the grid with small random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        return RingGrid(self, site.num_dims, generator)


class RingGrid(GridEncoding):
    """Interpolate dense tables with smooth weights.

    Args:
        config: Settings.
        num_dims: Number of coordinates.
        generator: Source of the initial features.

    Attributes:
        table: Features of all levels' nodes, those beyond the box included.
    """

    def __init__(
        self, config: RingGridConfig, num_dims: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layout = config.layout(num_dims)
        self.num_dims = num_dims
        self.num_rings = config.num_rings
        self.width = config.width
        self.num_features = config.num_levels * config.channels_per_level
        sides = [self._side(level) for level in self.layout.levels]
        sizes = [side**num_dims for side in sides]
        self._offsets = [sum(sizes[:index]) for index in range(len(sizes))]
        self.table = small_random(generator, sum(sizes), config.channels_per_level)

    def _side(self, level: GridLevel) -> int:
        """Return the nodes along an axis, those beyond the box included."""
        return level.resolution + 2 * (self.num_rings - 1)

    def select(self, coords: Coords) -> Selection:
        """Return the rows of the rings around each point, level by level.

        Args:
            coords: Points in the unit box.
        """
        return tuple(
            self._rows(coords.detach(), level, offset)
            for level, offset in zip(self.layout.levels, self._offsets, strict=True)
        )

    def _rows(
        self, coords: Coords, level: GridLevel, offset: int
    ) -> Int64[Tensor, "n k"]:
        cell = cell_of(scaled_position(coords, level), level)
        # A cell's first neighbour stands rho - 1 nodes before it, as many as there are
        # before the box.
        steps = torch.arange(2 * self.num_rings, device=coords.device)
        rows = torch.full_like(cell[:, :1], offset)
        for axis in range(self.num_dims):
            along = (cell[:, axis, None] + steps) * self._side(level) ** axis
            rows = (along[:, :, None] + rows[:, None, :]).flatten(1)
        return rows

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level.

        Args:
            coords: Points in the unit box.
            selection: Rows per level, from `select`.
        """
        return tuple(
            Lookup("table", rows, self._weights(coords, level))
            for rows, level in zip(selection, self.layout.levels, strict=True)
        )

    def _weights(self, coords: Coords, level: GridLevel) -> Float[Tensor, "n k"]:
        rings = self.num_rings
        position = scaled_position(coords, level)
        fraction = position - cell_of(position, level).to(position.dtype)
        steps = torch.arange(1 - rings, rings + 1, device=coords.device)
        distance = (fraction[:, :, None] - steps.to(coords.dtype)).square()
        window = (1 - distance / rings**2).clamp(min=0) ** 3
        # What the nearest node has leaves the exponent, and with it underflow.
        beyond = distance - distance.amin(2, keepdim=True)
        along = torch.exp(-beyond / (2 * self.width**2)) * window
        along = along / along.sum(2, keepdim=True)
        weights = torch.ones_like(coords[:, :1])
        for axis in range(self.num_dims):
            weights = (along[:, axis, :, None] * weights[:, None, :]).flatten(1)
        return weights

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, the coarsest level first.

        Args:
            coords: Points in the unit box.
        """
        lookups = self.lookups(coords, self.select(coords))
        return self.combine(tuple(self.read(lookup) for lookup in lookups), coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the table as group ``grid``."""
        return {"grid": [self.table]}
