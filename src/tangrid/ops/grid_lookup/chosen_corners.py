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

import itertools
from typing import Any

import torch
from torch import Tensor

from tangrid.notation import Coords, Features, Rows, Table
from tangrid.ops.contract import asked_implementation, implementation
from tangrid.ops.grid_lookup.anywhere import read_anywhere
from tangrid.ops.grid_lookup.layout import GridLayout, GridLevel
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
    positions = [scaled_position(coords, level) for level in layout.levels]
    cells = [cell_of(*pair) for pair in zip(positions, layout.levels, strict=True)]
    position, cell = torch.stack(positions), torch.stack(cells)
    fraction = position - cell.to(position.dtype)
    upper = fraction_weights(fraction, layout.interpolation)
    samples = _samples(len(layout.levels), len(coords), coords.device)
    return _rows_of(cell + (samples[..., None] < upper).long(), layout)


def _samples(num_levels: int, num_points: int, device: torch.device) -> Tensor:
    """Return one random number for each level and point, [l, n]."""
    count = -(-num_points // _BATCH_MULTIPLE) * _BATCH_MULTIPLE
    points = torch.arange(num_points, device=device)
    levels = torch.arange(num_levels, device=device)
    places = (points + levels[:, None] * count) & 0xFFFFFFFF
    bits = min((num_levels * count).bit_length(), 32)
    return uniforms_of(states_after(seeded_state(_SEED), places, bits))


def _rows_of(nodes: Tensor, layout: GridLayout) -> Rows:
    """Return the row of each point's vertex of each level, of vertices [l, n, d]."""

    def rule(numbered: tuple[int, GridLevel]) -> tuple[object, ...]:
        number, level = numbered
        first_row = level.offset - number * level.size
        address = level.size, level.strides(layout.num_dims), first_row
        return level.storage, level.hash_function, *address

    rows = []
    for _, run in itertools.groupby(enumerate(layout.levels), rule):
        # Levels of one rule, one behind the other, in one go.
        numbers, levels = zip(*run, strict=True)
        shifts = torch.arange(len(levels), device=nodes.device) * levels[0].size
        own = nodes[numbers[0] : numbers[-1] + 1]
        rows.append(node_rows(own, levels[0]) + shifts[:, None])
    return torch.cat(rows).T


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


def _pull(
    grad_out: Tensor, coords: Tensor, table: Tensor, layout: GridLayout
) -> Tensor:
    def read(x: Tensor) -> Tensor:
        return read_anywhere(x, table, layout)

    return torch.func.vjp(read, coords)[1](grad_out)[0]


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
        ctx.asked = asked_implementation()
        ctx.save_for_backward(coords, table)

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        coords, table = ctx.saved_tensors
        layout = ctx.layout
        grad_coords = grad_table = None
        if ctx.needs_input_grad[0]:
            with implementation(ctx.asked):
                grad_coords = _pull(grad_out, coords, table, layout)
        if ctx.needs_input_grad[1]:
            rows = chosen_rows(coords.detach(), layout).flatten()
            wide = torch.promote_types(table.dtype, torch.float32)
            grads = grad_out.reshape(-1, table.shape[1]).to(wide)
            sums = torch.zeros_like(table, dtype=wide).index_add(0, rows, grads)
            grad_table = sums.to(table.dtype)
        return grad_coords, grad_table, None
