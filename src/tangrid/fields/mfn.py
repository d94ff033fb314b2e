r"""Multiplicative filter networks (Fathony et al. 2021): FourierNet and GaborNet.

Every layer multiplies what came before by filters of the coordinates themselves,
:math:`z_0 = g_0(x)`, :math:`z_{i+1} = g_{i+1}(x) \odot (W_i z_i + b_i)`, and the output
is linear: a sum of very many products of filters. Fourier filters are sines, whose
products are sines again; Gabor filters are sines under a Gaussian.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from tangrid.decoders.layers import dense_layer
from tangrid.fields.contract import FIELDS
from tangrid.fields.network import Network, NetworkConfig
from tangrid.notation import Coords, Features, Values
from tangrid.signals.site import Site


@dataclass(frozen=True, kw_only=True)
class FilterNetworkConfig(NetworkConfig, ABC):
    """Settings of a multiplicative filter network on coordinates in [-1, 1]."""

    bandwidth: float = 256.0
    """Root of the summed squares of the layers' largest initial frequencies, as lengths
    of vectors; radians per unit of [-1, 1]."""

    def __post_init__(self) -> None:
        """Refuse a network without channels or waves.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        self.check_positive("bandwidth")

    @property
    def num_filters(self) -> int:
        """Number of filter layers."""
        return self.num_hidden + 1


@FIELDS.register("fourier-net")
@dataclass(frozen=True, kw_only=True)
class FourierNetConfig(FilterNetworkConfig):
    """Multiplicative filter network of sines."""

    def build(self, site: Site, generator: torch.Generator) -> "FilterNetwork":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        scale = self.bandwidth / math.sqrt(self.num_filters)
        filters = [
            SineFilter(site.num_dims, self.width, scale, generator)
            for _ in range(self.num_filters)
        ]
        return FilterNetwork(self, site, filters, 1.0, generator)


@FIELDS.register("gabor-net")
@dataclass(frozen=True, kw_only=True)
class GaborNetConfig(FilterNetworkConfig):
    """Multiplicative filter network of sines under Gaussians."""

    concentration: float = 6.0
    """Mean inverse squared width of the product of all Gaussians (alpha)."""

    def __post_init__(self) -> None:
        """Refuse a network without channels, waves or Gaussians.

        Raises:
            ConfigError: If a number is out of range.
        """
        super().__post_init__()
        self.check_positive("concentration")

    def build(self, site: Site, generator: torch.Generator) -> "FilterNetwork":
        """Return the network for one site.

        Args:
            site: Gives the numbers of coordinates and channels.
            generator: Source of the initial weights.
        """
        scale = self.bandwidth / math.sqrt(self.num_filters)
        shape = self.concentration / self.num_filters
        filters = [
            GaborFilter(site.num_dims, self.width, scale, shape, generator)
            for _ in range(self.num_filters)
        ]
        return FilterNetwork(self, site, filters, 1.0, generator)


class Filter(nn.Module, ABC):
    """Functions of the coordinates, one per channel."""

    @abstractmethod
    def forward(self, points: Coords) -> Features:
        """Return the filters at points.

        Args:
            points: Points in [-1, 1].
        """


class SineFilter(Filter):
    """Sines sin(omega x + phase) of frequencies and phases that are trained.

    Args:
        num_dims: Coordinates per point.
        width: Number of filters.
        scale: Factor of PyTorch's usual frequencies.
        generator: Source of frequencies and phases.
    """

    def __init__(
        self, num_dims: int, width: int, scale: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.wave = dense_layer(num_dims, width, True, "uniform", generator)
        with torch.no_grad():
            self.wave.weight.mul_(scale)
            self.wave.bias.uniform_(-math.pi, math.pi, generator=generator)

    def forward(self, points: Coords) -> Features:
        """Return the sines at points.

        Args:
            points: Points in [-1, 1].
        """
        return torch.sin(self.wave(points))


class GaborFilter(SineFilter):
    """Sines under Gaussians of centres and widths that are trained.

    Args:
        num_dims: Coordinates per point.
        width: Number of filters.
        scale: Factor of PyTorch's usual frequencies, for a Gaussian of width 1.
        shape: Mean inverse squared width.
        generator: Source of all of them.
    """

    def __init__(
        self,
        num_dims: int,
        width: int,
        scale: float,
        shape: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(num_dims, width, scale, generator)
        # PyTorch has no public draw of it that takes a generator.
        alpha = torch.full((width,), shape)
        draw = torch._standard_gamma  # noqa: SLF001 # pyright: ignore[reportPrivateImportUsage]
        sharpness = draw(alpha, generator)
        centres = torch.empty(width, num_dims).uniform_(-1, 1, generator=generator)
        self.sharpness = nn.Parameter(sharpness)
        self.centres = nn.Parameter(centres)
        with torch.no_grad():
            self.wave.weight.mul_(sharpness.sqrt()[:, None])

    def forward(self, points: Coords) -> Features:
        """Return the wavelets at points.

        Args:
            points: Points in [-1, 1].
        """
        distance = (
            points.square().sum(1, keepdim=True)
            + self.centres.square().sum(1)
            - 2 * points @ self.centres.T
        )
        return super().forward(points) * torch.exp(-self.sharpness / 2 * distance)


def draw_weights(
    layers: Sequence[nn.Linear], spread: float, generator: torch.Generator
) -> None:
    """Draw weights whose sums over channels neither fade nor grow.

    Args:
        layers: Linear layers.
        spread: Weights lie within the root of this over the incoming channels.
        generator: Source of the weights.
    """
    with torch.no_grad():
        for layer in layers:
            bound = math.sqrt(spread / layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=generator)


class FilterNetwork(Network):
    """Multiply filters of the coordinates with linear maps between.

    Args:
        config: Width and depth.
        site: Gives the numbers of coordinates and channels.
        filters: The filters of every layer (g).
        spread: Weights start within the root of this over the width.
        generator: Source of the weights.
    """

    def __init__(
        self,
        config: NetworkConfig,
        site: Site,
        filters: Sequence[Filter],
        spread: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__(site.num_dims, site.num_channels)
        width = config.width
        self.filters = nn.ModuleList(filters)
        layers = [
            dense_layer(width, width, True, "uniform", generator) for _ in filters[1:]
        ]
        self.layers = nn.ModuleList(layers)
        self.output = dense_layer(width, site.num_channels, True, "uniform", generator)
        draw_weights(layers, spread, generator)

    def forward(self, coords: Coords) -> Values:
        """Return the values at each point.

        Args:
            coords: Points in the unit box.
        """
        return self.output(self.hidden(coords)[-1])

    def hidden(self, coords: Coords) -> list[Tensor]:
        """Return what every layer gives (z), the first first.

        Args:
            coords: Points in the unit box.
        """
        points = self.mapped(coords)
        first, *others = cast("list[Filter]", list(self.filters))
        found = [first(points)]
        for layer, filters in zip(self.layers, others, strict=True):
            found.append(filters(points) * layer(found[-1]))
        return found

    def mapped(self, coords: Coords) -> Coords:
        """Return coordinates as the filters take them.

        Args:
            coords: Points in the unit box.
        """
        return 2 * coords - 1
