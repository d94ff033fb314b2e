"""Multilayer perceptrons: rectified, and with a sine residual in the first layer."""

import dataclasses
import math
from abc import ABC
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from tangrid.decoders.contract import (
    DECODERS,
    Decoder,
    DecoderConfig,
    OutputActivation,
    activate,
)
from tangrid.decoders.layers import LayerInit, apply_dense, dense_layer
from tangrid.errors import ConfigError
from tangrid.notation import Features, Values
from tangrid.ops.sine_residual import sine_residual
from tangrid.ops.small_mlp import small_mlp
from tangrid.ops.tracing import untraced

_layers_at_once = untraced(small_mlp)


@dataclass(frozen=True, kw_only=True)
class MlpConfig(DecoderConfig, ABC):
    """Settings that every perceptron has."""

    width: int = 64
    """Channels of each hidden layer."""
    num_hidden: int = 2
    """Number of hidden layers, at least 1."""
    output_activation: OutputActivation = "none"
    """Applied to the values."""

    def __post_init__(self) -> None:
        """Refuse a perceptron without hidden layers or channels.

        Raises:
            ConfigError: If a number is below 1.
        """
        if self.width < 1 or self.num_hidden < 1:
            raise ConfigError(
                f"{type(self).__name__}: expected width and num_hidden >= 1, got "
                f"{self.width} and {self.num_hidden}. Use the decoder 'linear' for "
                "none."
            )

    def families(self) -> tuple[Callable[[float], DecoderConfig], ...]:
        """Return growth of the width, from 4 to 16384 channels."""
        return (lambda size: dataclasses.replace(self, width=round(4 * 4096**size)),)


@DECODERS.register("relu-mlp")
@dataclass(frozen=True, kw_only=True)
class ReluMlpConfig(MlpConfig):
    """Rectified multilayer perceptron; without biases it is InstantNGP's decoder."""

    bias: bool = False
    """Whether layers add a constant."""
    init: LayerInit = "xavier"
    """How weights are drawn."""

    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> "Mlp":
        """Return the decoder.

        Args:
            num_features: Channels that come in.
            num_channels: Channels that go out.
            generator: Source of the initial weights.
        """
        sizes = (num_features, *(self.width,) * self.num_hidden, num_channels)
        layers = _stack(sizes, self.bias, self.init, generator)
        return Mlp(layers, None, self.output_activation)


@DECODERS.register("sine-residual-mlp")
@dataclass(frozen=True, kw_only=True)
class SineResidualMlpConfig(MlpConfig):
    """Perceptron whose first layer is h + sin(f h) in place of a rectifier (NeuRBF)."""

    lowest_frequency: float = 1.0
    """Smallest factor f, for the first hidden channel."""
    highest_frequency: float = 100.0
    """Largest factor f; channels between are spaced logarithmically."""

    def __post_init__(self) -> None:
        """Refuse frequencies that have no logarithm.

        Raises:
            ConfigError: If a frequency is not above 0.
        """
        super().__post_init__()
        if not 0 < self.lowest_frequency <= self.highest_frequency < math.inf:
            raise ConfigError(
                "SineResidualMlpConfig: expected 0 < lowest_frequency <= "
                f"highest_frequency, got {self.lowest_frequency} and "
                f"{self.highest_frequency}."
            )

    def build(
        self, num_features: int, num_channels: int, generator: torch.Generator
    ) -> "Mlp":
        """Return the decoder.

        Args:
            num_features: Channels that come in.
            num_channels: Channels that go out.
            generator: Source of the initial weights.
        """
        sizes = (num_features, *(self.width,) * self.num_hidden, num_channels)
        layers = _stack(sizes, True, "uniform", generator)
        low, high = math.log(self.lowest_frequency), math.log(self.highest_frequency)
        frequencies = torch.linspace(low, high, self.width).exp()
        return Mlp(layers, frequencies, self.output_activation)


def _stack(
    sizes: tuple[int, ...], bias: bool, init: LayerInit, generator: torch.Generator
) -> nn.ModuleList:
    return nn.ModuleList(
        dense_layer(a, b, bias, init, generator) for a, b in pairwise(sizes)
    )


class Mlp(Decoder):
    """Dense layers with rectifiers between.

    Args:
        layers: Linear layers, at least two.
        sine_frequencies: Factors f of the first layer's sine residual; None for a
            rectifier there too.
        output_activation: Applied to the values.
    """

    sine_frequencies: Tensor | None

    def __init__(
        self,
        layers: nn.ModuleList,
        sine_frequencies: Tensor | None,
        output_activation: OutputActivation,
    ) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("sine_frequencies", sine_frequencies)
        self.output_activation: OutputActivation = output_activation

    def forward(self, features: Features) -> Values:
        """Return the values of each point.

        Args:
            features: What the encoding gave.
        """
        layers = cast("list[nn.Linear]", list(self.layers))
        first, *inner, last = layers
        if self.sine_frequencies is None and all(x.bias is None for x in layers):
            weights = [layer.weight for layer in layers]
            return _layers_at_once(features, weights, "relu", self.output_activation)
        hidden = apply_dense(first, features)
        if self.sine_frequencies is None:
            hidden = hidden.relu_()
        else:
            # Phases reach hundreds of radians: a bfloat16 sine of them is noise.
            exact = hidden.to(self.sine_frequencies.dtype)
            hidden = sine_residual(exact, self.sine_frequencies).to(hidden.dtype)
        for layer in inner:
            hidden = apply_dense(layer, hidden).relu_()
        values = apply_dense(last, hidden)
        return activate(values, self.output_activation)
