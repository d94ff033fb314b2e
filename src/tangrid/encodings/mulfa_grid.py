r"""MulFAGrid: a grid whose interpolation weights are learned Fourier filters.

Level l reads :math:`z_f(x) = \sum_{i \in U(x)} \tilde\phi_f(x, i)\, w_{if}`. The
kernel function :math:`\phi` is a multiplicative filter network: Fourier features of x,
gated by waves in the index of the node i, so that every node has a kernel of its own.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields".
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.encodings.contract import ENCODINGS, Lookup, Selection
from tangrid.encodings.hash_grid import HashGridConfig
from tangrid.encodings.table_grid import TableGrid
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.ops.grid_lookup import GridLayout
from tangrid.ops.grid_lookup.reference import corner_nodes, node_rows
from tangrid.ops.mulfa_lookup import (
    FilterKernel,
    KernelSettings,
    Normaliser,
    Units,
    mulfa_lookup,
)
from tangrid.ops.mulfa_lookup.reference import kernel_weights, raw_kernel
from tangrid.signals.site import Site

IndexMode = Literal["multi", "normalised", "flat"]
KernelOutputs = Literal["per-channel", "shared"]

_CANCELLED = 1e-3
_SHIFT_INVARIANT = ("lin_centred", "lin_softmax", "softmax")
"""Normalisers to which a constant kernel is no kernel: training the output bias would
only follow rounding errors."""
_SLOPED_AT_ONE_NODE = ("none", "lin_add", "signed_eps")
"""Normalisers that leave the weight of a single node a gradient in the point."""
_SAFE_DEVIATION = 0.05


@ENCODINGS.register("mulfa-grid")
@dataclass(frozen=True, kw_only=True)
class MulfaGridConfig(HashGridConfig):
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

    num_filter_layers: int = 1
    """Multiplicative layers (n); products of n gates see sums of their frequencies."""
    num_gates: int = 8
    """Gates of each layer (g); multiples of 8 make full use of the processor."""
    num_frequencies: int = 4
    """Octaves of the Fourier features along each axis (m)."""
    units: Units = "grid"
    """Fourier features of the position in cells, or of the coordinates (normalised)."""
    index_mode: IndexMode = "multi"
    """Gates see the multi-index, the index over the resolution, or the flat index."""
    normaliser: Normaliser = "lin_centred"
    """How kernel values become weights."""
    kernel_outputs: KernelOutputs = "per-channel"
    """Whether every feature channel has its own kernel function."""
    gate_bandwidth: float = 1.0
    """Standard deviation of the gates' frequencies, over all layers; radians per unit
    of the index."""
    output_scale: float = 0.1
    """Standard deviation of the output layer (C)."""
    train_kernel: bool = True
    """Whether the kernel function is trained along with the features."""

    def __post_init__(self) -> None:
        """Refuse settings that make no kernel.

        Raises:
            ConfigError: If a setting is out of range.
        """
        super().__post_init__()
        if self.num_filter_layers < 1 or self.num_gates < 1:
            raise ConfigError(
                "MulfaGridConfig: expected at least one filter layer and one gate, got "
                f"num_filter_layers={self.num_filter_layers} and "
                f"num_gates={self.num_gates}."
            )
        if not (self.gate_bandwidth >= 0 and self.output_scale >= 0):
            raise ConfigError(
                "MulfaGridConfig: expected gate_bandwidth and output_scale >= 0, got "
                f"{self.gate_bandwidth} and {self.output_scale}."
            )
        self.kernel_settings()

    def kernel_settings(self) -> KernelSettings:
        """Return what of the kernel function is not a parameter."""
        return KernelSettings(
            num_frequencies=self.num_frequencies,
            units=self.units,
            normaliser=self.normaliser,
        )

    def build(self, site: Site, generator: torch.Generator) -> "MulfaGrid":
        """Return the grid with small random features and a random kernel function.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial values.
        """
        return MulfaGrid(self, self.layout(site.num_dims), generator)


class MulfaGrid(TableGrid):
    """Interpolate the features of one table with a learned kernel function.

    Args:
        config: Settings.
        layout: Where the nodes are.
        generator: Source of the initial values.

    Attributes:
        table: Features of the nodes.
        projection: First weights of every level's filter network (W_1).
        hidden: Further weights (W_2 to W_n), None where there is one layer.
        biases: Biases of all layers (b).
        frequencies: The gates' frequencies (omega) in units of the index.
        phases: The gates' phases.
        mix: Output weights (C).
        offset: Output biases (c).
    """

    projection: nn.Parameter
    hidden: nn.Parameter | None
    biases: nn.Parameter
    frequencies: nn.Parameter
    phases: nn.Parameter
    mix: nn.Parameter
    offset: nn.Parameter

    def __init__(
        self, config: MulfaGridConfig, layout: GridLayout, generator: torch.Generator
    ) -> None:
        super().__init__(layout, config.channels_per_level, generator)
        self.config = config
        self.settings = config.kernel_settings()
        self.is_piecewise_constant &= config.normaliser not in _SLOPED_AT_ONE_NODE
        # Not a buffer: converting the module must not round it.
        self._index_units = _index_units(config, layout)
        for name, initial in _initial_kernel(config, layout, generator).items():
            idle = name == "offset" and config.normaliser in _SHIFT_INVARIANT
            trained = config.train_kernel and not idle
            self.register_parameter(name, nn.Parameter(initial, requires_grad=trained))
        if config.num_filter_layers == 1:
            self.register_parameter("hidden", None)

    @property
    def kernel(self) -> FilterKernel:
        """The kernel function's parameters as the operator takes them."""
        hidden: Tensor | None = self.hidden
        if hidden is None:
            levels, gates, _ = self.projection.shape
            hidden = self.projection.new_empty(levels, 0, gates, gates)
        # An index can be large, so its products with frequencies are taken in float64.
        units = self._index_units.to(self.frequencies.device)
        frequencies = self.frequencies.double() * units
        return FilterKernel(
            self.projection,
            hidden,
            self.biases,
            frequencies,
            self.phases,
            self.mix,
            self.offset,
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
        """Return one read per level, weighted by the kernel function.

        Args:
            coords: Points in the unit box.
            selection: Nodes per level, from `select`.
        """
        kernel, shared = self.kernel, self.config.kernel_outputs == "shared"
        reads = []
        for index, nodes in enumerate(selection):
            weights = kernel_weights(
                coords, nodes, kernel, self.layout, self.settings, index
            )
            rows = node_rows(nodes, self.layout.levels[index])
            reads.append(Lookup("table", rows, weights[..., 0] if shared else weights))
        return tuple(reads)

    def forward(self, coords: Coords) -> Features:
        """Return the features of each point, the coarsest level first.

        Args:
            coords: Points in the unit box.
        """
        return mulfa_lookup(coords, self.table, self.kernel, self.layout, self.settings)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the table as ``grid`` and, where it is trained, the ``kernel``."""
        groups = {"grid": [self.table]}
        kernel = [
            p
            for name, p in self.named_parameters()
            if name != "table" and p.requires_grad
        ]
        if kernel:
            groups["kernel"] = kernel
        return groups

    @torch.no_grad()
    def cancelled_fraction(self, coords: Coords) -> Float[Tensor, " l"]:
        """Return each level's share of points where raw kernel values cancel.

        There the sum over the cell is below 1e-3 of the sum of absolute values, in some
        channel: ``sum`` is near a pole and ``signed_eps`` departs from it.

        Args:
            coords: Points in the unit box.
        """
        shares = []
        for index, nodes in enumerate(self.select(coords)):
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


def _initial_kernel(
    config: MulfaGridConfig, layout: GridLayout, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return random filter networks of all levels."""
    levels, dims = len(layout.levels), layout.num_dims
    layers, gates = config.num_filter_layers, config.num_gates
    inputs = 2 * dims * config.num_frequencies
    outputs = 1 if config.kernel_outputs == "shared" else config.channels_per_level
    faithful = config.normaliser in {"sum", "signed_eps"}
    scale = config.output_scale
    if faithful:
        # Kernel values start at 1, give or take so little that no sum comes near 0. A
        # gate halves the variance, and so do sines and cosines of any point.
        scale = min(scale, 2 * _SAFE_DEVIATION / math.sqrt(gates))

    def normal(deviation: float, *shape: int) -> Tensor:
        return torch.empty(shape).normal_(generator=generator) * deviation

    kernel = {
        "projection": normal(1 / math.sqrt(inputs), levels, gates, inputs),
        "biases": torch.zeros(levels, layers, gates),
        "phases": torch.empty(levels, layers, gates).uniform_(
            0, 2 * math.pi, generator=generator
        ),
        # A product of gates has the sums of their frequencies, whose variances add up.
        "frequencies": normal(
            config.gate_bandwidth / math.sqrt(layers),
            levels,
            layers,
            1 if config.index_mode == "flat" else dims,
            gates,
        ),
        "mix": normal(scale, levels, outputs, gates),
        "offset": torch.full((levels, outputs), 1.0 if faithful else 0.0),
    }
    if layers > 1:
        kernel["hidden"] = normal(
            math.sqrt(2 / gates), levels, layers - 1, gates, gates
        )
    return kernel
