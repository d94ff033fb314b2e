"""The grid lookup's Triton programs give the reference's numbers, first and second.

Without a GPU they are interpreted, which is slow: cases are few and small.
"""

import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from tangrid.errors import ImplementationError, ShapeError
from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import (
    implementation,
)
from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    Interpolation,
    Storage,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    CONVENTIONS,
    DEVICE,
    STORAGES,
    UGLY,
    Case,
    case_of,
    in_one_order,
    in_triton,
    layout_of,
    random_points,
    reference_of,
    results,
    second_order,
    slope_gradients,
)
from tests.tolerances import PARITY_FLOAT32

HESSIANS = 2 * PARITY_FLOAT32
"""They carry the square of the finest scale, and its rounding."""


def assert_parity(case: Case, tolerance: float = PARITY_FLOAT32) -> None:
    with implementation("reference"):
        expected = results(case)
    assert_close(in_triton(results, case), expected, tolerance)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_every_interpolation_agrees(dims: int, interpolation: Interpolation):
    place = dims + INTERPOLATIONS.index(interpolation)
    storage, convention = STORAGES[place % 3], CONVENTIONS[place % 2]
    layout = layout_of(dims, storage, convention, interpolation)
    case = case_of(layout, 1 + place % 3, random_points(UGLY, dims))
    assert_parity(case)
    assert_close(in_triton(slope_gradients, case), reference_of(case), HESSIANS)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("storage", STORAGES)
def test_corners_of_the_box_agree(storage: Storage, convention: Convention):
    points = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3)
    assert_parity(case_of(layout_of(3, storage, convention, "linear"), 2, points))


@pytest.mark.parametrize("channels", [3, 4, 6, 8])
def test_every_number_of_channels_agrees(channels: int):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, channels, random_points(UGLY, 2))
    assert_parity(case)
    assert_close(in_triton(slope_gradients, case), reference_of(case), HESSIANS)


@pytest.mark.parametrize("count", [0, 1, 128, 129])
def test_every_number_of_points_agrees(count: int):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, 2, random_points(count, 2)))


def test_points_of_one_cell_agree():
    """A lost update would show."""
    coords = 0.5 + 1e-3 * random_points(300, 2)
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, 2, coords))


def test_one_row_takes_every_point():
    layout = layout_of(2, "dense", "align-corners", "nearest")
    case = case_of(layout, 2, torch.zeros(600, 2))
    found = in_triton(results, case)["gradient of table"]
    first = [level.offset for level in layout.levels]
    assert found.count_nonzero() == 2 * len(first)
    rows = case.upstream.double().sum(0).view(len(first), 2)
    assert_close({"rows": found[first].double()}, {"rows": rows})


def test_memory_order_does_not_matter():
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "quintic")
    case = case_of(layout, 2, random_points(UGLY, 3))
    transposed = Case(layout, *(tensor.T.contiguous().T for tensor in case[1:]))
    assert not transposed.coords.is_contiguous()
    assert_close(in_triton(results, transposed), in_triton(results, case))


def test_points_without_a_gradient_add_nothing():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 2))
    case.upstream[::2] = 0
    assert_parity(case)
    case.upstream[1] = torch.nan
    with implementation("reference"):
        expected = results(case)["gradient of table"].isnan()
    assert expected.any()
    assert torch.equal(in_triton(results, case)["gradient of table"].isnan(), expected)


def test_a_buffer_takes_the_gradient_of_the_table():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(UGLY, 2))
    before = torch.ones_like(case.table)
    plain, of_slope = in_triton(results, case), in_triton(slope_gradients, case)
    buffer = before.clone().to(DEVICE)
    again = in_triton(lambda there: slope_gradients(there, into=buffer), case)
    assert not again["table"].any()
    expected = {"table": before + of_slope["table"]}
    assert_close({"table": buffer.cpu()}, expected)
    for into in (
        before.to(DEVICE, torch.float64),
        before.T.clone().T.to(DEVICE),
    ):
        table = case.table.to(DEVICE).requires_grad_()
        with implementation("triton"):
            values = grid_lookup(case.coords.to(DEVICE), table, layout, grad_into=into)
        values.backward(case.upstream.to(DEVICE))
        assert table.grad is None
        expected = {"table": before + plain["gradient of table"]}
        assert_close({"table": into.float().cpu()}, expected)


