r"""The learned kernel function that MulFAGrid's encodings share: settings, parameters.

The kernel function :math:`\phi` is a multiplicative filter network: Fourier features of
a point x, gated by waves in the index of a node i, so that every node has a kernel of
its own. Nodes may be a lattice or not: the gates take any place for an index.

References:
    Zhao et al. 2024, "Grounding and Enhancing Grid-based Models for Neural Fields",
    equations 6 to 8.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from tangrid.choices import check_choice
from tangrid.errors import ConfigError
from tangrid.ops.mulfa_lookup import FilterKernel, KernelSettings, Normaliser, Units
from tangrid.ops.rbf_lookup.reference import check_frequencies, sine_frequencies

IndexMode = Literal["multi", "normalised", "flat"]
KernelOutputs = Literal["per-channel", "shared"]

_SHIFT_INVARIANT = ("lin_centred", "lin_softmax", "softmax")
"""Normalisers to which a constant kernel is no kernel: training the output bias would
only follow rounding errors."""
_SAFE_DEVIATION = 0.05


@dataclass(frozen=True, kw_only=True)
class FilterKernelConfig:
    """Settings of the kernel function, whatever the nodes are."""

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
    sine_frequencies: tuple[float, float] | None = None
    """Smallest and largest factor m of weights sin(m w), one per channel of a level
    (NeuRBF's composition); None takes the weights w as they are."""

    def check_filters(self) -> None:
        """Refuse settings that make no kernel.

        Raises:
            ConfigError: If a setting is out of range.
        """
        where = type(self).__name__
        check_choice(f"{where}.index_mode", self.index_mode, IndexMode)
        check_choice(f"{where}.kernel_outputs", self.kernel_outputs, KernelOutputs)
        if self.num_filter_layers < 1 or self.num_gates < 1:
            raise ConfigError(
                f"{where}: expected at least one filter layer and one gate, got "
                f"num_filter_layers={self.num_filter_layers} and "
                f"num_gates={self.num_gates}."
            )
        if not (
            0 <= self.gate_bandwidth < math.inf and 0 <= self.output_scale < math.inf
        ):
            raise ConfigError(
                f"{where}: expected gate_bandwidth and output_scale >= 0, got "
                f"{self.gate_bandwidth} and {self.output_scale}."
            )
        check_frequencies(where, *(self.sine_frequencies or (1.0, 1.0)))
        self.kernel_settings()

    def kernel_settings(self) -> KernelSettings:
        """Return what of the kernel function is not a parameter."""
        return KernelSettings(
            num_frequencies=self.num_frequencies,
            units=self.units,
            normaliser=self.normaliser,
        )


class FilterKernelOwner(nn.Module):
    """Hold the parameters of a kernel function.

    Attributes:
        projection: First weights of every level's filter network (W_1).
        hidden: Further weights (W_2 to W_n), None where there is one layer.
        biases: Biases of all layers (b).
        frequencies: The gates' frequencies (omega) in units of the index.
        phases: The gates' phases.
        mix: Output weights (C).
        offset: Output biases (c).
        sine_frequencies: Factor m of sin(m w) for each channel, if weights are so
            composed.
    """

    stops_gradients: bool
    sine_frequencies: Tensor | None
    projection: nn.Parameter
    hidden: nn.Parameter | None
    biases: nn.Parameter
    frequencies: nn.Parameter
    phases: nn.Parameter
    mix: nn.Parameter
    offset: nn.Parameter

    def add_kernel(
        self,
        config: FilterKernelConfig,
        index_units: Float64[Tensor, "l 1 d 1"],
        num_dims: int,
        channels: int,
        generator: torch.Generator,
    ) -> None:
        """Register a random kernel function for every level.

        Args:
            config: Settings.
            index_units: What a step along each axis adds to the index that the gates
                see.
            num_dims: Number of coordinates.
            channels: Features per node.
            generator: Source of the initial values.
        """
        # Not a buffer: converting the module must not round it.
        self._index_units = index_units
        # The size that this normaliser divides by, lest training inflate it.
        self.stops_gradients = config.normaliser == "signed_eps"
        factors = None
        if config.sine_frequencies is not None:
            factors = sine_frequencies(*config.sine_frequencies, channels)
        self.register_buffer("sine_frequencies", factors, persistent=False)
        levels = len(index_units)
        initial = _initial_kernel(config, levels, num_dims, channels, generator)
        for name, values in initial.items():
            idle = name == "offset" and config.normaliser in _SHIFT_INVARIANT
            trained = config.train_kernel and not idle
            self.register_parameter(name, nn.Parameter(values, requires_grad=trained))
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

    def composed(self, weights: Float[Tensor, "n k o"]) -> Float[Tensor, "n k *f"]:
        """Return weights as nodes are read with: shared, by channel, or by sines.

        Args:
            weights: The kernel function's, one for all channels or one for each.
        """
        if self.sine_frequencies is not None:
            return torch.sin(self.sine_frequencies * weights)
        return weights[..., 0] if weights.shape[-1] == 1 else weights

    def kernel_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the kernel function that are trained."""
        held = (
            self.projection,
            self.hidden,
            self.biases,
            self.frequencies,
            self.phases,
            self.mix,
            self.offset,
        )
        return [p for p in held if p is not None and p.requires_grad]


def _initial_kernel(
    config: FilterKernelConfig,
    levels: int,
    dims: int,
    channels: int,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return random filter networks of all levels."""
    layers, gates = config.num_filter_layers, config.num_gates
    inputs = 2 * dims * config.num_frequencies
    outputs = 1 if config.kernel_outputs == "shared" else channels
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
