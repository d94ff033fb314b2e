r"""Networks of complex Gabor wavelets (Saragadam et al. 2023, "WIRE").

The activation is :math:`\exp(j \omega_0 z - |s_0 z|^2)`. Weights after the first layer
are complex, held as their real and imaginary parts; the output is the real part.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from tangrid.fields.contract import FIELDS
from tangrid.fields.network import Network, NetworkConfig
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


@FIELDS.register("wire")
@dataclass(frozen=True, kw_only=True)
class WireConfig(NetworkConfig):
    """Settings of a network of complex Gabor wavelets on coordinates in [-1, 1].

    A complex number is two real ones, so layers have width / sqrt 2 channels. The
    learning rate has a narrow plateau with cliffs on both sides.
    """

    num_hidden: int = 2
    """Hidden layers after the first."""
    frequency: float = 20.0
    """Frequency of the wavelets (omega_0)."""
    spread: float = 10.0
    """Inverse width of the wavelets (s_0)."""

    def __post_init__(self) -> None:
        """Refuse a network without channels or waves.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        self.check_positive("frequency", "spread")

    def build(self, site: Site, generator: torch.Generator) -> "Wire":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        return Wire(self, site.num_dims, site.num_channels, generator)


class Wire(Network):
    """Compose wavelets of complex linear maps.

    Args:
        config: Width, depth, frequency and spread.
        num_dims: Coordinates per point.
        num_channels: Values per point.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        config: WireConfig,
        num_dims: int,
        num_channels: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(num_dims, num_channels)
        self.frequency = config.frequency
        self.spread = config.spread
        width = max(int(config.width / math.sqrt(2)), 1)
        sizes = (num_dims, *(width,) * (config.num_hidden + 1), num_channels)
        parts = []
        for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            # The first layer sees real coordinates through real weights.
            for shape in ((fan_out, fan_in), (fan_out,)):
                drawn = torch.empty(2 if index else 1, *shape)
                bound = 1 / math.sqrt(fan_in)
                parts.append(drawn.uniform_(-bound, bound, generator=generator))
        self.weights = nn.ParameterList(parts[0::2])
        self.biases = nn.ParameterList(parts[1::2])

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        hidden = 2 * coords - 1
        layers = list(zip(self.weights, self.biases, strict=True))
        for index, (weight, bias) in enumerate(layers):
            hidden = hidden @ _number(weight).mT + _number(bias)
            if index < len(layers) - 1:
                hidden = self._wavelet(hidden)
        return hidden.real

    def _wavelet(self, linear: Tensor) -> Tensor:
        # By real and imaginary parts: the size of a complex number has no second
        # derivative at 0.
        real = linear.real
        imaginary = linear.imag if linear.is_complex() else torch.zeros_like(real)
        damping = self.spread**2 * (real.square() + imaginary.square())
        size = torch.exp(-damping - self.frequency * imaginary)
        angle = self.frequency * real
        return torch.complex(size * angle.cos(), size * angle.sin())


def _number(parts: Tensor) -> Tensor:
    """Return what one part or a real and an imaginary part stand for."""
    return parts[0] if len(parts) == 1 else torch.complex(parts[0], parts[1])
