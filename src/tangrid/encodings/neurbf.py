r"""NeuRBF: features at free centres, read through radial functions, beside a grid.

At its k nearest centres a point has the values :math:`\rho_k` of radial functions whose
widths follow the signal; each feature channel sees them at a frequency of its own,

.. math:: e_j(x) = \sum_k \sin(m_j \tilde\rho_k)\, w_{kj}, \qquad
          z = [\text{grid}(x), e(x)] + b.

Centres and widths are placed by the signal's detail and stay as they are.

References:
    Chen et al. 2023, "NeuRBF: A Neural Fields Representation with Adaptive Radial Basis
    Functions".
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.encodings.contract import (
    ENCODINGS,
    EncodingConfig,
    GridEncoding,
    Lookup,
    Selection,
    SizeFamily,
)
from tangrid.encodings.neighbours import NeighbourSearch
from tangrid.encodings.node_placement import (
    Placement,
    Spreads,
    place_nodes,
    proportions,
)
from tangrid.encodings.table_grid import INITIAL_RANGE
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.grid_lookup import GridLayout, grid_layout, grid_lookup, reference
from tangrid.ops.rbf_lookup import (
    Profile,
    fading,
    radial_values,
    rbf_lookup,
    shared_values,
)
from tangrid.ops.rbf_lookup.reference import sine_weights
from tangrid.signals.site import Site

Shape = Literal["scalar", "diagonal", "full"]

_MOST_CENTRES = 2**22


@ENCODINGS.register("rbf-nodes")
@dataclass(frozen=True, kw_only=True)
class NeurbfConfig(EncodingConfig):
    """Radial functions around free centres with sines for weights, beside a grid.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> config = NeurbfConfig(num_centres=64, finest_resolution=16)
        >>> config.build(site, generator(0)).num_features
        36
    """

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
    normalised: bool = True
    """Whether radial values are divided by their sum over the neighbours."""
    fades: bool = False
    """Whether the farthest neighbour's value fades to 0, which keeps the field
    continuous where neighbours change."""
    lowest_frequency: float = 2**-3
    """Factor of radial values in the first channel (m_1)."""
    highest_frequency: float = 2.0**12
    """The same in the last; channels between are spaced logarithmically."""
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
        self._check_centres()
        if not 0 < self.lowest_frequency <= self.highest_frequency < math.inf:
            raise ConfigError(
                "NeurbfConfig: expected 0 < lowest_frequency <= highest_frequency, got "
                f"{self.lowest_frequency} and {self.highest_frequency}."
            )
        if min(self.num_channels, self.channels_per_level, self.num_levels) < 1:
            raise ConfigError(
                "NeurbfConfig: expected num_channels, channels_per_level and "
                f"num_levels >= 1, got {self.num_channels}, {self.channels_per_level} "
                f"and {self.num_levels}."
            )

    def _check_centres(self) -> None:
        if not 1 <= self.num_centres <= _MOST_CENTRES:
            raise ConfigError(
                f"NeurbfConfig.num_centres: expected a whole number from 1 to "
                f"{_MOST_CENTRES}, got {self.num_centres}."
            )
        if not 1 <= self.num_neighbours <= self.num_centres:
            raise ConfigError(
                "NeurbfConfig.num_neighbours: expected at least 1 and at most the "
                f"{self.num_centres} centres there are, got {self.num_neighbours}. "
                "Ask for fewer neighbours or more centres."
            )
        if self.fades and self.num_neighbours < 2:
            raise ConfigError(
                "NeurbfConfig.fades: expected at least two neighbours, the farthest "
                "of which fades out, got one."
            )

    def reaching(self, finest_resolution: float) -> "NeurbfConfig":
        """Return these settings with another finest resolution of the grid.

        Args:
            finest_resolution: Vertices per axis of the finest level.
        """
        finest = max(round(finest_resolution), self.base_resolution)
        return dataclasses.replace(self, finest_resolution=finest)

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth in the number of centres."""
        least = math.log2(self.num_neighbours)
        steps = math.log2(_MOST_CENTRES) - least

        def family(size: float) -> NeurbfConfig:
            return dataclasses.replace(
                self, num_centres=round(2 ** (least + steps * size))
            )

        return (family,)

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

    def build(self, site: Site, generator: torch.Generator) -> "Neurbf":
        """Return the encoding with its centres placed by the signal, if there is one.

        Args:
            site: Gives dimensions, proportions and the sampler of the signal.
            generator: Source of places and of initial features.
        """
        placement = place_nodes(self.num_centres, site, generator)
        return Neurbf(self, site, placement, generator)


