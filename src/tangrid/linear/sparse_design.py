"""Sparse design matrices: a grid's lookups as compressed rows.

A row holds the interpolation weights of one point on all levels. Compressed rows serve
any grid whose weights are not trained, and give sums in float64, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from tangrid.devices import require_memory
from tangrid.encodings.contract import GridEncoding, Lookup
from tangrid.errors import ConfigError
from tangrid.fields.workers import Workers
from tangrid.linear.design import Block, Design, Matrix
from tangrid.notation import Coords

_POINTS_AT_ONCE = 2**14
_LARGEST_COARSE = {1: 2**15, 2: 2**15, 3: 2**13}
"""Columns whose Gram matrix is factorised, by number of coordinates: in three they have
many more neighbours."""


class SparseBlock(Block):
    """Some rows of a sparse design matrix.

    Args:
        matrix: The rows, compressed, in float32.
    """

    def __init__(self, matrix: csr_matrix) -> None:
        self.matrix = matrix
        self.num_rows = len(matrix.indptr) - 1

    def apply(self, weights: NDArray) -> NDArray:
        """Return A w.

        Args:
            weights: One column per right-hand side.
        """
        return self.matrix.astype(weights.dtype, copy=False) @ weights

    def transpose(self, values: NDArray) -> NDArray:
        """Return A^T r.

        Args:
            values: One column per right-hand side.
        """
        return self.matrix.astype(values.dtype, copy=False).T @ values

    def column_squares(self) -> Matrix:
        """Return the squared length of every column."""
        wide = self.matrix.astype(np.float64)
        return np.asarray(wide.multiply(wide).sum(0)).ravel()

    def gram(self) -> csc_matrix:
        """Return A^T A in float64."""
        wide = self.matrix.astype(np.float64)
        return (wide.T.tocsr() @ wide).tocsc()


@dataclass(frozen=True)
class SplitDesign:
    """A sparse design matrix, its coarse columns apart from its fine ones.

    Attributes:
        whole: All columns.
        coarse: The first columns, few enough to be solved for directly; may be none.
        fine: The others; may be none.
        coarse_gram: Gram matrix of the coarse columns, in float64.
    """

    whole: Design
    coarse: Design
    fine: Design
    coarse_gram: csc_matrix


def sparse_design(
    encoding: GridEncoding, coords: Coords, workers: Workers
) -> SplitDesign:
    """Return the design matrix of the sum over a grid's lookups.

    Columns are the rows of its tables, one table after the other.

    Args:
        encoding: A grid whose weights hold nothing that is trained.
        coords: Points in the unit box.
        workers: Who works.

    Raises:
        ConfigError: If weights differ from channel to channel.
        ResourceError: If the matrix does not fit into the free memory.
    """
    first = _lookups(encoding, coords[:1])
    per_point = sum(lookup.rows.shape[1] for lookup in first)
    # Beside the matrix its two parts and one copy in float64.
    require_memory(
        len(coords) * per_point * 28,
        f"design matrix of {len(coords):,} points",
        "Fit fewer points or a grid of fewer levels.",
        points=len(coords),
    )
    offsets, num_columns = _offsets(encoding, first)
    count = workers.count
    pieces = coords.tensor_split(min(count, len(coords)))

    def work(worker: int) -> csr_matrix | None:
        if worker >= len(pieces):
            return None
        return _matrix(encoding, pieces[worker], offsets, num_columns)

    matrices = [found for found in workers.run(work) if found is not None]
    cut = _coarse_columns(encoding, first, offsets, num_columns)
    coarse = [SparseBlock(matrix[:, :cut].tocsr()) for matrix in matrices]
    fine = [SparseBlock(matrix[:, cut:].tocsr()) for matrix in matrices]
    return SplitDesign(
        whole=Design([SparseBlock(m) for m in matrices], num_columns, workers),
        coarse=Design(coarse, cut, workers),
        fine=Design(fine, num_columns - cut, workers),
        coarse_gram=sum((block.gram() for block in coarse[1:]), coarse[0].gram()),
    )


def table_names(encoding: GridEncoding, coords: Coords) -> tuple[str, ...]:
    """Return the names of the tables that are read, in the order of the columns.

    Args:
        encoding: The grid.
        coords: At least one point.
    """
    lookups = _lookups(encoding, coords[:1])
    return tuple(dict.fromkeys(lookup.table for lookup in lookups))


def _lookups(encoding: GridEncoding, coords: Coords) -> tuple[Lookup, ...]:
    with torch.no_grad():
        return encoding.lookups(coords, encoding.select(coords))


def _offsets(
    encoding: GridEncoding, lookups: Sequence[Lookup]
) -> tuple[dict[str, int], int]:
    offsets, total = {}, 0
    for name in dict.fromkeys(lookup.table for lookup in lookups):
        offsets[name] = total
        total += len(attrgetter(name)(encoding))
    return offsets, total


def _matrix(
    encoding: GridEncoding, coords: Coords, offsets: dict[str, int], num_columns: int
) -> csr_matrix:
    columns, weights = [], []
    for piece in coords.split(_POINTS_AT_ONCE):
        lookups = _lookups(encoding, piece)
        if any(lookup.weights.ndim != 2 for lookup in lookups):
            raise ConfigError(
                f"linear: expected a grid whose channels share their weights, got a "
                f"{type(encoding).__name__}. Take linear-grid."
            )
        rows = [lookup.rows + offsets[lookup.table] for lookup in lookups]
        columns.append(torch.cat(rows, dim=1).int())
        weights.append(torch.cat([lookup.weights for lookup in lookups], dim=1))
    columns, weights = torch.cat(columns), torch.cat(weights)
    starts = np.arange(len(coords) + 1) * columns.shape[1]
    matrix = csr_matrix(
        (weights.float().flatten().numpy(), columns.flatten().numpy(), starts),
        shape=(len(coords), num_columns),
    )
    # Two corners of one point may share a row of a hashed table.
    matrix.sum_duplicates()
    return matrix


def _coarse_columns(
    encoding: GridEncoding,
    lookups: Sequence[Lookup],
    offsets: dict[str, int],
    num_columns: int,
) -> int:
    """Return where the first levels end that are few enough to be solved directly."""
    limit = _LARGEST_COARSE.get(encoding.num_dims, 2**12)
    layout = getattr(encoding, "layout", None)
    if layout is not None and len(offsets) == 1:
        # In hashed rows every vertex may meet any other: no factor of theirs is sparse.
        whole = takewhile(lambda level: level.storage == "dense", layout.levels)
        ends = [level.offset + level.size for level in whole]
    else:
        ends = [*list(offsets.values())[1:], num_columns]
    return max((end for end in ends if end <= limit), default=0)
