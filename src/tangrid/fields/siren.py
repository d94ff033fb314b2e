"""Sine networks (Sitzmann et al. 2020, "Implicit Neural Representations")."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from tangrid.decoders.layers import dense_layer
from tangrid.fields.contract import FIELDS
from tangrid.fields.network import Network, NetworkConfig
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


@FIELDS.register("siren")
@dataclass(frozen=True, kw_only=True)
class SirenConfig(NetworkConfig):
    """Settings of a sine network on coordinates in [-1, 1]."""

    frequency: float = 30.0
    """Factor inside every sine (omega_0)."""

    def __post_init__(self) -> None:
        """Refuse a network without channels or waves.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        self.check_positive("frequency")

    def build(self, site: Site, generator: torch.Generator) -> "Siren":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        return Siren(self, site.num_dims, site.num_channels, generator)


class Siren(Network):
    """Compose sines of linear maps, y = sin(omega_0 (W x + b)).

    Args:
        config: Width, depth and frequency.
        num_dims: Coordinates per point.
        num_channels: Values per point.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        config: SirenConfig,
        num_dims: int,
        num_channels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(num_dims, num_channels)
        self.frequency = config.frequency
        hidden = (config.width,) * (config.num_hidden + 1)
        sizes = (num_dims, *hidden, num_channels)
        self.layers = sine_layers(sizes, config.frequency, generator)

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        hidden = 2 * coords - 1
        for layer in list(self.layers)[:-1]:
            hidden = self.wave(layer(hidden))
        return self.layers[-1](hidden)

    def wave(self, linear: Tensor) -> Tensor:
        """Return the activation of what a layer's linear map gives.

        Args:
            linear: The values z.
        """
        return torch.sin(self.frequency * linear)


def sine_layers(
    sizes: tuple[int, ...], frequency: float, generator: torch.Generator
) -> nn.ModuleList:
    r"""Return linear layers whose sines neither fade nor crowd as layers follow.

    Weights start uniform within 1/n in the first layer and within
    :math:`\sqrt{6/n} / \omega_0` in all others, n being the channels that come in.

    Args:
        sizes: Channels before, between and after the layers.
        frequency: Factor inside every sine (omega_0).
        generator: Source of the initial weights.
    """
    layers = [dense_layer(a, b, True, "uniform", generator) for a, b in pairwise(sizes)]
    with torch.no_grad():
        for index, layer in enumerate(layers):
            later = math.sqrt(6 / sizes[index]) / frequency
            bound = later if index else 1 / sizes[index]
            layer.weight.uniform_(-bound, bound, generator=generator)
    return nn.ModuleList(layers)
