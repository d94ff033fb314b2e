r"""TensoRF: grids as sums of outer products of lines, or of lines and planes.

``cp`` multiplies a line along every axis, :math:`\prod_a v_r^a(x_a)`; ``vm`` multiplies
for each axis a line along it and a grid over all others,
:math:`v_r^a(x_a)\, M_r^a(x_{\neq a})`. Every rank r, of every axis for ``vm``, is a
feature; whatever reads them sums.

References:
    Chen et al. 2022, "TensoRF: Tensorial Radiance Fields".
"""

import dataclasses
import math
from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor

from tangrid.encodings.contract import ENCODINGS, EncodingConfig, SizeFamily
from tangrid.encodings.factored_grid import (
    Factor,
    FactoredGrid,
    check_dims,
    dense_factor,
)
from tangrid.errors import ConfigError
from tangrid.notation import Coords, Features
from tangrid.signals.site import Site

_FINEST = 2**14
_MOST_RANKS = 2**12


@dataclass(frozen=True, kw_only=True)
class TensorfConfig(EncodingConfig, ABC):
    """Settings of a factored grid; vertices lie on the box's edges."""

    resolution: int = 128
    """Vertices along each axis."""
    num_ranks: int = 48
    """Products (R) in all for cp, for each axis for vm."""

    def __post_init__(self) -> None:
        """Refuse a grid without cells or products.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.resolution < 2 or self.num_ranks < 1:
            raise ConfigError(
                f"{type(self).__name__}: expected resolution >= 2 and num_ranks >= 1, "
                f"got {self.resolution} and {self.num_ranks}."
            )

    def reaching(self, finest_resolution: float) -> "TensorfConfig":
        """Return these settings with another resolution.

        Args:
            finest_resolution: Vertices along each axis.
        """
        return dataclasses.replace(self, resolution=max(round(finest_resolution), 2))

    def families(self) -> tuple[SizeFamily, ...]:
        """Return growth in ranks, then in resolution."""
        return (
            self._growing("num_ranks", 1, _MOST_RANKS),
            self._growing("resolution", 2, _FINEST),
        )

    def _growing(self, name: str, least: int, most: int) -> SizeFamily:
        steps = math.log2(most / least)
        return lambda size: dataclasses.replace(
            self, **{name: round(least * 2 ** (steps * size))}
        )


@ENCODINGS.register("tensorf-cp-grid")
@dataclass(frozen=True, kw_only=True)
class TensorfCpConfig(TensorfConfig):
    """Products of a line along every axis."""

    def build(self, site: Site, generator: torch.Generator) -> "Tensorf":
        """Return the grid with random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        check_dims(self, site.num_dims, 1)
        lines = [
            dense_factor((axis,), self.resolution) for axis in range(site.num_dims)
        ]
        return Tensorf(site.num_dims, [tuple(lines)], self.num_ranks, 0.2, generator)


@ENCODINGS.register("tensorf-vm-grid")
@dataclass(frozen=True, kw_only=True)
class TensorfVmConfig(TensorfConfig):
    """Products of a line along each axis and a grid over all others.

    In three dimensions these are vectors and matrices, as in the paper; in two both are
    lines, and every pair of axes is there twice.
    """

    num_ranks: int = 16
    """Products (R) for each axis."""

    def build(self, site: Site, generator: torch.Generator) -> "Tensorf":
        """Return the grid with random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        check_dims(self, site.num_dims, 2)
        axes = tuple(range(site.num_dims))
        products = []
        for axis in axes:
            others = tuple(other for other in axes if other != axis)
            line = dense_factor((axis,), self.resolution)
            rest = dense_factor(others, self.resolution)
            # In two dimensions the rest is a line too, and must not share its name.
            rest = rest._replace(name=rest.name.replace("over", "beside"))
            products.append((line, rest))
        return Tensorf(site.num_dims, products, self.num_ranks, 0.1, generator)


class Tensorf(FactoredGrid):
    """Multiply factors rank by rank.

    Args:
        num_dims: Number of coordinates.
        products: Which factors are multiplied, for each group of ranks.
        num_ranks: Ranks of each group.
        deviation: Of the initial features, which are normal.
        generator: Source of the initial features.
    """

    def __init__(
        self,
        num_dims: int,
        products: list[tuple[Factor, ...]],
        num_ranks: int,
        deviation: float,
        generator: torch.Generator,
    ) -> None:
        factors = [factor for product in products for factor in product]
        super().__init__(num_dims, factors, num_ranks)
        self._sizes = [len(product) for product in products]
        self.num_features = num_ranks * len(products)
        with torch.no_grad():
            for factor in factors:
                table: Tensor = getattr(self, factor.name)
                table.normal_(generator=generator).mul_(deviation)

    def combine(self, reads: tuple[Tensor, ...], coords: Coords) -> Features:
        """Return the products of the reads, group by group.

        Args:
            reads: One tensor [n, ranks] per factor.
            coords: Points in the unit box.
        """
        del coords
        groups = []
        start = 0
        for size in self._sizes:
            product = reads[start]
            for read in reads[start + 1 : start + size]:
                product = product * read
            groups.append(product)
            start += size
        return torch.cat(groups, dim=1)
