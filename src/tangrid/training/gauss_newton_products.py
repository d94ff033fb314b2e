r"""Products with the Gauss-Newton matrix of a batch, piece by piece, on many threads.

With residuals r of n values in all and their Jacobian J, the loss is
:math:`\ell = |r|^2 / n`, half of its gradient :math:`-J^\top r / n` and the matrix of
its quadratic model :math:`G = J^\top J / n`. Pieces go to workers by their number and
workers' sums are added in a fixed order, so the same threads give the same bits.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.tasks.contract import Batch, PointBatch
from tangrid.training.gauss_newton_pieces import (
    LayeredPiece,
    Piece,
    TracedPiece,
    field_parts,
)

_Thing = TypeVar("_Thing")
_Made = TypeVar("_Made")
Cotangents = Callable[[int, Piece], Tensor]
"""Weight of each value of a piece, given its number."""


class Products:
    """The linear model of a field around its present parameters, on one batch.

    Vectors hold the changes of all trained parameters one after the other, or only
    those of the table where that is asked for.

    Args:
        field: What is trained.
        parameters: What of it is trained, the table of a grid first.
        batch: Points and targets.
        workers: Who works.
        piece_size: Points per piece.

    Attributes:
        has_table: Whether the table alone has products of its own, which cost less.
    """

    def __init__(
        self,
        field: Field,
        parameters: Sequence[Tensor],
        batch: Batch,
        workers: Workers,
        piece_size: int,
    ) -> None:
        self._workers = workers
        self._parameters = list(parameters)
        size, first = sum(p.numel() for p in parameters), self._parameters[0]
        self._totals = first.new_zeros(workers.count, size)
        parts = field_parts(field, parameters)
        self.has_table = parts is not None and parts.grid is not None
        batches = cast("Sequence[PointBatch]", batch.pieces(piece_size))
        self._size = sum(part.targets.numel() for part in batches)
        probe = torch.zeros_like(first).requires_grad_() if self.has_table else None

        def made(number: int) -> Piece:
            if parts is None:
                return TracedPiece(batches[number], field, self._parameters)
            worker = number % workers.count
            buffer = self.split(self._totals[worker])[0] if self.has_table else None
            return LayeredPiece(batches[number], parts, probe, buffer)

        # A lookup keeps to the threads that it was called on.
        self._pieces = self._on_each(range(len(batches)), made)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return a vector as changes of the parameters that it holds.

        Args:
            vector: Changes of all of them, or of the table.
        """
        sizes = [p.numel() for p in self._parameters]
        held = 1 if len(vector) == sizes[0] else len(sizes)
        cut = vector.split(sizes[:held])
        return [c.view(p.shape) for c, p in zip(cut, self._parameters, strict=False)]

    def linearise(self) -> float:
        """Move the linear model to the present parameters.

        Returns:
            The loss there.
        """

        def linearised(piece: Piece) -> float:
            piece.linearise()
            return piece.residuals.double().square().sum().item()

        return sum(self._on_each(self._pieces, linearised)) / self._size

    def keep_jacobians(self) -> None:
        """Prepare products of the table alone; the linear model may move no more."""
        self._on_each(self._pieces, lambda p: cast("LayeredPiece", p).keep_jacobian())

    def descent(self, *, table_only: bool = False) -> Tensor:
        """Return J^T r / n, half of the direction of steepest descent.

        Args:
            table_only: Whether to return the table's part.
        """
        return self._pulled(lambda _, piece: piece.residuals, table_only)

    def curvature(self, vector: Tensor) -> Tensor:
        """Return J^T J v / n.

        Args:
            vector: Change v of all parameters, or of the table.
        """
        tangents = self.split(vector)
        table_only = len(tangents) < len(self._parameters)

        def pushed(number: int, piece: Piece) -> Tensor:
            del number
            if table_only:
                return cast("LayeredPiece", piece).push_table(tangents)
            return piece.push(tangents)

        return self._pulled(pushed, table_only)

    def squares(self, source: torch.Generator, *, table_only: bool = False) -> Tensor:
        r"""Return an estimate of the diagonal of J^T J / n.

        It is :math:`(J^\top s)^2 / n` with random signs s, entry by entry.

        Args:
            source: Gives the signs.
            table_only: Whether to return the table's part.
        """
        signs = [
            torch
            .randint(0, 2, piece.targets.shape, generator=source)
            .to(piece.targets.dtype)
            .mul_(2)
            .sub_(1)
            for piece in self._pieces
        ]
        pulled = self._pulled(lambda number, _: signs[number], table_only)
        return pulled.square_().mul_(self._size)

    def _pulled(self, cotangents: Cotangents, table_only: bool) -> Tensor:
        """Return J^T u / n."""
        width = self._parameters[0].numel() if table_only else self._totals.shape[1]
        totals = self._totals[:, :width]

        def work(worker: int) -> None:
            total = totals[worker].zero_()
            parts = self.split(total)
            for number in range(worker, len(self._pieces), self._workers.count):
                piece = self._pieces[number]
                weights = cotangents(number, piece)
                if table_only:
                    cast("LayeredPiece", piece).pull_table(weights, parts)
                else:
                    piece.pull(weights, parts)

        self._workers.run(work)
        return totals.sum(0) / self._size

    def _on_each(
        self, things: Sequence[_Thing], function: Callable[[_Thing], _Made]
    ) -> list[_Made]:
        """Return what a function makes of each of some things, in their order."""
        count = self._workers.count

        def work(worker: int) -> list[_Made]:
            return [function(thing) for thing in things[worker::count]]

        parts = self._workers.run(work)
        return [parts[n % count][n // count] for n in range(len(things))]
