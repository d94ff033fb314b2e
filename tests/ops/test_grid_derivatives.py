"""Derivatives of the grid lookup of every order and through every door of PyTorch."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, jacfwd, jacrev, jvp, vjp, vmap

from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import implementation
from tangrid.ops.grid_lookup import reference
from tangrid.ops.grid_lookup.layout import GridLayout, Interpolation, grid_layout
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    Case,
    case_of,
    layout_of,
    random_points,
    second_order,
)
from tests.tolerances import PARITY_FLOAT32

FORWARD_MODE = pytest.mark.filterwarnings(
    # PyTorch warns of itself when it first differentiates forward.
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)
SECOND_ORDER = 2 * PARITY_FLOAT32
"""Second derivatives carry the square of the finest scale, and its rounding."""


def inner_points(layout: GridLayout, count: int) -> Tensor:
    """Points away from the faces of all cells, where even weights have kinks."""
    points = random_points(4096, layout.num_dims).double()
    inside = torch.ones(len(points), dtype=torch.bool)
    for level in layout.levels:
        fraction = reference.scaled_position(points, level) % 1
        inside &= ((fraction > 0.02) & (fraction < 0.98)).all(1)
    chosen = points[inside][:count]
    assert len(chosen) == count
    return chosen


@pytest.fixture(params=["linear", "smoothstep", "quintic"])
def exact_case(request: pytest.FixtureRequest) -> Case:
    layout = layout_of(2, "hashed", "tiny-cuda-nn", request.param)
    case = case_of(layout, 2, inner_points(layout, 4))
    return case._replace(table=case.table.double(), upstream=case.upstream.double())


def test_first_derivatives_are_those_of_the_values(exact_case: Case):
    layout, coords, table, _ = exact_case
    inputs = (coords.requires_grad_(), table.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, t: grid_lookup(x, t, layout), inputs)


def test_second_derivatives_are_those_of_the_first(exact_case: Case):
    layout, coords, table, _ = exact_case
    inputs = (coords.requires_grad_(), table.requires_grad_())
    assert torch.autograd.gradgradcheck(
        lambda x, t: grid_lookup(x, t, layout), inputs, fast_mode=True
    )


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
@pytest.mark.parametrize("interpolation", ["linear", "smoothstep", "quintic"])
def test_second_order_of_numba_is_the_references(
    dims: int, interpolation: Interpolation
):
    layout = layout_of(dims, "hashed", "tiny-cuda-nn", interpolation)
    case = case_of(layout, 2, random_points(63, dims))
    with implementation("numba"):
        found = second_order(case)
    with implementation("reference"):
        assert_close(found, second_order(case), SECOND_ORDER)


def eikonal(coords: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """Distance of the gradient's length from 1, and of the value from 0."""
    coords = coords.detach().requires_grad_()
    values = grid_lookup(coords, table, layout).sum(1)
    (slope,) = torch.autograd.grad(values.sum(), coords, create_graph=True)
    return (slope.norm(dim=1) - 1).square().mean() + values.square().mean()


def curvature(coords: Tensor, table: Tensor, layout: GridLayout) -> Tensor:
    """Mean square of the Laplacian, plus how far the values are from 1."""
    coords = coords.detach().requires_grad_()
    values = grid_lookup(coords, table, layout).sum(1)
    (slope,) = torch.autograd.grad(values.sum(), coords, create_graph=True)
    laplacian = torch.zeros(len(coords), dtype=coords.dtype)
    for axis in range(layout.num_dims):
        (second,) = torch.autograd.grad(slope[:, axis].sum(), coords, create_graph=True)
        laplacian = laplacian + second[:, axis]
    return 1e-4 * laplacian.square().mean() + (values - 1).square().mean()


@pytest.fixture
def smooth_layout() -> GridLayout:
    return grid_layout(
        num_dims=3, num_levels=3, base_resolution=3, growth=1.5, interpolation="quintic"
    )


@pytest.mark.parametrize("loss", [eikonal, curvature])
def test_a_loss_of_derivatives_trains(smooth_layout: GridLayout, loss):
    coords = random_points(200, 3)
    table = torch.randn(smooth_layout.num_rows, 2).requires_grad_()
    value = loss(coords, table, smooth_layout)
    (found,) = torch.autograd.grad(value, table)
    exact = table.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(
        loss(coords.double(), exact, smooth_layout), exact
    )
    assert_close({"table": found}, {"table": expected.float()}, SECOND_ORDER)
    moved = table.detach() - 0.05 * found / found.norm()
    assert loss(coords, moved, smooth_layout) < value


@pytest.mark.parametrize("loss", [eikonal, curvature])
def test_a_loss_of_derivatives_accumulates(smooth_layout: GridLayout, loss):
    """The gradient inside the loss adds nothing to the buffer, the outer one does."""
    coords = random_points(200, 3)
    table = torch.randn(smooth_layout.num_rows, 2).requires_grad_()
    (expected,) = torch.autograd.grad(loss(coords, table, smooth_layout), table)
    buffer = torch.zeros_like(table)
    with accumulate_into({table: buffer}):
        value = loss(coords, table, smooth_layout)
        (rest,) = torch.autograd.grad(value, table, allow_unused=True)
    found = buffer if rest is None else buffer + rest
    assert_close({"table": found}, {"table": expected})


