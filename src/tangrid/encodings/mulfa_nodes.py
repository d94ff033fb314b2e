r"""MulFAGrid on free nodes: the learned kernel function with another index function.

The nodes that a point reads are the k nearest centres, placed where the signal has
detail. Their interpolation weights :math:`\lambda` are the shares of radial functions,
which takes the place of linear interpolation; the kernel function is that of the
regular grid, its gates seeing the places of the nodes,

.. math:: e_f(x) = \sum_{i \in \mathrm{kNN}(x)} \lambda_i(x)\,
          (1 + \phi_f(x, i) - \bar\phi_f(x))\, w_{if}.

With ``fades`` (the default) the farthest neighbour's share fades to 0, and the field is
continuous although neighbours change.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields";
    placement of nodes as Chen et al. 2023, "NeuRBF".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.encodings.contract import ENCODINGS, Lookup, Selection
from tangrid.encodings.filter_kernel import FilterKernelConfig, FilterKernelOwner
from tangrid.encodings.node_cloud import NodeCloud, NodeCloudConfig
from tangrid.encodings.node_placement import proportions, spacing
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features, Rows
from tangrid.ops.mulfa_lookup.reference import (
    filtered,
    gates,
    normalised_weights,
    octave_waves,
)
from tangrid.ops.rbf_lookup import shared_values
from tangrid.signals.site import Site


@ENCODINGS.register("mulfa-nodes")
@dataclass(frozen=True, kw_only=True)
class MulfaNodesConfig(FilterKernelConfig, NodeCloudConfig):
    """Free nodes with multiplicative Fourier filters for weights, beside a grid.

    Units of the index and of the position are the mean distance of nodes (``multi``,
    ``grid``) or the longest side of the signal (``normalised``).

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> config = MulfaNodesConfig(num_centres=64, finest_resolution=16)
        >>> config.build(site, generator(0)).num_features
        32
    """

    num_neighbours: int = 5
    """Nearest centres that a point reads (k), the one that has faded out included."""
    num_channels: int = 16
    """Features of every centre."""
    fades: bool = True
    """Whether the farthest neighbour's value fades to 0, which keeps the field
    continuous where neighbours change."""
    num_levels: int = 8
    """Resolutions of the grid beside the centres."""

    def __post_init__(self) -> None:
        """Refuse settings that make no nodes or no kernel.

        Raises:
            ConfigError: If a setting is out of range.
        """
        super().__post_init__()
        self.check_filters()
        if self.index_mode == "flat":
            raise ConfigError(
                "MulfaNodesConfig.index_mode: expected 'multi' or 'normalised', got "
                "'flat': free nodes have places and no numbers in a lattice."
            )

    def build(self, site: Site, generator: torch.Generator) -> "MulfaNodes":
        """Return the encoding with its centres placed by the signal, if there is one.

        Args:
            site: Gives dimensions, proportions and the sampler of the signal.
            generator: Source of places and of initial values.
        """
        return MulfaNodes(self, site, generator)


class MulfaNodes(NodeCloud, FilterKernelOwner):
    """Read free centres through a learned kernel function, and a grid beside them.

    Args:
        config: Settings.
        site: Gives dimensions, proportions and the sampler of the signal.
        generator: Source of places and of initial values.
    """

    def __init__(
        self, config: MulfaNodesConfig, site: Site, generator: torch.Generator
    ) -> None:
        super().__init__(config, site, generator)
        self.settings = config.kernel_settings()
        # Nodes along a side of length 1.
        self._per_side = 1 / spacing(config.num_centres, proportions(site))
        step = self._per_side if config.index_mode == "multi" else 1.0
        units = torch.full((1, 1, site.num_dims, 1), step, dtype=torch.float64)
        self.add_kernel(config, units, site.num_dims, config.num_channels, generator)

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level of the grid, then that of the centres.

        Args:
            coords: Points in the unit box.
            selection: Rows, from `select`.
        """
        neighbours, *grid = selection
        weights = self._weights(coords, neighbours)
        own = Lookup("features", neighbours, weights)
        return *self.grid_lookups(coords, tuple(grid)), own

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, those of the grid first.

        Args:
            coords: Points in the unit box.
        """
        neighbours = self.neighbours(coords)
        own = Lookup("features", neighbours, self._weights(coords, neighbours))
        return self.combine((self.read_grid(coords), self.read(own)), coords)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all features as ``grid`` and, where it is trained, the ``kernel``."""
        kernel = self.kernel_parameters()
        groups = {"grid": [self.table, self.features]}
        return groups | ({"kernel": kernel} if kernel else {})

    def _weights(self, coords: Coords, neighbours: Rows) -> Float[Tensor, "n k *f"]:
        """Return the kernel function's values at each point's neighbours."""
        kernel = self.kernel.level(0)
        radial = self.radial_values(coords, neighbours)
        # Neighbours that are all as far, or none of which reaches the point, are alike.
        alike = radial.sum(1, keepdim=True) == 0
        shares = shared_values(torch.where(alike, 1.0, radial))
        # Gates depend on nodes alone, which are fewer than pairs of nodes and points.
        places = self.centres[None]
        layers = range(len(kernel.biases))
        waves = [gates(places, kernel, layer)[0][neighbours] for layer in layers]
        position = coords * self.sides
        if self.settings.units == "grid":
            position = position * self._per_side
        features = octave_waves(position, self.settings.num_frequencies)
        raw = filtered(features, waves, kernel)
        return self.composed(normalised_weights(raw, shares, self.settings))
