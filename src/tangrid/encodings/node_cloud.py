r"""Free nodes that a point reads by nearness, and a grid beside them.

The index function is the k nearest centres, the interpolation weights start from radial
functions whose widths follow the signal, and a few levels of an ordinary grid hold what
is the same everywhere. Centres and widths are placed by the signal's detail and stay as
they are.

References:
    Chen et al. 2023, "NeuRBF: A Neural Fields Representation with Adaptive Radial Basis
    Functions".
"""

import dataclasses
import math
from abc import ABC
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.encodings.contract import (
    EncodingConfig,
    GridEncoding,
    Lookup,
    Selection,
    SizeFamily,
)
from tangrid.encodings.grid_reads import level_lookups, level_rows, small_random
from tangrid.encodings.neighbours import NeighbourSearch
from tangrid.encodings.node_placement import (
    Spreads,
    place_nodes,
    proportions,
)
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features, Rows
from tangrid.ops.grid_lookup import GridLayout, grid_layout, grid_lookup
from tangrid.ops.rbf_lookup import Profile, RadialValues, fading, radial_values
from tangrid.signals.site import Site

Shape = Literal["scalar", "diagonal", "full"]

_MOST_CENTRES = 2**22


@dataclass(frozen=True, kw_only=True)
class NodeCloudConfig(EncodingConfig, ABC):
    """Settings of free nodes and of the grid beside them."""

    num_centres: int = 4096
    """Number of free nodes."""
    num_neighbours: int = 4
    """Nearest centres that a point reads (k)."""
    num_channels: int = 32
    """Features of every centre."""
    profile: Profile = "inverse-quadric"
    """The radial function."""
    shape: Shape = "full"
    """Widths: one per centre, one per axis, or an ellipse in any direction."""
    fades: bool = False
    """Whether the farthest neighbour's value fades to 0, which keeps the field
    continuous where neighbours change."""
    num_levels: int = 2
    """Resolutions of the grid beside the centres."""
    channels_per_level: int = 2
    """Features per node of the grid."""
    base_resolution: int = 16
    """Vertices per axis of the grid's coarsest level."""
    finest_resolution: int = 256
    """Vertices per axis of its finest level."""
    log2_table_size: int = 24
    """Logarithm of the most table rows that one of its levels may have."""

    def __post_init__(self) -> None:
        """Refuse settings that give a point nothing to read.

        Raises:
            ConfigError: If a setting is out of range.
        """
        where = type(self).__name__
        check_choice(f"{where}.profile", self.profile, Profile)
        check_choice(f"{where}.shape", self.shape, Shape)
        if not 1 <= self.num_centres <= _MOST_CENTRES:
            raise ConfigError(
                f"{where}.num_centres: expected a whole number from 1 to "
                f"{_MOST_CENTRES}, got {self.num_centres}."
            )
        if not 1 <= self.num_neighbours <= self.num_centres:
            raise ConfigError(
                f"{where}.num_neighbours: expected at least 1 and at most the "
                f"{self.num_centres} centres there are, got {self.num_neighbours}. "
                "Ask for fewer neighbours or more centres."
            )
        if self.fades and self.num_neighbours < 2:
            raise ConfigError(
                f"{where}.fades: expected at least two neighbours, the farthest of "
                "which fades out, got one."
            )
        if min(self.num_channels, self.channels_per_level, self.num_levels) < 1:
            raise ConfigError(
                f"{where}: expected num_channels, channels_per_level and num_levels >= "
                f"1, got {self.num_channels}, {self.channels_per_level} and "
                f"{self.num_levels}."
            )

    def reaching(self, finest_resolution: float) -> "NodeCloudConfig":
        """Return these settings with another finest resolution of the grid.

        Args:
            finest_resolution: Vertices per axis of the finest level.
        """
        finest = max(round(finest_resolution), self.base_resolution)
        return dataclasses.replace(self, finest_resolution=finest)

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth in the number of centres, then of the grid with them."""
        least = math.log2(self.num_neighbours)
        steps = math.log2(_MOST_CENTRES) - least

        def family(size: float) -> NodeCloudConfig:
            return dataclasses.replace(
                self, num_centres=round(2 ** (least + steps * size))
            )

        def with_grid(size: float) -> NodeCloudConfig:
            base = self.base_resolution
            centres = round(2**least * (self.num_centres / 2**least) ** size)
            finest = round(base * (max(self.finest_resolution / base, 1)) ** size)
            return dataclasses.replace(
                self, num_centres=centres, finest_resolution=finest
            )

        return (family, with_grid)

    def layout(self, num_dims: int) -> GridLayout:
        """Return where the nodes of the grid are.

        Args:
            num_dims: Number of coordinates.
        """
        ratio = max(self.finest_resolution / self.base_resolution, 1.0)
        return grid_layout(
            num_dims=num_dims,
            num_levels=self.num_levels,
            base_resolution=self.base_resolution,
            growth=ratio ** (1 / max(self.num_levels - 1, 1)),
            log2_table_size=self.log2_table_size,
            convention="align-corners",
        )


class NodeCloud(GridEncoding, ABC):
    """Free nodes with features, and a grid beside them.

    Args:
        config: Settings.
        site: Gives dimensions, proportions and the sampler of the signal.
        generator: Source of places and of initial features.

    Attributes:
        table: Features of the grid's nodes.
        features: Features of the centres.
        centres: Where the centres are; not trained.
        shapes: Distinct entries of their shapes; not trained.
    """

    centres: Tensor
    shapes: Tensor
    sides: Tensor

    def __init__(
        self, config: NodeCloudConfig, site: Site, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.num_dims = site.num_dims
        self.layout = config.layout(site.num_dims)
        own = config.num_levels * config.channels_per_level
        self.num_features = own + config.num_channels
        self._profile: Profile = config.profile
        self._fades = config.fades
        self._num_neighbours = config.num_neighbours
        placement = place_nodes(config.num_centres, site, generator)
        self.table = small_random(
            generator, self.layout.num_rows, config.channels_per_level
        )
        self.features = small_random(generator, config.num_centres, config.num_channels)
        self.register_buffer("centres", placement.centres)
        self.register_buffer("shapes", _shapes(placement.spreads, config))
        sides = proportions(site)
        self.register_buffer("sides", torch.tensor(sides), persistent=False)
        self._search = NeighbourSearch(sides)

    def select(self, coords: Coords) -> Selection:
        """Return the nearest centres, and the rows that every level of the grid reads.

        Args:
            coords: Points in the unit box.
        """
        return self.neighbours(coords), *level_rows(coords, self.layout)

    def grid_lookups(
        self, coords: Coords, rows: tuple[Tensor, ...]
    ) -> tuple[Lookup, ...]:
        """Return the reads of the grid, one per level.

        Args:
            coords: Points in the unit box.
            rows: What `select` found for each level.
        """
        return level_lookups("table", coords, self.layout, rows)

    def read_grid(self, coords: Coords) -> Features:
        """Return what the grid holds at points, by the fast way.

        Args:
            coords: Points in the unit box.
        """
        return grid_lookup(coords, self.table, self.layout)

    def neighbours(self, coords: Coords) -> Rows:
        """Return the nearest centres of each point.

        Args:
            coords: Points in the unit box.
        """
        return self._search.nearest(coords, self.centres, self._num_neighbours)

    def radial_values(self, coords: Coords, neighbours: Rows) -> RadialValues:
        """Return the radial functions of each point's neighbours.

        Args:
            coords: Points in the unit box.
            neighbours: The centres, from `neighbours`.
        """
        points = (coords * self.sides)[:, None, :]
        offsets = points - self.centres[neighbours]
        values = radial_values(offsets, self.shapes[neighbours], self._profile)
        return values * fading(offsets) if self._fades else values


def _shapes(spreads: Spreads, config: NodeCloudConfig) -> Float[Tensor, "t s"]:
    """Return shapes whose radial functions are one half at one width."""
    dims = spreads.shape[1]
    variances = spreads.diagonal(dim1=1, dim2=2)
    linear = config.profile == "linear"
    if config.shape == "scalar":
        variances = variances.sum(1, keepdim=True)
    if config.shape != "full":
        return 0.5 * variances.rsqrt() if linear else variances.reciprocal()
    if linear:
        sizes, axes = torch.linalg.eigh(spreads.double())
        inverse = (axes @ torch.diag_embed(0.5 * sizes.rsqrt()) @ axes.mT).to(spreads)
    else:
        inverse = torch.linalg.inv(spreads.double()).to(spreads)
    rows, columns = torch.triu_indices(dims, dims)
    return inverse[:, rows, columns]
