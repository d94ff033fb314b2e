"""A field's tangent kernel from its parts: exact, and without any Jacobian.

The dense matrix is made tile by tile from products of small matrices; reads of tables
are added pair by pair of points that share a node. Products need no matrix at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.ops.tangent_gram import tangent_gram
from tangrid.tangent.kernels.kernel import Outputs, TangentKernel
from tangrid.tangent.kernels.parts import Part
from tangrid.tangent.kernels.sites import LookupSite, OuterSite

_NUMBERS_AT_ONCE = 2**26
"""What a product may hold at once, in numbers: half a gigabyte."""
_TILE = 512
"""Rows of a tile: three of them in float64 stay in a second-level cache and a bit."""
# Measured on two cores, float64: a pair of points that share a node, a multiplication
# of the densified form, and one pass over a tile.
_SECONDS_PER_PAIR = 4e-9
_SECONDS_PER_PRODUCT = 4e-11
_SECONDS_PER_ENTRY = 1e-9


@dataclass(frozen=True)
class _Plan:
    """How the terms of a dense matrix are made.

    Attributes:
        scattered: Pairs of lookups, added by shared nodes.
        tiled: Pairs of outer products, added by tiles.
    """

    scattered: list[tuple[LookupSite, LookupSite]]
    tiled: list[tuple[OuterSite, OuterSite]]


class StructuredKernel(TangentKernel):
    """Hold the parts of a field's kernel at both sides.

    Args:
        first: Parts at the points of the rows.
        second: The same parts at the points of the columns; None for the same points.
        outputs: Which channels the parts are over.
    """

    def __init__(
        self,
        first: Sequence[Part],
        second: Sequence[Part] | None,
        *,
        outputs: Outputs,
    ) -> None:
        self.first = tuple(first)
        self.second = self.first if second is None else tuple(second)
        self.num_points = (self.first[0].num_points, self.second[0].num_points)
        self.num_outputs = self.first[0].num_outputs
        self.outputs: Outputs = outputs
        self.is_symmetric = second is None
        sample = self.first[0].sites[0].cotangents
        self.dtype, self.device = sample.dtype, sample.device

    @property
    def explicit(self) -> tuple[str, ...]:
        """Parameters whose gradients are written out, for lack of structure."""
        return tuple(part.name for part in self.first if part.is_explicit)

    @property
    def parts(self) -> Mapping[str, TangentKernel]:
        """The terms that add up to this kernel, by the part of the field."""
        return {
            first.name: StructuredKernel(
                [first],
                None if self.is_symmetric else [second],
                outputs=self.outputs,
            )
            for first, second in self._sides
        }

    @property
    def _sides(self) -> list[tuple[Part, Part]]:
        return list(zip(self.first, self.second, strict=True))

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the whole matrix.

        Raises:
            ResourceError: If it does not fit into memory.
        """
        rows, columns = self.shape
        size = torch.finfo(self.dtype).bits // 8
        require_memory(
            rows * columns * size,
            f"kernel.to_dense(): a matrix of {rows} by {columns} numbers",
            "Use products (kernel @ v), kernel.eigenvalues(k) or fewer points.",
        )
        matrix = torch.zeros(self.shape, dtype=self.dtype, device=self.device)
        self._fill(matrix)
        return matrix

    def _fill(self, matrix: Float[Tensor, "rows columns"]) -> None:
        (n, m), c = self.num_points, self.num_outputs
        out = matrix.view(n, c, m, c)
        plan = self._plan()
        for first, second in plan.scattered:
            others = second.entries
            tangent_gram(
                first.places_among(second),
                others if first is second else first.entries,
                second.lists,
                others,
                out=out,
                lower=self.is_symmetric,
            )
        step = max(_TILE // c, 1)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            last = min(start + step, m) if self.is_symmetric else m
            for begin in range(0, last, step):
                columns = slice(begin, begin + step)
                tile = out[rows, :, columns, :]
                _add_products(tile, plan.tiled, rows, columns)
                if self.is_symmetric and begin == start:
                    _mirror(tile)
                elif self.is_symmetric:
                    out[columns, :, rows, :] = tile.permute(2, 3, 0, 1)

    def _plan(self) -> _Plan:
        plan = _Plan([], [])
        for first_part, second_part in self._sides:
            for first, second in first_part.pairs(second_part):
                if isinstance(first, LookupSite) and isinstance(second, LookupSite):
                    _plan_reads(plan, first, second)
                elif isinstance(first, OuterSite) and isinstance(second, OuterSite):
                    plan.tiled.append((first, second))
        return plan

    def diagonal(self) -> Float[Tensor, " rows"]:
        """Return the diagonal, without the rest.

        Raises:
            ShapeError: If rows and columns belong to different points.
        """
        self.check_symmetric("kernel.diagonal()")
        return torch.stack([part.diagonal() for part in self.first]).sum(0).flatten()

    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points.

        Args:
            points: Numbers of points of the second side.
        """
        if len(points) == 0:
            return torch.empty(self.shape[0], 0, dtype=self.dtype, device=self.device)
        chosen = [part.take(points) for part in self.second]
        return StructuredKernel(self.first, chosen, outputs=self.outputs).to_dense()

    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        vectors = stacked.detach().reshape(self.num_points[1], self.num_outputs, -1)
        result = vectors.new_empty(*self._row_shape, vectors.shape[2])
        sites = (site for part in (*self.first, *self.second) for site in part.sites)
        held = max(site.numbers_per_column for site in sites)
        step = max(_NUMBERS_AT_ONCE // max(held, 1), 1)
        for start in range(0, vectors.shape[2], step):
            chosen = slice(start, start + step)
            result[:, :, chosen] = self._product(vectors[:, :, chosen])
        return result.flatten(0, 1)

    @property
    def _row_shape(self) -> tuple[int, int]:
        return self.num_points[0], self.num_outputs

    def _product(self, vectors: Float[Tensor, "m c r"]) -> Float[Tensor, "n c r"]:
        total = vectors.new_zeros(*self._row_shape, vectors.shape[2])
        for first, second in self._sides:
            total += first.multiply(second, vectors)
        return total


def _plan_reads(plan: _Plan, first: LookupSite, second: LookupSite) -> None:
    if not _is_dense_cheaper(first, second):
        plan.scattered.append((first, second))
        return
    pairs = zip(first.densified(second), second.densified(second), strict=True)
    plan.tiled.extend(pairs)


def _is_dense_cheaper(first: LookupSite, second: LookupSite) -> bool:
    """Return whether so few nodes meet that gradients are better written out there."""
    counts = second.lists.counts
    mine = counts
    if first is not second:
        places = first.places_among(second)
        mine = torch.bincount(places[places >= 0], minlength=len(counts))
    channels, width = first.cotangents.shape[1:]
    points = first.num_points * second.num_points
    pairs = channels**2 * width * float((mine * counts).sum())
    copies = 1 if first.has_shared_weights else width
    products = points * (copies * len(counts) + channels**2 * width)
    dense = products * _SECONDS_PER_PRODUCT
    dense += copies * points * channels**2 * _SECONDS_PER_ENTRY
    return dense < pairs * _SECONDS_PER_PAIR


def _add_products(
    tile: Float[Tensor, "n c m c"],
    pairs: Sequence[tuple[OuterSite, OuterSite]],
    rows: slice,
    columns: slice,
) -> None:
    for first, second in pairs:
        left, right = first.cotangents[rows], second.cotangents[columns]
        n, c, width = left.shape
        answered = left.reshape(n * c, width) @ right.reshape(-1, width).T
        inputs = first.inputs[rows] @ second.inputs[columns].T
        tile.addcmul_(answered.view(n, c, -1, c), inputs[:, None, :, None])


def _mirror(tile: Float[Tensor, "n c m c"]) -> None:
    """Copy the lower triangle of points to the upper one."""
    n, c = tile.shape[:2]
    whole = tile.reshape(n * c, n * c)
    is_lower = torch.ones_like(whole, dtype=torch.bool).tril()
    tile.copy_(torch.where(is_lower, whole, whole.T).view(n, c, n, c))
