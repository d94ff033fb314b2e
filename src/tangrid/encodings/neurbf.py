r"""NeuRBF: features at free centres, read through radial functions, beside a grid.

At its k nearest centres a point has the values :math:`\rho_k` of radial functions; each
feature channel sees them at a frequency of its own,

.. math:: e_j(x) = \sum_k \sin(m_j \tilde\rho_k)\, w_{kj}, \qquad
          z = [\text{grid}(x), e(x)] + b.

References:
    Chen et al. 2023, "NeuRBF: A Neural Fields Representation with Adaptive Radial Basis
    Functions".
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tangrid.encodings.contract import ENCODINGS, Lookup, Selection
from tangrid.encodings.grid_reads import small_random
from tangrid.encodings.node_cloud import (
    NodeCloud,
    NodeCloudConfig,
)
from tangrid.notation import Coords, Features, Rows
from tangrid.ops.rbf_lookup import RadialValues, rbf_lookup, shared_values
from tangrid.ops.rbf_lookup.reference import (
    check_frequencies,
    sine_frequencies,
    sine_weights,
)
from tangrid.signals.site import Site


@ENCODINGS.register("rbf-nodes")
@dataclass(frozen=True, kw_only=True)
class NeurbfConfig(NodeCloudConfig):
    """Radial functions around free centres with sines for weights, beside a grid.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> config = NeurbfConfig(num_centres=64, finest_resolution=16)
        >>> config.build(site, generator(0)).num_features
        36
    """

    normalised: bool = True
    """Whether radial values are divided by their sum over the neighbours."""
    lowest_frequency: float = 2**-3
    """Factor of radial values in the first channel (m_1)."""
    highest_frequency: float = 2.0**12
    """The same in the last; channels between are spaced logarithmically."""

    def __post_init__(self) -> None:
        """Refuse settings that give a point nothing to read.

        Raises:
            ConfigError: If a setting is out of range.
        """
        super().__post_init__()
        check_frequencies("NeurbfConfig", self.lowest_frequency, self.highest_frequency)

    def build(self, site: Site, generator: torch.Generator) -> "Neurbf":
        """Return the encoding with its centres placed by the signal, if there is one.

        Args:
            site: Gives dimensions, proportions and the sampler of the signal.
            generator: Source of places and of initial features.
        """
        return Neurbf(self, site, generator)


class Neurbf(NodeCloud):
    """Read free centres through sines of radial functions, and a grid beside them.

    Args:
        config: Settings.
        site: Gives dimensions, proportions and the sampler of the signal.
        generator: Source of places and of initial features.

    Attributes:
        bias: Added to all features.
        frequencies: Factor of radial values in each channel.
    """

    frequencies: Tensor

    def __init__(
        self, config: NeurbfConfig, site: Site, generator: torch.Generator
    ) -> None:
        super().__init__(config, site, generator)
        self._normalised = config.normalised
        self.bias = small_random(generator, self.num_features)
        frequencies = sine_frequencies(
            config.lowest_frequency, config.highest_frequency, config.num_channels
        )
        self.register_buffer("frequencies", frequencies, persistent=False)

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level of the grid, then that of the centres.

        Args:
            coords: Points in the unit box.
            selection: Rows, from `select`.
        """
        neighbours, *grid = selection
        weights = sine_weights(self._shares(coords, neighbours), self.frequencies)
        own = Lookup("features", neighbours, weights)
        return *self.grid_lookups(coords, tuple(grid)), own

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
        neighbours = self.neighbours(coords)
        shares = self._shares(coords, neighbours)
        own = rbf_lookup(neighbours, shares, self.features, self.frequencies)
        return self.combine((self.read_grid(coords), own), coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all features and the bias as group ``grid``."""
        return {"grid": [self.table, self.features, self.bias]}

    def _shares(self, coords: Coords, neighbours: Rows) -> RadialValues:
        values = self.radial_values(coords, neighbours)
        return shared_values(values) if self._normalised else values