def test_one_order_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, 0.1 * random_points(200, 2))

    def everything() -> dict[str, Tensor]:
        return in_triton(results, case) | in_triton(slope_gradients, case)

    expected = everything()
    programs = pytest.importorskip("tangrid.ops.grid_lookup.triton_gpu")
    monkeypatch.setattr(programs, "push", None)
    with in_one_order():
        found = everything()
        assert_same_bits(everything(), found)
    assert_close(found, expected)


@pytest.mark.parametrize("interpolation", ["linear", "quintic"])
def test_second_order_is_the_references(interpolation: Interpolation):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", interpolation)
    case = case_of(layout, 2, random_points(UGLY, 2))
    with implementation("reference"):
        expected = second_order(case)
    assert_close(in_triton(second_order, case), expected, HESSIANS)


def eikonal(case: Case) -> dict[str, Tensor]:
    """The gradient of a table, of how far slopes are from the length 1."""
    coords = case.coords.detach().requires_grad_()
    table = case.table.detach().requires_grad_()
    values = grid_lookup(coords, table, case.layout).sum(1)
    (slope,) = torch.autograd.grad(values.sum(), coords, create_graph=True)
    loss = (slope.norm(dim=1) - 1).square().mean() + values.square().mean()
    return {"table": torch.autograd.grad(loss, table)[0]}


def test_a_loss_of_slopes_has_the_references_gradient():
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(UGLY, 3))
    with implementation("reference"):
        expected = eikonal(case)
    assert_close(in_triton(eikonal, case), expected, HESSIANS)


def test_transforms_agree():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(9, 2))

    def transformed(case: Case) -> dict[str, Tensor]:
        def total(point: Tensor, table: Tensor) -> Tensor:
            return grid_lookup(point[None], table, layout).square().sum()

        def read(table: Tensor) -> Tensor:
            return grid_lookup(case.coords, table, layout)

        of_points = vmap(grad(total), in_dims=(0, None))(case.coords, case.table)
        of_table = vmap(grad(total, argnums=1), in_dims=(0, None))
        tables = torch.stack((case.table, 2 * case.table))
        return {
            "gradient of each point": of_points,
            "gradient of the table for each point": of_table(case.coords, case.table),
            "values of each table": vmap(read)(tables),
        }

    with implementation("reference"):
        expected = transformed(case)
    assert_close(in_triton(transformed, case), expected)


def test_accumulation_of_pieces_is_the_gradient_of_the_whole():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 2))
    expected = in_triton(results, case)["gradient of table"]
    table = case.table.to(DEVICE).requires_grad_()
    buffer = torch.zeros_like(table)
    with implementation("triton"), accumulate_into({table: buffer}):
        for part in torch.arange(UGLY).split(20):
            values = grid_lookup(case.coords[part].to(DEVICE), table, layout)
            values.backward(case.upstream[part].to(DEVICE))
    assert table.grad is None
    assert_close({"table": buffer.cpu()}, {"table": expected})


def test_what_it_cannot_run_is_refused():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    coords, table = (
        random_points(3, 2).to(DEVICE),
        case_of(layout, 2, random_points(3, 2)).table.to(DEVICE),
    )
    with implementation("triton"):
        with pytest.raises(
            ImplementationError, match=r"coords has dtype torch\.float64"
        ):
            grid_lookup(coords.double(), table.double(), layout)
        with pytest.raises(
            ImplementationError, match=r"coords has dtype torch\.float16"
        ):
            grid_lookup(coords.half(), table.half(), layout)
        with pytest.raises(ShapeError, match="or coords in float32"):
            grid_lookup(coords.half(), table, layout)


def test_an_import_needs_no_triton():
    code = (
        "import sys, tangrid, tangrid.ops.grid_lookup; print('triton' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