@pytest.fixture
def case() -> Case:
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    return case_of(layout, 2, random_points(17, 2))


def read(case: Case, coords: Tensor, table: Tensor | None = None) -> Tensor:
    return grid_lookup(coords, case.table if table is None else table, case.layout)


def test_reverse_transforms_agree_with_autograd(case: Case):
    coords = case.coords.clone().requires_grad_()
    table = case.table.clone().requires_grad_()
    expected = torch.autograd.grad(read(case, coords, table).sum(), (coords, table))

    def total(x: Tensor, t: Tensor) -> Tensor:
        return read(case, x, t).sum()

    found = grad(total, argnums=(0, 1))(case.coords, case.table)
    pull = vjp(lambda x, t: read(case, x, t), case.coords, case.table)[1]
    pulled = pull(torch.ones_like(case.upstream))
    names: list[str] = ["coords", "table"]
    by_name = dict(zip(names, expected, strict=True))
    assert_same_bits(dict(zip(names, found, strict=True)), by_name)
    assert_same_bits(dict(zip(names, pulled, strict=True)), by_name)


def test_vmap_of_grad_is_the_gradient_of_each_point(case: Case):
    def total(point: Tensor) -> Tensor:
        return (read(case, point[None])[0] * weights).sum()

    weights = case.upstream[0]
    found = vmap(grad(total))(case.coords)
    each = torch.stack([grad(total)(point) for point in case.coords])
    assert_same_bits({"coords": found}, {"coords": each})


def test_vmap_over_tables_reads_each(case: Case):
    tables = torch.stack([case.table, 2 * case.table, -case.table])
    found = vmap(lambda t: read(case, case.coords, t))(tables)
    each = torch.stack([read(case, case.coords, t) for t in tables])
    assert_close({"values": found}, {"values": each})
    sets = case.coords.expand(3, -1, -1).flip(1)
    both = vmap(lambda x, t: read(case, x, t))(sets, tables)
    assert_close({"values": both}, {"values": each.flip(1)})


def test_vmap_along_any_axis(case: Case):
    sets = torch.stack([case.coords, case.coords.flip(0), case.coords / 2], dim=1)
    found = vmap(lambda x: read(case, x), in_dims=1, out_dims=1)(sets)
    each = torch.stack([read(case, sets[:, k]) for k in range(3)], dim=1)
    assert_same_bits({"values": found}, {"values": each})


def test_gradients_of_a_table_for_each_point(case: Case):
    def value(table: Tensor, point: Tensor) -> Tensor:
        return read(case, point[None], table).sum()

    found = vmap(grad(value), in_dims=(None, 0))(case.table, case.coords)
    each = torch.stack([grad(value)(case.table, x) for x in case.coords])
    assert_close({"table": found}, {"table": each})


@FORWARD_MODE
@pytest.mark.parametrize("points", [17, 0])
def test_jacobians_agree_with_forward_mode(case: Case, points: int):
    coords = case.coords[:points]
    with implementation("numba"):
        found = jacrev(lambda x: read(case, x))(coords)
        of_table = jacrev(lambda t: read(case, coords, t))(case.table)
    with implementation("reference"):
        expected = jacfwd(lambda x: read(case, x))(coords)
        of_table_too = jacrev(lambda t: read(case, coords, t))(case.table)
    assert_close({"coords": found}, {"coords": expected})
    assert_close({"table": of_table}, {"table": of_table_too})


def test_jacobian_of_a_large_grid_needs_no_gradient_of_its_table():
    """A dense one for each of 160 outputs would be 20 GB."""
    layout = grid_layout(num_dims=2, num_levels=16, base_resolution=16, growth=1.5)
    table = torch.ones(layout.num_rows, 2).requires_grad_()
    coords = random_points(5, 2)
    jacobian = jacrev(lambda x: grid_lookup(x, table, layout))(coords)
    assert jacobian.shape == (5, 32, 5, 2)


@FORWARD_MODE
def test_fast_forward_mode_is_refused_loudly(case: Case):
    tangent = torch.ones_like(case.coords)
    with implementation("numba"):
        with pytest.raises(NotImplementedError):
            jvp(lambda x: read(case, x), (case.coords,), (tangent,))
        with pytest.raises(NotImplementedError):
            jacfwd(lambda t: read(case, case.coords, t))(case.table)


@FORWARD_MODE
def test_forward_mode_runs_in_the_reference(case: Case):
    tangent = torch.ones_like(case.coords)
    with implementation("reference"):
        found = jvp(lambda x: read(case, x), (case.coords,), (tangent,))[1]
    jacobian = jacrev(lambda x: read(case, x))(case.coords)
    assert_close({"values": found}, {"values": jacobian.sum((2, 3))})
