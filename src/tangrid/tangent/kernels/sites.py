r"""Where parameters enter a field, and the gradients there, in factored form.

At a *site* each point's gradient is a product of what went in and of what the output
answers, and so is the Gram matrix of gradients:

``OuterSite``
    A linear layer u = W a + b. The gradient is :math:`\delta\, [a; 1]^\top` with the
    cotangent :math:`\delta = \partial f / \partial u`, and the kernel's term is
    :math:`(\tilde A \tilde A'^\top) \odot (D D'^\top)`.
``LookupSite``
    A table read :math:`z = \sum_k w_k T[j_k]`. With S the sparse matrix of weights the
    term is :math:`(S S'^\top) \odot (D D'^\top)`, whatever the size of the table.

References:
    The rule for linear layers: Novak et al. 2022, "Fast Finite Width Neural Tangent
    Kernel". For lookups it follows in the same way.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from tangrid.ops.tangent_gram import NodeLists, list_nodes, overlap_product
from tangrid.tangent.kernels.kernel import Outputs

Cotangents = Float[Tensor, "n c o"]

_NUMBERS_OF_A_TILE = 2**18
"""Numbers of a tile of points: with what it is made from, a second-level cache."""
_POINTS_OF_A_TILE = 32
"""The least points of a tile, however wide it is."""


@dataclass(frozen=True)
class GradientSite(ABC):
    """Hold the gradients of all points in the parameters of one part of a field.

    Attributes:
        cotangents: Gradient of each output channel in what the part gives.
    """

    cotangents: Cotangents

    @property
    def num_points(self) -> int:
        """Number of points."""
        return self.cotangents.shape[0]

    @property
    def num_outputs(self) -> int:
        """Rows of the kernel per point."""
        return self.cotangents.shape[1]

    @property
    @abstractmethod
    def numbers_per_column(self) -> int:
        """Numbers that a product holds at once for each of its columns."""

    @abstractmethod
    def take(self, points: Int64[Tensor, " k"]) -> "GradientSite":
        """Return the site of some of the points.

        Args:
            points: Their numbers.
        """

    @abstractmethod
    def over(self, outputs: Outputs) -> "GradientSite":
        """Return the site for all channels, their sum, or one of them.

        Args:
            outputs: Which channels.
        """

    @abstractmethod
    def inner(self, other: Any) -> Float[Tensor, "n c"]:  # noqa: ANN401
        """Return the product of every gradient with that of the same point elsewhere.

        Args:
            other: A site of the same parameters and the same points; itself for the
                squared lengths.
        """

    @abstractmethod
    def multiply(self, other: Any, vectors: Float[Tensor, "m c r"]) -> Tensor:  # noqa: ANN401
        """Return this site's term of the kernel with another side, times columns.

        Args:
            other: The same part at other points.
            vectors: Columns, point by point.

        Returns:
            [n, c, r].
        """


def _summed(cotangents: Cotangents, outputs: Outputs) -> Float[Tensor, "n _c _o"]:
    """Return cotangents over some channels: a sum over channels joins their vectors."""
    if outputs == "full":
        return cotangents
    if outputs == "trace":
        return cotangents.flatten(1)[:, None, :]
    return cotangents[:, outputs : outputs + 1]


@dataclass(frozen=True)
class OuterSite(GradientSite):
    """Gradients that are outer products of inputs and cotangents.

    Attributes:
        inputs: What went in, with a column of ones where there is a bias; a column of
            ones alone where the cotangents are the whole gradient.
    """

    inputs: Float[Tensor, "n i"]

    @property
    def numbers_per_column(self) -> int:
        """Numbers that a product holds at once for each of its columns."""
        width = self.cotangents.shape[2]
        return width * (self.inputs.shape[1] + _POINTS_OF_A_TILE)

    def take(self, points: Int64[Tensor, " k"]) -> "OuterSite":
        """Return the site of some of the points.

        Args:
            points: Their numbers.
        """
        inputs, cotangents = self.inputs[points], self.cotangents[points]
        return replace(self, inputs=inputs, cotangents=cotangents)

    def over(self, outputs: Outputs) -> "OuterSite":
        """Return the site for all channels, their sum, or one of them.

        Args:
            outputs: Which channels.
        """
        return replace(self, cotangents=_summed(self.cotangents, outputs))

    def inner(self, other: "OuterSite") -> Float[Tensor, "n c"]:
        """Return the product of every gradient with that of the same point elsewhere.

        Args:
            other: A site of the same parameters and the same points.
        """
        inputs = (self.inputs * other.inputs).sum(1, keepdim=True)
        return inputs * (self.cotangents * other.cotangents).sum(2)

    def multiply(self, other: "OuterSite", vectors: Float[Tensor, "m c r"]) -> Tensor:
        """Return this site's term of the kernel with another side, times columns.

        Args:
            other: The same part at other points.
            vectors: Columns, point by point.

        Returns:
            [n, c, r].
        """
        (_, _, width), count = other.cotangents.shape, vectors.shape[2]
        gradient = vectors.new_zeros(other.inputs.shape[1], width * count)
        # Tiles that stay in the cache: a layer holds its width times the columns for
        # every point, many times what it reads.
        step = max(_NUMBERS_OF_A_TILE // (width * count), _POINTS_OF_A_TILE)
        for start in range(0, other.num_points, step):
            rows = slice(start, start + step)
            gathered = _gathered(vectors[rows], other.cotangents[rows])
            gradient.addmm_(other.inputs[rows].T, gathered.flatten(1))
        answers = vectors.new_empty(self.num_points, self.num_outputs, count)
        for start in range(0, self.num_points, step):
            rows = slice(start, start + step)
            pulled = (self.inputs[rows] @ gradient).view(-1, count, width)
            answers[rows] = _answered(self.cotangents[rows], pulled)
        return answers


@dataclass(frozen=True)
class LookupSite(GradientSite):
    """Gradients in the rows of a table that points read.

    Attributes:
        rows: Which rows each point reads.
        weights: With which weights, [n, k]; [n, k, o] where every channel of the
            table has its own.
    """

    rows: Int64[Tensor, "n k"]
    weights: Tensor

    @property
    def has_shared_weights(self) -> bool:
        """Whether all channels of the table are read with the same weights."""
        return self.weights.ndim == 2

    @property
    def channel_weights(self) -> Float[Tensor, "n k _o"]:
        """The weights with an axis of channels, of length 1 where all share them."""
        return self.weights[:, :, None] if self.has_shared_weights else self.weights

    @cached_property
    def lists(self) -> NodeLists:
        """The reads of all points, under the rows that they read."""
        return list_nodes(self.rows)

    @cached_property
    def listed_weights(self) -> Float[Tensor, "reads _o"]:
        """The weights in the order of the lists."""
        return self.lists.listed(self.channel_weights)

    def places_among(self, other: "LookupSite") -> Int32[Tensor, "n k"]:
        """Return where another side's nodes hold the rows, -1 if nowhere.

        Args:
            other: A site of the same table.
        """
        if other is self:
            return self.lists.places
        return other.lists.places_of(self.rows)

    @property
    def numbers_per_column(self) -> int:
        """Numbers that a product holds at once for each of its columns."""
        width = self.cotangents.shape[2]
        return width * (self.num_points + len(self.lists.nodes))

    @property
    def entries(self) -> Float[Tensor, "n k c o"]:
        """The gradient in every row that a point reads: weight times cotangent."""
        return self.channel_weights[:, :, None, :] * self.cotangents[:, None, :, :]

    def densified(self, other: "LookupSite") -> list[OuterSite]:
        """Return the gradients in another side's nodes as outer products, for few.

        Args:
            other: A site of the same table, such as itself.

        Returns:
            One site; one for every channel of the table that has its own weights.
        """
        places, count = self.places_among(other), len(other.lists.nodes)
        weights = self.channel_weights * (places >= 0)[:, :, None]
        places = places.clamp(min=0).long()
        sites = []
        for channel in range(weights.shape[2]):
            dense = weights.new_zeros(self.num_points, count)
            dense.scatter_add_(1, places, weights[:, :, channel])
            cotangents = self.cotangents
            if not self.has_shared_weights:
                cotangents = cotangents[:, :, channel : channel + 1]
            sites.append(OuterSite(cotangents, dense))
        return sites

    def take(self, points: Int64[Tensor, " k"]) -> "LookupSite":
        """Return the site of some of the points.

        Args:
            points: Their numbers.
        """
        return replace(
            self,
            rows=self.rows[points],
            weights=self.weights[points],
            cotangents=self.cotangents[points],
        )

    def over(self, outputs: Outputs) -> "LookupSite":
        """Return the site for all channels, their sum, or one of them.

        Args:
            outputs: Which channels.
        """
        weights = self.weights
        if outputs == "trace" and not self.has_shared_weights:
            weights = weights.repeat(1, 1, self.num_outputs)
        cotangents = _summed(self.cotangents, outputs)
        return replace(self, weights=weights, cotangents=cotangents)

    def inner(self, other: "LookupSite") -> Float[Tensor, "n c"]:
        """Return the product of every gradient with that of the same point elsewhere.

        Args:
            other: A site of the same parameters and the same points.
        """
        # Two corners of one cell may share a row: by chance in a hashed table.
        same = self.rows[:, :, None] == other.rows[:, None, :]
        mine, theirs = self.channel_weights, other.channel_weights
        overlap = torch.einsum("nko,nkl,nlo->no", mine, same.to(mine.dtype), theirs)
        cotangents = self.cotangents * other.cotangents
        return (overlap[:, None, :] * cotangents).sum(2)

    def multiply(self, other: "LookupSite", vectors: Float[Tensor, "m c r"]) -> Tensor:
        """Return this site's term of the kernel with another side, times columns.

        Args:
            other: The same part at other points.
            vectors: Columns, point by point.

        Returns:
            [n, c, r].
        """
        pulled = overlap_product(
            self.places_among(other),
            self.channel_weights,
            other.lists,
            other.listed_weights,
            _gathered(vectors, other.cotangents),
        )
        return _answered(self.cotangents, pulled)


def _gathered(
    vectors: Float[Tensor, "m c r"], cotangents: Cotangents
) -> Float[Tensor, "m r o"]:
    """Return cotangents summed over channels with the columns for weights."""
    # A loop over few channels: as batches of tiny matrices it takes ten times as long.
    terms = zip(vectors.unbind(1), cotangents.unbind(1), strict=True)
    first, *rest = (vector[:, :, None] * found[:, None, :] for vector, found in terms)
    for term in rest:
        first += term
    return first


def _answered(
    cotangents: Cotangents, pulled: Float[Tensor, "n r o"]
) -> Float[Tensor, "n c r"]:
    """Return the answer of every channel to a change of what the part gives."""
    return torch.stack(
        [(found[:, None, :] * pulled).sum(2) for found in cotangents.unbind(1)], dim=1
    )
