"""Sine networks (Sitzmann et al. 2020, "Implicit Neural Representations")."""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from tangrid.decoders.layers import dense_layer
from tangrid.errors import ConfigError
from tangrid.fields.contract import FIELDS, Field, FieldConfig
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


@FIELDS.register("siren")
@dataclass(frozen=True, kw_only=True)
class SirenConfig(FieldConfig):
    """Settings of a sine network on coordinates in [-1, 1]."""

    width: int = 256
    """Channels of each hidden layer."""
    num_hidden: int = 3
    """Hidden layers after the first."""
    frequency: float = 30.0
    """Factor inside every sine (omega_0)."""

    def __post_init__(self) -> None:
        """Refuse a network without hidden layers or channels.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.width < 1 or self.num_hidden < 0 or not self.frequency > 0:
            raise ConfigError(
                "SirenConfig: expected width >= 1, num_hidden >= 0 and frequency > 0, "
                f"got {self.width}, {self.num_hidden} and {self.frequency}."
            )

    def families(self) -> tuple[Callable[[float], FieldConfig], ...]:
        """Return growth of the width, from 4 to 16384 channels."""
        return (lambda size: dataclasses.replace(self, width=round(4 * 4096**size)),)

    def build(self, site: Site, generator: torch.Generator) -> "Siren":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        return Siren(self, site.num_dims, site.num_channels, generator)


class Siren(Field):
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
        super().__init__()
        self.num_dims = num_dims
        self.num_channels = num_channels
        self.frequency = config.frequency
        hidden = (config.width,) * (config.num_hidden + 1)
        sizes = (num_dims, *hidden, num_channels)
        layers = [
            dense_layer(a, b, True, "uniform", generator) for a, b in pairwise(sizes)
        ]
        self.layers = nn.ModuleList(layers)
        with torch.no_grad():
            for index, layer in enumerate(layers):
                fan_in = sizes[index]
                later = math.sqrt(6 / fan_in) / config.frequency
                bound = later if index else 1 / fan_in
                layer.weight.uniform_(-bound, bound, generator=generator)

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        hidden = 2 * coords - 1
        for layer in list(self.layers)[:-1]:
            hidden = torch.sin(self.frequency * layer(hidden))
        return self.layers[-1](hidden)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all weights as group ``decoder``."""
        return {"decoder": list(self.layers.parameters())}
