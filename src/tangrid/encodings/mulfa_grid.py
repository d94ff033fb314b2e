r"""MulFAGrid: a grid whose interpolation weights are learned Fourier filters.

Level l reads :math:`z_f(x) = \sum_{i \in U(x)} \tilde\phi_f(x, i)\, w_{if}`. The
kernel function :math:`\phi` is a multiplicative filter network: Fourier features of x,
gated by waves in the index of the node i, so that every node has a kernel of its own.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields".
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.encodings.contract import ENCODINGS, Lookup, Selection
from tangrid.encodings.filter_kernel import FilterKernelConfig, FilterKernelOwner
from tangrid.encodings.hash_grid import HashGridConfig
from tangrid.encodings.table_grid import TableGrid
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.grid_lookup import GridLayout
from tangrid.ops.grid_lookup.reference import corner_nodes, node_rows
from tangrid.ops.mulfa_lookup import (
    mulfa_lookup,
)
from tangrid.ops.mulfa_lookup.reference import kernel_weights, raw_kernel
from tangrid.signals.site import Site

_CANCELLED = 1e-3
_SLOPED_AT_ONE_NODE = ("none", "lin_add", "signed_eps")
"""Normalisers that leave the weight of a single node a gradient in the point."""


@ENCODINGS.register("mulfa-grid")
@dataclass(frozen=True, kw_only=True)
class MulfaGridConfig(FilterKernelConfig, HashGridConfig):
    """Hash grid with multiplicative Fourier filters for interpolation weights.

    ``normaliser`` makes weights of the raw kernel values phi at the corners of a cell,
    lambda being the interpolation weights. What each gives up:

    ``lin_add``
        lambda (1 + phi): continuous, and equal to the plain grid at phi = 0. Weights
        need not sum to 1, so a constant is not reproduced exactly.
    ``lin_centred``
        lambda (1 + phi - m), m being the mean of phi over the cell, weighted by lambda:
        continuous, and weights sum to 1. Equal to lambda phi acting on the features
        less their interpolated value, so that the kernel bends what is between nodes
        and leaves a constant alone.
    ``lin_residual``, ``lin_softmax``
        lambda (1 + 0.9 tanh phi) and lambda exp(phi), divided by their sums: weights
        are continuous, positive, and sum to 1, which bounds what the kernel can do.
    ``softmax``
        exp(phi) over its sum: positive, sums to 1, but the field jumps across the faces
        of cells, where no weight need vanish.
    ``sum``
        phi over its sum S, the paper's equation 8. The field jumps across faces and has
        poles where S = 0, generically on curves in 2-D. The start is safe, with phi
        near 1; `MulfaGrid.cancelled_fraction` tells how near to poles training came.
    ``signed_eps``
        phi S / (S^2 + e^2): ``sum`` without its poles. Near them the weights fade to 0.
    ``none``
        phi itself: jumps across faces.

    Example:
        >>> from tangrid.seeding import generator
        >>> from tangrid.signals.site import Site
        >>> site = Site(num_dims=2, num_channels=3)
        >>> MulfaGridConfig(num_levels=4).build(site, generator(0)).num_features
        8
    """

    num_kernel_levels: int | None = None
    """Levels, from the coarsest, with a kernel; the rest are interpolated. None for
    all."""

    def __post_init__(self) -> None:
        """Refuse settings that make no grid or no kernel.

        Raises:
            ConfigError: If a setting is out of range.
        """
        super().__post_init__()
        self.check_filters()
        if self.footprint is not None:
            raise ConfigError(
                "MulfaGridConfig.footprint: expected none, got "
                f"{self.footprint}: levels that fade are offered for plain grids."
            )
        if self.table_dtype is not None:
            raise ConfigError(
                "MulfaGridConfig.table_dtype: expected none, got "
                f"{self.table_dtype}: half tables are offered for plain grids."
            )
        if not 1 <= self.kernel_levels <= self.num_levels:
            raise ConfigError(
                f"MulfaGridConfig.num_kernel_levels: expected 1 to {self.num_levels}, "
                f"as there are levels, got {self.num_kernel_levels}."
            )

    @property
    def kernel_levels(self) -> int:
        """How many levels have a kernel."""
        if self.num_kernel_levels is None:
            return self.num_levels
        return self.num_kernel_levels

    def build(self, site: Site, generator: torch.Generator) -> "MulfaGrid":
        """Return the grid with small random features and a random kernel function.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial values.
        """
        return MulfaGrid(self, self.layout(site.num_dims), generator)


class MulfaGrid(TableGrid, FilterKernelOwner):
    """Interpolate the features of one table with a learned kernel function.

    Args:
        config: Settings.
        layout: Where the nodes are.
        generator: Source of the initial values.

    Attributes:
        table: Features of the nodes.
    """

    def __init__(
        self, config: MulfaGridConfig, layout: GridLayout, generator: torch.Generator
    ) -> None:
        super().__init__(layout, config.channels_per_level, generator)
        self.config = config
        self.settings = config.kernel_settings()
        self.is_piecewise_constant &= config.normaliser not in _SLOPED_AT_ONE_NODE
        self.add_kernel(
            config,
            _index_units(config, layout)[: config.kernel_levels],
            layout.num_dims,
            config.channels_per_level,
            generator,
        )

    def select(self, coords: Coords) -> Selection:
        """Return the nodes, as multi-indices, that every level reads for each point.

        Args:
            coords: Points in the unit box.
        """
        layout = self.layout
        return tuple(
            corner_nodes(coords.detach(), layout, level) for level in layout.levels
        )

    def lookups(self, coords: Coords, selection: Selection) -> tuple[Lookup, ...]:
        """Return one read per level, weighted by the kernel function if it has one.

        Args:
            coords: Points in the unit box.
            selection: Nodes per level, from `select`.
        """
        kernel = self.kernel
        reads = []
        for index, nodes in enumerate(selection):
            weights = kernel_weights(
                coords, nodes, kernel, self.layout, self.settings, index
            )
            rows = node_rows(nodes, self.layout.levels[index])
            reads.append(Lookup("table", rows, self.composed(weights)))
        return tuple(reads)

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, the coarsest level first.

        Args:
            coords: Points in the unit box.
        """
        if self.sine_frequencies is not None:
            # No loops are written for it: it is there to be compared.
            lookups = self.lookups(coords, self.select(coords))
            return self.combine(tuple(self.read(lookup) for lookup in lookups), coords)
        return mulfa_lookup(coords, self.table, self.kernel, self.layout, self.settings)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the table as ``grid`` and, where it is trained, the ``kernel``."""
        kernel = self.kernel_parameters()
        return {"grid": [self.table]} | ({"kernel": kernel} if kernel else {})

    @torch.no_grad()
    def cancelled_fraction(self, coords: Coords) -> Float[Tensor, " l"]:
        """Return the share of points where raw values of a level with a kernel cancel.

        There the sum over the cell is below 1e-3 of the sum of absolute values, in some
        channel: ``sum`` is near a pole and ``signed_eps`` departs from it.

        Args:
            coords: Points in the unit box.
        """
        shares = []
        nodes_of_levels = self.select(coords)[: self.config.kernel_levels]
        for index, nodes in enumerate(nodes_of_levels):
            raw = raw_kernel(
                coords, nodes, self.kernel, self.layout, self.settings, index
            )
            small = raw.sum(1).abs() < _CANCELLED * raw.abs().sum(1)
            shares.append(small.any(1).double().mean())
        return torch.stack(shares)


def _index_units(
    config: MulfaGridConfig, layout: GridLayout
) -> Float[Tensor, "l 1 d 1"]:
    """Return what a step along each axis adds to the index that the gates see."""
    dims = layout.num_dims
    units = []
    for level in layout.levels:
        if config.index_mode == "flat":
            units.append([float(level.resolution**axis) for axis in range(dims)])
        elif config.index_mode == "normalised":
            units.append([1 / (level.resolution - 1)] * dims)
        else:
            units.append([1.0] * dims)
    return torch.tensor(units, dtype=torch.float64)[:, None, :, None]
