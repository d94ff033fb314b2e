"""What the numba loops take and give, from and to tensors, on one or more threads."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tangrid.ops.grid_lookup import numba_cpu
from tangrid.ops.grid_lookup.layout import GridLayout


class Loops(NamedTuple):
    """The numba implementation.

    Attributes:
        serial: Whether to stay on the calling thread.
    """

    serial: bool

    def read(
        self,
        coords: Tensor,
        table: Tensor,
        layout: GridLayout,
        directions: Tensor | None = None,
    ) -> Tensor:
        """Return features, or their derivatives along directions.

        Args:
            coords: Points in the unit box.
            table: Features of all levels' nodes.
            layout: Where the nodes are.
            directions: One for each point.
        """
        along = _empty(coords) if directions is None else directions
        out = coords.new_empty(len(coords), len(layout.levels) * table.shape[1])
        run = numba_cpu.forward_serial if self.serial else numba_cpu.forward_parallel
        grid = _grid(layout)
        run(_array(coords), _array(table), _array(along), *grid, out.numpy())
        return out

    def pull(
        self, grad_out: Tensor, coords: Tensor, table: Tensor, layout: GridLayout
    ) -> Tensor:
        """Return the gradient of coordinates.

        Args:
            grad_out: Gradient of the features.
            coords: Points in the unit box.
            table: Features of all levels' nodes.
            layout: Where the nodes are.
        """
        serial, parallel = numba_cpu.coords_vjp_serial, numba_cpu.coords_vjp_parallel
        run = serial if self.serial else parallel
        # Not zeros_like: it copies the order in memory, and numba compiles for each.
        grad = coords.new_zeros(coords.shape)
        grid = _grid(layout)
        run(_array(coords), _array(table), _array(grad_out), *grid, grad.numpy())
        return grad

    def push(
        self,
        grad_out: Tensor,
        coords: Tensor,
        table: Tensor,
        layout: GridLayout,
        into: Tensor | None,
        directions: Tensor | None = None,
    ) -> Tensor:
        """Return a table's gradient; nothing where a buffer has taken it.

        Args:
            grad_out: Gradient of the features.
            coords: Points in the unit box.
            table: Features of all levels' nodes.
            layout: Where the nodes are.
            into: The buffer, if there is one.
            directions: Of derivatives that were read in place of features.
        """
        serial, parallel = numba_cpu.table_vjp_serial, numba_cpu.table_vjp_parallel
        run = serial if self.serial else parallel
        along = _empty(coords) if directions is None else directions
        grad = table.new_zeros(table.shape) if into is None else into
        grid = _grid(layout)
        run(_array(coords), _array(grad_out), _array(along), *grid, grad.numpy())
        # An accumulation buffer is the caller's and must not become an output.
        return grad if into is None else table.new_empty(0)


def _empty(coords: Tensor) -> Tensor:
    return coords.new_empty(0, coords.shape[1])


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().contiguous().numpy()


def _grid(layout: GridLayout) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    return layout.scales, layout.addresses, layout.interpolation_code
