"""What interpolation on a grid must obey, whatever the implementation."""

import pytest
import torch
from torch import Tensor

from tangrid.ops.contract import ImplementationName, implementation
from tangrid.ops.grid_lookup import reference
from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    GridLayout,
    GridLevel,
    Interpolation,
    grid_layout,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.grid_cases import LAYOUTS, layout_of, random_points

BOTH: tuple[ImplementationName, ...] = ("numba", "reference")


def name_of(choice: tuple) -> str:
    return "-".join(map(str, choice))


@pytest.mark.parametrize("choice", LAYOUTS[::3], ids=name_of)
def test_weights_are_a_partition_of_unity(choice: tuple):
    layout = layout_of(*choice)
    coords = torch.cat((random_points(100, choice[0]), torch.eye(choice[0])))
    for level in layout.levels:
        weights = reference.corner_weights(coords.double(), layout, level)
        assert (weights >= 0).all()
        assert torch.allclose(weights.sum(1), torch.ones(()).double(), atol=1e-12)
    for name in BOTH:
        with implementation(name):
            ones = grid_lookup(coords, torch.ones(layout.num_rows, 1), layout)
        assert torch.allclose(ones, torch.ones(()), atol=1e-6), name


def one_level(
    convention: Convention, interpolation: Interpolation, dims: int = 2
) -> GridLayout:
    return grid_layout(
        num_dims=dims,
        num_levels=1,
        base_resolution=6,
        growth=1.0,
        storage="dense",
        convention=convention,
        interpolation=interpolation,
    )


def node_coords(level: GridLevel, dims: int) -> tuple[Tensor, Tensor]:
    """Every node's integer place and where it lies, by the convention's own rule."""
    axis = torch.arange(level.resolution)
    nodes = torch.cartesian_prod(*[axis] * dims).view(-1, dims)
    if level.last_cell is None:  # tiny-cuda-nn
        return nodes, (nodes - 0.5) / (level.resolution - 1)
    return nodes, nodes / (level.resolution - 1)


def filled(layout: GridLayout, function) -> Tensor:
    """A table that holds a function's values at the nodes."""
    level = layout.levels[0]
    nodes, places = node_coords(level, layout.num_dims)
    table = torch.zeros(layout.num_rows, 1)
    table[reference.node_rows(nodes, level)] = function(places)[:, None]
    return table


def inner_points(convention: Convention, dims: int = 2) -> Tensor:
    """Points whose cells lie in the grid: staggered nodes end half a cell before 1."""
    last = 1.0 if convention == "align-corners" else 0.9
    return random_points(200, dims) * last


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "align-corners"])
def test_linear_interpolation_reproduces_multilinear_functions(
    convention: Convention, name: ImplementationName
):
    def function(x: Tensor) -> Tensor:
        return 0.3 - 1.2 * x[:, 0] + 0.7 * x[:, 1] + 2 * x[:, 0] * x[:, 1]

    layout = one_level(convention, "linear")
    coords = inner_points(convention)
    with implementation(name):
        found = grid_lookup(coords, filled(layout, function), layout)[:, 0]
    assert torch.allclose(found, function(coords), atol=2e-6)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("dims", [1, 3, 4])
def test_linear_functions_are_reproduced_in_any_dimension(
    dims: int, name: ImplementationName
):
    slopes = torch.linspace(-1, 2, dims)
    layout = one_level("align-corners", "linear", dims)
    coords = random_points(200, dims).requires_grad_()
    table = filled(layout, lambda x: x @ slopes + 0.5)
    with implementation(name):
        found = grid_lookup(coords, table, layout)[:, 0]
        (gradient,) = torch.autograd.grad(found.sum(), coords)
    assert torch.allclose(found, coords @ slopes + 0.5, atol=2e-6)
    assert torch.allclose(gradient, slopes.expand_as(coords), atol=2e-5)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", BOTH)
def test_nodes_have_their_own_values(
    name: ImplementationName, interpolation: Interpolation
):
    layout = one_level("align-corners", interpolation)
    level = layout.levels[0]
    nodes, places = node_coords(level, 2)
    table = torch.randn(layout.num_rows, 1)
    with implementation(name):
        found = grid_lookup(places, table, layout)
    expected = table[reference.node_rows(nodes, level)]
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_nearest_node_is_read():
    layout = one_level("align-corners", "nearest", dims=1)
    table = torch.arange(8.0)[:, None]
    coords = torch.tensor([0.0, 0.09, 0.11, 0.5, 0.91, 1.0])[:, None]
    for name in BOTH:
        with implementation(name):
            found = grid_lookup(coords, table, layout)[:, 0]
        assert found.tolist() == [0, 0, 1, 3, 5, 5], name


def derivatives(coords: Tensor, table: Tensor, layout: GridLayout) -> list[Tensor]:
    """Value, slope and curvature along axis 0."""
    coords = coords.requires_grad_()
    found = [grid_lookup(coords, table, layout)[:, 0]]
    for _ in range(2):
        if not found[-1].requires_grad:
            found.append(torch.zeros(len(coords)).double())
            continue
        (slope,) = torch.autograd.grad(
            found[-1].sum(), coords, create_graph=True, materialize_grads=True
        )
        found.append(slope[:, 0])
    return [tensor.detach() for tensor in found]


@pytest.mark.parametrize(
    ("interpolation", "smooth"), [("linear", 0), ("smoothstep", 1), ("quintic", 2)]
)
def test_smoothness_across_the_faces_of_cells(
    interpolation: Interpolation, smooth: int
):
    """Derivatives up to the promised order have no jump, the next one has."""
    layout = one_level("align-corners", interpolation)
    table = torch.randn(layout.num_rows, 1).double()
    face = torch.full((50, 2), 0.4, dtype=torch.float64)
    face[:, 1] = random_points(50, 1)[:, 0]
    step = torch.tensor([1e-9, 0.0])
    before = derivatives(face - step, table, layout)
    after = derivatives(face + step, table, layout)
    jumps = [float((a - b).abs().max()) for a, b in zip(after, before, strict=True)]
    assert max(jumps[: smooth + 1]) < 1e-4
    assert smooth == 2 or jumps[smooth + 1] > 0.1


@pytest.mark.parametrize("interpolation", ["smoothstep", "quintic"])
def test_smooth_interpolation_is_flat_at_nodes(interpolation: Interpolation):
    layout = one_level("align-corners", interpolation)
    _, places = node_coords(layout.levels[0], 2)
    coords = places.requires_grad_()
    table = torch.randn(layout.num_rows, 1)
    (slope,) = torch.autograd.grad(grid_lookup(coords, table, layout).sum(), coords)
    assert slope.abs().max() < 1e-3


def test_an_aligned_box_has_its_corners_at_nodes():
    layout = grid_layout(
        num_dims=1,
        num_levels=5,
        base_resolution=16,
        growth=2.0,
        storage="dense",
        convention="align-corners",
    )
    # 16 * 2^k exactly: rounding must not add a vertex.
    assert [level.resolution for level in layout.levels] == [16, 32, 64, 128, 256]
    ends = torch.tensor([[0.0], [1.0]])
    rows = torch.arange(float(layout.num_rows))[:, None]
    found = grid_lookup(ends, rows, layout)
    first = [level.offset for level in layout.levels]
    last = [level.offset + level.resolution - 1 for level in layout.levels]
    assert found.tolist() == [first, last]
