"""Grids whose gradient goes, level by level, to one corner drawn at random.

tiny-cuda-nn's ``stochastic_interpolation`` leaves features and gradients of coordinates
as they are and replaces the table's gradient. One random number per point and level is
compared with the upper vertex's weight along every axis. As the axes share the number,
the choices are not independent: for more than one axis the expected gradient is not the
one it stands in for.

References:
    tiny-cuda-nn ``encodings/grid.h`` (``kernel_grid_backward``) and
    ``common_device.h`` (``random_val``).
"""

from typing import Any

import torch
from torch import Tensor

from tangrid.notation import Coords, Features, Rows, Table
from tangrid.ops.grid_lookup.anywhere import read_anywhere
from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.grid_lookup.reference import (
    cell_of,
    fraction_weights,
    node_rows,
    scaled_position,
)
from tangrid.ops.pcg32 import seeded_state, states_after, uniforms_of

_SEED = 1337
_BATCH_MULTIPLE = 256
"""Batches are padded to a multiple of this, which shifts the levels' numbers."""


def chosen_rows(coords: Coords, layout: GridLayout) -> Rows:
    """Return the row that each level's gradient goes to.

    Args:
        coords: Points.
        layout: Where the vertices are.
    """
    count = -(-len(coords) // _BATCH_MULTIPLE) * _BATCH_MULTIPLE
    points = torch.arange(len(coords), device=coords.device)
    state = seeded_state(_SEED)
    rows = []
    for number, level in enumerate(layout.levels):
        place = (points + number * count) & 0xFFFFFFFF
        sample = uniforms_of(states_after(state, place))
        position = scaled_position(coords, level)
        cell = cell_of(position, level)
        fraction = position - cell.to(position.dtype)
        upper = fraction_weights(fraction, layout.interpolation)
        rows.append(node_rows(cell + (sample[:, None] < upper).long(), level))
    return torch.stack(rows, dim=1)


def read_with_chosen_corners(
    coords: Coords, table: Table, layout: GridLayout
) -> Features:
    """Return features whose table has the gradient of one corner per level.

    Args:
        coords: Points in the unit box.
        table: Features of all vertices.
        layout: Where the vertices are.
    """
    return _ChosenCorners.apply(coords, table, layout)


class _ChosenCorners(torch.autograd.Function):
    """The usual lookup with another gradient of its table.

    The gradient of coordinates is the usual one, and so is what a loss of it hands back
    to the table.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(coords: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
        return read_anywhere(coords, table, layout)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
        coords, table, ctx.layout = inputs
        ctx.save_for_backward(coords, table)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        coords, table = ctx.saved_tensors
        layout = ctx.layout
        grad_coords = grad_table = None
        if ctx.needs_input_grad[0]:
            pull = torch.func.vjp(lambda x: read_anywhere(x, table, layout), coords)[1]
            grad_coords = pull(grad_out)[0]
        if ctx.needs_input_grad[1]:
            rows = chosen_rows(coords.detach(), layout).flatten()
            grads = grad_out.reshape(-1, table.shape[1])
            grad_table = torch.zeros_like(table).index_add(0, rows, grads)
        return grad_coords, grad_table, None
