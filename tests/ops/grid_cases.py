"""Grids, points and tables for the tests of the grid lookup."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import implementation, used_implementations
from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    GridLayout,
    Interpolation,
    Storage,
    grid_layout,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tangrid.ops.wanted import gradients_of_coords_only
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


def directions_of(case: Case) -> Tensor:
    shape = case.coords.shape
    directions = torch.randn(shape, generator=generator(0, "directions"))
    return directions.to(case.coords.device)


def slope_gradients(
    case: Case, *, into: Tensor | None = None, with_coords: bool = True
) -> dict[str, Tensor]:
    """Gradients of <u, gradient of coords> for all that it is made of, by name."""
    inputs = [tensor.detach().requires_grad_() for tensor in case[1:]]
    coords, table, upstream = inputs
    with nullcontext() if into is None else accumulate_into({table: into}):
        values = grid_lookup(coords, table, case.layout)
        with gradients_of_coords_only():
            (slope,) = torch.autograd.grad(values, coords, upstream, create_graph=True)
        loss = (slope * directions_of(case)).sum()
        wanted = {"table": table, "upstream": upstream}
        if with_coords:
            wanted["coords"] = coords
        else:
            coords.requires_grad_(False)
        found = torch.autograd.grad(
            loss, list(wanted.values()), materialize_grads=True, allow_unused=True
        )
    gradients = dict(zip(wanted, found, strict=True))
    return {"slope": slope.detach(), **gradients}


def reference_of(case: Case) -> dict[str, Tensor]:
    """The same without our functions: nearest lookups have no slope there."""
    if case.layout.interpolation == "nearest":
        names = ("slope", "table", "upstream", "coords")
        like = (case.coords, case.table, case.upstream, case.coords)
        return dict(zip(names, map(torch.zeros_like, like), strict=True))
    with implementation("reference"):
        return slope_gradients(case)


def second_order(case: Case) -> dict[str, Tensor]:
    """Gradients of a random sum of both first gradients and the values, by name."""
    layout = case.layout
    inputs = [tensor.detach().requires_grad_() for tensor in case[1:]]
    coords, table, upstream = inputs
    values = grid_lookup(coords, table, layout)
    first = torch.autograd.grad(values, (coords, table), upstream, create_graph=True)
    source = generator(0, "weights")
    weights = [torch.randn(g.shape, generator=source).to(g.device) for g in first]
    scalar = sum((g * w).sum() for g, w in zip(first, weights, strict=True))
    scalar = scalar + values.sum()
    names = ("coords", "table", "upstream")
    return dict(zip(names, torch.autograd.grad(scalar, inputs), strict=True))


@contextmanager
def in_one_order() -> Iterator[None]:
    """Tell PyTorch to sum in one order."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""Where Triton's programs run: interpreted on a CPU where there is no GPU."""


def in_triton(
    compute: Callable[[Case], dict[str, Tensor]], case: Case
) -> dict[str, Tensor]:
    """What a computation gives in Triton, on the GPU if there is one."""
    pytest.importorskip("triton")
    there = Case(case.layout, *(tensor.to(DEVICE) for tensor in case[1:]))
    with implementation("triton"):
        found = compute(there)
    assert used_implementations()["grid_lookup"] == "triton"
    return {name: tensor.to("cpu") for name, tensor in found.items()}
