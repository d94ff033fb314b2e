"""Grids, points and tables for the tests of the grid lookup."""

import itertools
from typing import NamedTuple

import torch
from torch import Tensor

from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    GridLayout,
    Interpolation,
    Storage,
    grid_layout,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tangrid.seeding import generator

STORAGES: tuple[Storage, ...] = ("dense", "hashed", "tiled")
CONVENTIONS: tuple[Convention, ...] = ("tiny-cuda-nn", "align-corners")
UGLY = 63
"""A number of points that fills no block, no cache line and no vector register."""


def layout_of(
    num_dims: int,
    storage: Storage,
    convention: Convention,
    interpolation: Interpolation,
) -> GridLayout:
    """Four levels, of which the coarsest is dense and the finest is what was asked."""
    return grid_layout(
        num_dims=num_dims,
        num_levels=4,
        base_resolution=4,
        growth=1.7,
        # Room for the coarsest level alone, so that the others collide.
        log2_table_size=max(2 * num_dims, 3),
        storage=storage,
        convention=convention,
        interpolation=interpolation,
    )


LAYOUTS = [
    (d, *choice)
    for d in (1, 2, 3, 4)
    for choice in itertools.product(STORAGES, CONVENTIONS, INTERPOLATIONS)
]


class Case(NamedTuple):
    """Inputs of one lookup and the gradient that comes back to its output."""

    layout: GridLayout
    coords: Tensor
    table: Tensor
    upstream: Tensor


def case_of(layout: GridLayout, channels: int, coords: Tensor, seed: int = 0) -> Case:
    source = generator(seed, "grid-case")
    table = torch.randn(layout.num_rows, channels, generator=source)
    width = len(layout.levels) * channels
    upstream = torch.randn(len(coords), width, generator=source)
    return Case(layout, coords, table, upstream)


def random_points(count: int, num_dims: int, seed: int = 0) -> Tensor:
    return torch.rand(count, num_dims, generator=generator(seed, "points"))


def results(case: Case) -> dict[str, Tensor]:
    """Values and both gradients by name, in the current implementation."""
    coords = case.coords.detach().requires_grad_()
    table = case.table.detach().requires_grad_()
    values = grid_lookup(coords, table, case.layout)
    # A nearest lookup does not depend on the coordinates: some leave them out.
    grads = torch.autograd.grad(
        values, (coords, table), case.upstream, materialize_grads=True
    )
    return {
        "values": values.detach(),
        "gradient of coords": grads[0],
        "gradient of table": grads[1],
    }
