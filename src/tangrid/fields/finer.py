"""Sine networks of variable period (Liu et al. 2024, "FINER")."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tangrid.errors import ConfigError
from tangrid.fields.contract import FIELDS
from tangrid.fields.siren import Siren, SirenConfig
from tangrid.signals.site import Site


@FIELDS.register("finer")
@dataclass(frozen=True, kw_only=True)
class FinerConfig(SirenConfig):
    """Settings of a sine network whose waves get faster away from 0."""

    first_bias: float | None = None
    """Largest initial bias of the first layer (k), which spreads it over faster waves;
    None for that of the other layers."""
    trains_through_period: bool = False
    """Whether the gradient passes the factor (abs(z) + 1) too."""

    def __post_init__(self) -> None:
        """Refuse a network without channels or waves.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        if self.first_bias is not None and not 0 <= self.first_bias < math.inf:
            raise ConfigError(
                "FinerConfig.first_bias: expected a finite number >= 0 or none, got "
                f"{self.first_bias}."
            )

    def build(self, site: Site, generator: torch.Generator) -> "Finer":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        return Finer(self, site.num_dims, site.num_channels, generator)


class Finer(Siren):
    r"""Compose variable waves, y = sin(omega_0 (\|z\| + 1) z) with z = W x + b.

    Args:
        config: Width, depth, frequency and the first bias.
        num_dims: Coordinates per point.
        num_channels: Values per point.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        config: FinerConfig,
        num_dims: int,
        num_channels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(config, num_dims, num_channels, generator)
        self.stops_gradients = not config.trains_through_period
        bound = config.first_bias
        if bound is not None:
            first = cast("nn.Linear", self.layers[0])
            with torch.no_grad():
                first.bias.uniform_(-bound, bound, generator=generator)

    def wave(self, linear: Tensor) -> Tensor:
        """Return the variable wave of what a layer's linear map gives.

        Args:
            linear: The values z.
        """
        period = linear.abs() + 1
        if self.stops_gradients:
            period = period.detach()
        return torch.sin(self.frequency * period * linear)
