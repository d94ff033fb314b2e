"""What a design matrix is: the values at points, as a linear map of the weights.

The value at point i is row i of A times the weights. Channels share A and have a column
of weights each, so that products take all channels at once. Rows are held in blocks,
one per thread.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tangrid.fields.workers import Workers

Matrix = NDArray[np.float64]


class Block(ABC):
    """Some rows of a design matrix."""

    num_rows: int

    @abstractmethod
    def apply(self, weights: NDArray) -> NDArray:
        """Return A w, in the precision of w.

        Args:
            weights: One column per right-hand side.
        """

    @abstractmethod
    def transpose(self, values: NDArray) -> NDArray:
        """Return A^T r, in the precision of r.

        Args:
            values: One column per right-hand side.
        """

    @abstractmethod
    def column_squares(self) -> Matrix:
        """Return the squared length of every column."""


class Design:
    """A design matrix in blocks of rows that threads share.

    Args:
        blocks: All rows, in order.
        num_columns: Weights per channel.
        workers: Who works.
    """

    def __init__(
        self, blocks: Sequence[Block], num_columns: int, workers: Workers
    ) -> None:
        self.blocks = tuple(blocks)
        self.num_columns = num_columns
        self.workers = workers
        ends = np.cumsum([0, *(block.num_rows for block in blocks)])
        self._spans = [slice(a, b) for a, b in pairwise(ends)]
        self.num_points = int(ends[-1])

    def apply(self, weights: Tensor) -> Tensor:
        """Return A w, [n, k], in the precision of w.

        Args:
            weights: One column per right-hand side, [p, k].
        """
        found = weights.new_empty(self.num_points, weights.shape[1])
        into, own = found.numpy(), weights.numpy()

        def work(worker: int) -> None:
            for number in range(worker, len(self.blocks), self.workers.count):
                into[self._spans[number]] = self.blocks[number].apply(own)

        self.workers.run(work)
        return found

    def transpose(self, values: Tensor) -> Tensor:
        """Return A^T r, [p, k], in the precision of r.

        Args:
            values: One column per right-hand side, [n, k].
        """
        own = values.numpy()

        def work(worker: int) -> NDArray | None:
            total = None
            for number in range(worker, len(self.blocks), self.workers.count):
                part = self.blocks[number].transpose(own[self._spans[number]])
                total = part if total is None else np.add(total, part, out=total)
            return total

        parts = [part for part in self.workers.run(work) if part is not None]
        found = parts[0]
        for part in parts[1:]:
            found += part
        return torch.from_numpy(found)

    def column_squares(self) -> Tensor:
        """Return the squared length of every column, [p], in float64."""
        squares = sum(block.column_squares() for block in self.blocks)
        return torch.from_numpy(np.asarray(squares))
