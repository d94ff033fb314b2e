r"""K-Planes and tri-planes: a plane for every pair of axes, joined by product or sum.

A plane over two axes is read bilinearly; with ``product`` the reads of all planes are
multiplied, which can pick out a place in space, with ``sum`` they are added, with
``concat`` they stand side by side. Every scale has planes of its own, and the scales
are concatenated. In two dimensions there is one plane, which is a dense grid.

References:
    Fridovich-Keil et al. 2023, "K-Planes: Explicit Radiance Fields in Space, Time, and
    Appearance"; Chan et al. 2022, "Efficient Geometry-aware 3D GANs" (tri-planes).
"""

import dataclasses
import math
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.encodings.contract import ENCODINGS, EncodingConfig, SizeFamily
from tangrid.encodings.factored_grid import FactoredGrid, check_dims, dense_factor
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

Reduction = Literal["product", "sum", "concat"]

_FINEST = 2**12
_MOST_CHANNELS = 2**10


@ENCODINGS.register("plane-grid")
@dataclass(frozen=True, kw_only=True)
class PlaneGridConfig(EncodingConfig):
    """Planes over pairs of axes; vertices lie on the box's edges."""

    resolution: int = 128
    """Vertices along each axis at the finest scale."""
    num_scales: int = 4
    """Number of scales, each with half the resolution of the next."""
    channels_per_scale: int = 16
    """Features of each plane's nodes."""
    reduction: Reduction = "product"
    """How the planes of a scale are joined."""
    lowest_start: float = 0.1
    """Features start uniform from this ..."""
    highest_start: float = 0.5
    """... to this, so that products of many are not all small."""

    def __post_init__(self) -> None:
        """Refuse planes without cells or channels.

        Raises:
            ConfigError: If a number is out of range.
        """
        check_choice("PlaneGridConfig.reduction", self.reduction, Reduction)
        if self.num_scales < 1 or self.channels_per_scale < 1:
            raise ConfigError(
                "PlaneGridConfig: expected num_scales and channels_per_scale >= 1, got "
                f"{self.num_scales} and {self.channels_per_scale}."
            )
        if self.resolution < 2**self.num_scales:
            raise ConfigError(
                "PlaneGridConfig.resolution: expected at least 2 vertices at the "
                f"coarsest of {self.num_scales} scales, {2**self.num_scales} at the "
                f"finest, got {self.resolution}. Use fewer scales."
            )
        if not self.lowest_start <= self.highest_start:
            raise ConfigError(
                "PlaneGridConfig: expected lowest_start <= highest_start, got "
                f"{self.lowest_start} and {self.highest_start}."
            )

    @property
    def coarsest(self) -> int:
        """Vertices along each axis at the coarsest scale."""
        return self.resolution // 2 ** (self.num_scales - 1)

    def reaching(self, finest_resolution: float) -> "PlaneGridConfig":
        """Return these settings with another finest resolution.

        Args:
            finest_resolution: Vertices along each axis.
        """
        finest = max(round(finest_resolution), 2**self.num_scales)
        return dataclasses.replace(self, resolution=finest)

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth in resolution, then in channels."""
        least = 2**self.num_scales
        steps = math.log2(_FINEST / least)
        most = math.log2(_MOST_CHANNELS)
        return (
            lambda size: self.reaching(least * 2 ** (steps * size)),
            lambda size: dataclasses.replace(
                self, channels_per_scale=round(2 ** (most * size))
            ),
        )

    def build(self, site: Site, generator: torch.Generator) -> "PlaneGrid":
        """Return the planes with random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.

        Raises:
            ConfigError: If there are no two coordinates to make a plane, or too many.
        """
        check_dims(self, site.num_dims, 2)
        return PlaneGrid(self, site.num_dims, generator)


class PlaneGrid(FactoredGrid):
    """Join the reads of a plane for every pair of axes.

    Args:
        config: Settings.
        num_dims: Number of coordinates.
        generator: Source of the initial features.
    """

    def __init__(
        self, config: PlaneGridConfig, num_dims: int, generator: torch.Generator
    ) -> None:
        scales = config.num_scales
        # Through the ratio, so that the finest scale has exactly its resolution.
        ratio = config.resolution / config.coarsest
        growth = ratio ** (1 / max(scales - 1, 1))
        planes = [
            dense_factor(pair, config.coarsest, scales, growth)
            for pair in combinations(range(num_dims), 2)
        ]
        channels = config.channels_per_scale
        super().__init__(num_dims, planes, channels)
        self.reduction: Reduction = config.reduction
        self._scales = scales
        copies = len(planes) if config.reduction == "concat" else 1
        self.num_features = copies * scales * channels
        with torch.no_grad():
            for plane in planes:
                table: Tensor = getattr(self, plane.name)
                table.uniform_(
                    config.lowest_start, config.highest_start, generator=generator
                )

    def combine(self, reads: tuple[Tensor, ...], coords: Coords) -> Features:
        """Return the planes joined, the coarsest scale first.

        Args:
            reads: One tensor [n, channels] per plane and scale.
            coords: Points in the unit box.
        """
        scales = self._scales
        planes = [
            torch.cat(reads[start : start + scales], dim=1)
            for start in range(0, len(reads), scales)
        ]
        if self.reduction == "concat":
            return super().combine(tuple(planes), coords)
        joined = planes[0]
        for plane in planes[1:]:
            joined = joined * plane if self.reduction == "product" else joined + plane
        return joined