class Neurbf(GridEncoding):
    """Read free centres through radial functions, and a grid beside them.

    Args:
        config: Settings.
        site: Gives dimensions and proportions.
        placement: Centres and how far they reach.
        generator: Source of the initial features.

    Attributes:
        table: Features of the grid's nodes.
        features: Features of the centres.
        bias: Added to all features.
        centres: Where the centres are; not trained.
        shapes: Distinct entries of their shapes; not trained.
        frequencies: Factor of radial values in each channel.
    """

    centres: Tensor
    shapes: Tensor
    frequencies: Tensor
    sides: Tensor

    def __init__(
        self,
        config: NeurbfConfig,
        site: Site,
        placement: Placement,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.config = config
        self.num_dims = site.num_dims
        self.layout = config.layout(site.num_dims)
        own = config.num_levels * config.channels_per_level
        self.num_features = own + config.num_channels

        def small(*shape: int) -> nn.Parameter:
            values = torch.empty(shape)
            values.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator)
            return nn.Parameter(values)

        self.table = small(self.layout.num_rows, config.channels_per_level)
        self.features = small(config.num_centres, config.num_channels)
        self.bias = small(self.num_features)
        low = math.log2(config.lowest_frequency)
        high = math.log2(config.highest_frequency)
        self.register_buffer("centres", placement.centres)
        self.register_buffer("shapes", _shapes(placement.spreads, config))
        self.register_buffer(
            "frequencies",
            2 ** torch.linspace(low, high, config.num_channels),
            persistent=False,
        )
        sides = proportions(site)
        self.register_buffer("sides", torch.tensor(sides), persistent=False)
        self._search = NeighbourSearch(sides)

    def select(self, coords: Coords) -> Selection:
        """Return the nearest centres, and the rows that every level of the grid reads.

        Args:
            coords: Points in the unit box.
        """
        points = coords.detach()
        grid = tuple(
            reference.corner_rows(points, self.layout, level)
            for level in self.layout.levels
        )
        return self._neighbours(points), *grid

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level of the grid, then that of the centres.

        Args:
            coords: Points in the unit box.
            selection: Rows, from `select`.
        """
        neighbours, *grid = selection
        levels = zip(grid, self.layout.levels, strict=True)
        reads = [
            Lookup("table", rows, reference.corner_weights(coords, self.layout, level))
            for rows, level in levels
        ]
        values = self._values(coords, neighbours)
        weights = sine_weights(values, self.frequencies)
        return *reads, Lookup("features", neighbours, weights)

    def combine(self, reads: tuple[Tensor, ...], coords: Coords) -> Features:
        """Return the reads side by side, plus the bias.

        Args:
            reads: One tensor [n, channels] per lookup.
            coords: Points in the unit box.
        """
        return super().combine(reads, coords) + self.bias

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, those of the grid first.

        Args:
            coords: Points in the unit box.
        """
        neighbours = self._neighbours(coords)
        values = self._values(coords, neighbours)
        reads = (
            grid_lookup(coords, self.table, self.layout),
            rbf_lookup(neighbours, values, self.features, self.frequencies),
        )
        return self.combine(reads, coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all features and the bias as group ``grid``."""
        return {"grid": [self.table, self.features, self.bias]}

    def _neighbours(self, coords: Coords) -> Tensor:
        return self._search.nearest(coords, self.centres, self.config.num_neighbours)

    def _values(self, coords: Coords, neighbours: Tensor) -> Float[Tensor, "n k"]:
        """Return the radial values of each point's neighbours."""
        points = (coords * self.sides)[:, None, :]
        offsets = points - self.centres[neighbours]
        values = radial_values(offsets, self.shapes[neighbours], self.config.profile)
        if self.config.fades:
            values = values * fading(offsets)
        return shared_values(values) if self.config.normalised else values


def _shapes(spreads: Spreads, config: NeurbfConfig) -> Float[Tensor, "t s"]:
    """Return shapes whose radial functions are one half at one width."""
    dims = spreads.shape[1]
    variances = spreads.diagonal(dim1=1, dim2=2)
    linear = config.profile == "linear"
    if config.shape == "scalar":
        variances = variances.mean(1, keepdim=True)
    if config.shape != "full":
        return 0.5 * variances.rsqrt() if linear else variances.reciprocal()
    if linear:
        sizes, axes = torch.linalg.eigh(spreads)
        inverse = axes @ torch.diag_embed(0.5 * sizes.rsqrt()) @ axes.mT
    else:
        inverse = torch.linalg.inv(spreads)
    rows, columns = torch.triu_indices(dims, dims)
    return inverse[:, rows, columns]
