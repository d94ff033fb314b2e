"""Design matrices of any linear field, by its derivatives alone.

Rows are the values of all channels at all points, columns all that is trained. Products
with A are values of the field, products with its transpose are gradients.
"""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from torch import Tensor
from torch.func import functional_call, vjp

from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.linear.design import Block, Design, Matrix
from tangrid.linear.sparse_design import SplitDesign
from tangrid.notation import Coords, Values


class FieldBlock(Block):
    """The values of a field at some points, channels of a point side by side.

    Args:
        field: A field that is linear in what is trained.
        names: Those parameters.
        coords: The points.
    """

    def __init__(self, field: Field, names: Sequence[str], coords: Coords) -> None:
        self._fields = {torch.float32: copy.deepcopy(field).float()}
        self._fields[torch.float64] = copy.deepcopy(field).double()
        self._coords = coords
        own = dict(field.named_parameters())
        self._shapes = {name: own[name].shape for name in names}
        self.num_columns = sum(own[name].numel() for name in names)
        self.num_rows = len(coords) * field.num_channels
        self._nothing = {dtype: self._offset(dtype) for dtype in self._fields}

    def values(self, weights: Tensor) -> Values:
        """Return the values of the field for one column of weights.

        Args:
            weights: All that is trained, in one line.
        """
        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = weights.split(sizes)
        parameters = {
            name: part.view(shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        field = self._fields[weights.dtype]
        return functional_call(field, parameters, (self._coords.to(weights.dtype),))

    def offset(self) -> Values:
        """Return the values where all that is trained is 0."""
        return self._nothing[torch.float32]

    def _offset(self, dtype: torch.dtype) -> Values:
        with torch.no_grad():
            return self.values(torch.zeros(self.num_columns, dtype=dtype))

    def apply(self, weights: NDArray) -> NDArray:
        """Return A w.

        Args:
            weights: One column per right-hand side.
        """
        columns = torch.from_numpy(weights).unbind(1)
        nothing = self._nothing[columns[0].dtype]
        with torch.no_grad():
            found = [(self.values(w) - nothing).flatten() for w in columns]
        return torch.stack(found, dim=1).numpy()

    def transpose(self, values: NDArray) -> NDArray:
        """Return A^T r.

        Args:
            values: One column per right-hand side.
        """
        columns = torch.from_numpy(values)
        start = torch.zeros(self.num_columns, dtype=columns.dtype)
        found, pull, *_ = vjp(self.values, start)
        pulled = [pull(column.view(found.shape))[0] for column in columns.unbind(1)]
        return torch.stack(pulled, dim=1).numpy()

    def column_squares(self) -> Matrix:
        """Return ones: no product tells the length of a column."""
        return np.ones(self.num_columns)


def field_design(block: FieldBlock, workers: Workers) -> SplitDesign:
    """Return the design of a field as one block without coarse columns.

    Args:
        block: The field at all points.
        workers: Whose one thread works.
    """
    whole = Design([block], block.num_columns, workers)
    none = Design([], 0, workers)
    return SplitDesign(whole, none, whole, csc_matrix((0, 0)))
