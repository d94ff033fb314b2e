"""The parts of a field: all sites where one group of parameters enters."""

from dataclasses import dataclass, fields, replace
from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.tangent.kernels.kernel import Outputs
from tangrid.tangent.kernels.sites import GradientSite


@dataclass(frozen=True)
class Part:
    """Hold all sites where one group of parameters enters.

    A layer that is called twice, or two reads of the same rows, have several; their
    gradients add up, and the kernel has terms for every pair.

    Attributes:
        name: Which part, such as ``encoding.table, level 3`` or ``decoder.layers.0``.
        sites: Where its parameters enter.
        is_explicit: Whether its gradients are written out, for lack of structure.
    """

    name: str
    sites: tuple[GradientSite, ...]
    is_explicit: bool = False

    @property
    def num_points(self) -> int:
        """Number of points."""
        return self.sites[0].num_points

    @property
    def num_outputs(self) -> int:
        """Rows of the kernel per point."""
        return self.sites[0].num_outputs

    @property
    def num_bytes(self) -> int:
        """Memory that its numbers take."""
        tensors = [getattr(s, f.name) for s in self.sites for f in fields(s)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def take(self, points: Int64[Tensor, " k"]) -> "Part":
        """Return the part at some of the points.

        Args:
            points: Their numbers.
        """
        return replace(self, sites=tuple(site.take(points) for site in self.sites))

    def over(self, outputs: Outputs) -> "Part":
        """Return the part for all channels, their sum, or one of them.

        Args:
            outputs: Which channels.
        """
        return replace(self, sites=tuple(site.over(outputs) for site in self.sites))

    def pairs(self, other: "Part") -> list[tuple[GradientSite, GradientSite]]:
        """Return every site with every site of another side.

        Args:
            other: The same part at other points, or itself.
        """
        return list(product(self.sites, other.sites))

    def diagonal(self) -> Float[Tensor, "n c"]:
        """Return the squared length of every gradient."""
        terms = [first.inner(second) for first, second in self.pairs(self)]
        return torch.stack(terms).sum(0)

    def multiply(self, other: "Part", vectors: Float[Tensor, "m c r"]) -> Tensor:
        """Return this part's term of the kernel with another side, times columns.

        Args:
            other: The same part at other points.
            vectors: Columns, point by point.

        Returns:
            [n, c, r].
        """
        terms = [first.multiply(second, vectors) for first, second in self.pairs(other)]
        return torch.stack(terms).sum(0)
