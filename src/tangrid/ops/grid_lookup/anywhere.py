"""Read a grid at points that may lie outside the unit box.

The fast loops know vertices of the box alone. tiny-cuda-nn goes on beyond it: vertices
are counted or hashed as 32-bit numbers, so that the grid is repeated in some way.
"""

import torch
from torch import Tensor

from tangrid.notation import Coords, Features, Table
from tangrid.ops.grid_lookup import reference
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.grid_lookup.operator import grid_lookup


def read_anywhere(
    coords: Coords,
    table: Table,
    layout: GridLayout,
    grad_into: Tensor | None = None,
) -> Features:
    """Return the features of all levels, the coarsest first.

    Args:
        coords: Any points.
        table: Features of all vertices.
        layout: Where the vertices are.
        grad_into: Buffer of the table's shape that gradients of points inside are added
            to; those of points outside are left to autograd.
    """
    # Programs for a GPU count cells of either sign; asking would make the CPU wait.
    if coords.is_cuda:
        return grid_lookup(coords, table, layout.wrapping, grad_into=grad_into)
    inside = ((coords.detach() >= 0) & (coords.detach() <= 1)).all(1)
    try:
        is_inside = bool(inside.all())
    except RuntimeError:
        # Under vmap nobody can look; the reference needs not to.
        return reference.grid_lookup(coords, table, layout)
    if is_inside:
        return grid_lookup(coords, table, layout, grad_into=grad_into)
    places = (~inside).nonzero()[:, 0]
    inner = torch.where(inside[:, None], coords, 0.5)
    features = grid_lookup(inner, table, layout, grad_into=grad_into)
    outer = reference.grid_lookup(coords[places], table, layout)
    return features.index_copy(0, places, outer)
