import pytest
import torch

from tangrid.errors import ShapeError
from tangrid.ops.accumulation import accumulate_into, buffer_for
from tangrid.ops.contract import implementation
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import Case, case_of, layout_of, random_points, results


def a_case(channels: int = 2) -> Case:
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    return case_of(layout, channels, random_points(1000, 2))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_buffer_takes_the_gradient_in_its_place(channels: int):
    case = a_case(channels)
    table = case.table.requires_grad_()
    before = torch.randn_like(table)
    buffer = before.clone()
    values = grid_lookup(case.coords, table, case.layout, grad_into=buffer)
    (left,) = torch.autograd.grad(values, table, case.upstream, allow_unused=True)
    assert left is None
    expected = before + results(case)["gradient of table"]
    assert_close({"table": buffer}, {"table": expected})


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_pieces_of_a_batch_add_up_to_the_whole(channels: int):
    case = a_case(channels)
    table = case.table.requires_grad_()
    whole, pieces = torch.zeros_like(table), torch.zeros_like(table)
    with accumulate_into({table: whole}):
        grid_lookup(case.coords, table, case.layout).backward(case.upstream)
    with accumulate_into({table: pieces}):
        for coords, upstream in zip(
            case.coords.split(130), case.upstream.split(130), strict=True
        ):
            grid_lookup(coords, table, case.layout).backward(upstream)
    assert table.grad is None
    # Each level adds its points in the same order, cut or not.
    assert_same_bits({"table": pieces}, {"table": whole})


def test_coordinates_keep_their_gradient():
    case = a_case()
    table, coords = case.table.requires_grad_(), case.coords.requires_grad_()
    with accumulate_into({table: torch.zeros_like(table)}):
        values = grid_lookup(coords, table, case.layout)
    (found,) = torch.autograd.grad(values, coords, case.upstream)
    assert_same_bits({"coords": found}, {"coords": results(case)["gradient of coords"]})


def test_other_tables_are_left_alone():
    case = a_case()
    table, other = case.table.requires_grad_(), torch.zeros_like(case.table)
    buffer = torch.zeros_like(table)
    with accumulate_into({other: buffer}):
        grid_lookup(case.coords, table, case.layout).backward(case.upstream)
    assert table.grad is not None
    assert not buffer.any()


def test_the_reference_hands_its_gradient_to_autograd():
    case = a_case()
    table = case.table.requires_grad_()
    buffer = torch.zeros_like(table)
    with accumulate_into({table: buffer}), implementation("reference"):
        grid_lookup(case.coords, table, case.layout).backward(case.upstream)
    assert table.grad is not None
    assert not buffer.any()


def test_buffers_are_forgotten_outside():
    table, inner = torch.zeros(4, 2), torch.zeros(4, 2)
    outer = torch.zeros(4, 2)
    with accumulate_into({table: outer}):
        with accumulate_into({table: inner}):
            assert buffer_for(table) is inner
        assert buffer_for(table) is outer
    assert buffer_for(table) is None


@pytest.mark.parametrize(
    "buffer", [torch.zeros(3, 2), torch.zeros(2, 4).T, torch.zeros(4, 1)]
)
def test_a_buffer_unlike_its_table_is_refused(buffer: torch.Tensor):
    table = torch.zeros(4, 2)
    with (
        pytest.raises(ShapeError, match="expected a contiguous buffer of shape"),
        accumulate_into({table: buffer}),
    ):
        pass
    assert buffer_for(table) is None
