"""The fast grid lookup gives the reference's numbers, and the same on every run."""

import numba
import pytest
import torch
from torch import Tensor

from tangrid.errors import ImplementationError, ShapeError
from tangrid.ops.contract import (
    implementation,
    single_threaded,
    used_implementations,
)
from tangrid.ops.grid_lookup import numba_cpu
from tangrid.ops.grid_lookup.layout import Convention, Storage
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    LAYOUTS,
    UGLY,
    Case,
    case_of,
    layout_of,
    random_points,
    results,
)
from tests.tolerances import PARITY_FLOAT32


def assert_parity(case: Case) -> None:
    with implementation("numba"):
        found = results(case)
    assert used_implementations()["grid_lookup"] == "numba"
    with implementation("reference"):
        assert_close(found, results(case))


@pytest.mark.parametrize(
    "layout", LAYOUTS, ids=lambda choice: "-".join(map(str, choice))
)
def test_every_grid_agrees(layout: tuple):
    dims = layout[0]
    # The number of channels changes with the grid, so that each meets several.
    channels = 1 + LAYOUTS.index(layout) % 4
    assert_parity(case_of(layout_of(*layout), channels, random_points(UGLY, dims)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 8, 12])
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_every_number_of_channels_agrees(dims: int, channels: int):
    layout = layout_of(dims, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, channels, random_points(UGLY, dims)))


@pytest.mark.parametrize("channels", [4, 8, 12])
@pytest.mark.parametrize("storage", ["dense", "hashed", "tiled"])
def test_four_channels_at_once_are_four_channels(storage: Storage, channels: int):
    """Each channel is as if it were alone, whatever its neighbours hold."""
    layout = layout_of(3, storage, "align-corners", "smoothstep")
    case = case_of(layout, channels, random_points(300, 3))
    levels = len(layout.levels)
    upstream = case.upstream.view(-1, levels, channels)
    found = results(case)
    values = found["values"].view(-1, levels, channels)
    for channel in (0, 3, channels - 1):
        own = case._replace(
            table=case.table[:, channel : channel + 1],
            upstream=upstream[..., channel],
        )
        alone = results(own)
        mine = values[..., channel]
        assert_close({"values": mine}, {"values": alone["values"]})
        gradient = found["gradient of table"][:, channel : channel + 1]
        assert_close({"table": gradient}, {"table": alone["gradient of table"]})


@pytest.mark.parametrize("count", [1, 255, 256, 257, 5000])
def test_every_number_of_points_agrees(count: int):
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "smoothstep")
    assert_parity(case_of(layout, 2, random_points(count, 3)))


@pytest.mark.parametrize("storage", ["dense", "hashed", "tiled"])
@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "align-corners"])
def test_corners_of_the_box_agree(storage: Storage, convention: Convention):
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3)
    layout = layout_of(3, storage, convention, "linear")
    assert_parity(case_of(layout, 2, corners))


def test_points_of_one_cell_agree():
    """A thousand points add to the same rows; a lost update would show."""
    coords = 0.5 + 1e-3 * random_points(1000, 2)
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, 2, coords))


def test_one_row_takes_every_point():
    layout = layout_of(2, "dense", "align-corners", "nearest")
    case = case_of(layout, 2, torch.zeros(5000, 2))
    found = results(case)["gradient of table"]
    first = [level.offset for level in layout.levels]
    rows = case.upstream.double().sum(0).view(len(first), 2)
    assert torch.allclose(found[first].double(), rows, rtol=1e-5, atol=1e-4)
    assert found.count_nonzero() == 2 * len(first)


def test_no_points_give_no_features():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, torch.empty(0, 2))
    assert_parity(case)
    assert results(case)["values"].shape == (0, 8)
    assert not results(case)["gradient of table"].any()


def strided(tensor: Tensor) -> Tensor:
    """The same numbers in every second place of a longer tensor."""
    wide = torch.full((len(tensor), 2 * tensor.shape[1]), torch.nan)
    wide[:, ::2] = tensor
    view = wide[:, ::2]
    assert not view.is_contiguous()
    return view


def test_memory_order_does_not_matter():
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "quintic")
    case = case_of(layout, 2, random_points(UGLY, 3))
    scattered = Case(layout, *(strided(tensor) for tensor in case[1:]))
    assert_same_bits(results(scattered), results(case))
    transposed = Case(layout, *(tensor.T.contiguous().T for tensor in case[1:]))
    assert_same_bits(results(transposed), results(case))
    # Each order would be compiled anew, which takes many seconds.
    for kernel in (numba_cpu.coords_vjp_parallel, numba_cpu.table_vjp_parallel):
        assert len(kernel.signatures) <= 1


@pytest.fixture(params=[2, 4])
def big_case(request: pytest.FixtureRequest) -> Case:
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "smoothstep")
    return case_of(layout, request.param, random_points(20_000, 3))


def test_repeated_runs_have_the_same_bits(big_case: Case):
    first = results(big_case)
    for _ in range(5):
        assert_same_bits(results(big_case), first)


def test_threads_do_not_change_the_bits(big_case: Case):
    before = numba.get_num_threads()
    if before < 2:
        pytest.skip("numba has one thread here")
    try:
        numba.set_num_threads(1)
        one = results(big_case)
        numba.set_num_threads(2)
        two = results(big_case)
    finally:
        numba.set_num_threads(before)
    assert_same_bits(two, one)
    with single_threaded():
        assert_same_bits(results(big_case), one)


def test_float64_runs_in_the_reference(big_case: Case):
    coords, table = big_case.coords[:UGLY].double(), big_case.table.double()
    values = grid_lookup(coords, table, big_case.layout)
    assert values.dtype == torch.float64
    assert used_implementations()["grid_lookup"] == "reference"
    small = grid_lookup(coords.float(), table.float(), big_case.layout)
    assert_close({"values": small}, {"values": values.float()}, 30 * PARITY_FLOAT32)


def test_numba_refuses_what_it_cannot_run(big_case: Case):
    coords, table = big_case.coords.double(), big_case.table.double()
    with (
        implementation("numba"),
        pytest.raises(
            ImplementationError, match=r"coords has dtype torch\.float64"
        ) as at,
    ):
        grid_lookup(coords, table, big_case.layout)
    assert "table has dtype torch.float64" in str(at.value)
    assert "Use implementation('auto')" in str(at.value)


def test_wrong_shapes_are_refused(big_case: Case):
    layout, coords, table, _ = big_case
    with pytest.raises(ShapeError, match=r"expected shape \[n, 3\], got \[20000, 2\]"):
        grid_lookup(coords[:, :2], table, layout)
    with pytest.raises(ShapeError, match=r"expected shape \[n, 3\], got \[3\]"):
        grid_lookup(coords[0], table, layout)
    with pytest.raises(ShapeError, match=f"expected {layout.num_rows} rows"):
        grid_lookup(coords, table[1:], layout)
    with pytest.raises(ShapeError, match=r"of one dtype, .* got torch\.float32"):
        grid_lookup(coords, table.double(), layout)
