"""The grid lookup's Triton programs give the reference's numbers, first and second.

Without a GPU they are interpreted, which is slow: cases are few and small.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from tangrid.errors import ImplementationError, ShapeError
from tangrid.ops.accumulation import accumulate_into
from tangrid.ops.contract import (
    implementation,
    is_interpreted,
    used_implementations,
)
from tangrid.ops.grid_lookup import reference, triton_door, triton_gpu
from tangrid.ops.grid_lookup.hashing import HashFunction
from tangrid.ops.grid_lookup.layout import (
    INTERPOLATIONS,
    Convention,
    GridLayout,
    Interpolation,
    Storage,
    grid_layout,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    CONVENTIONS,
    STORAGES,
    UGLY,
    Case,
    case_of,
    layout_of,
    random_points,
    reference_of,
    results,
    second_order,
    slope_gradients,
)
from tests.tolerances import PARITY_FLOAT32, PARITY_HALF

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALVES = (torch.float16, torch.bfloat16)
HESSIANS = 2 * PARITY_FLOAT32
"""They carry the square of the finest scale, and its rounding."""


def run(compute: Callable[[Case], dict[str, Tensor]], case: Case) -> dict[str, Tensor]:
    """What a computation gives in Triton, on the GPU if there is one."""
    there = Case(case.layout, *(tensor.to(DEVICE) for tensor in case[1:]))
    with implementation("triton"):
        found = compute(there)
    assert used_implementations()["grid_lookup"] == "triton"
    return {name: tensor.to("cpu") for name, tensor in found.items()}


def assert_parity(case: Case, tolerance: float = PARITY_FLOAT32) -> None:
    with implementation("reference"):
        expected = results(case)
    assert_close(run(results, case), expected, tolerance)


@pytest.fixture
def ordered() -> Iterator[None]:
    """PyTorch is told to sum in one order."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_every_interpolation_agrees(dims: int, interpolation: Interpolation):
    place = dims + INTERPOLATIONS.index(interpolation)
    storage, convention = STORAGES[place % 3], CONVENTIONS[place % 2]
    layout = layout_of(dims, storage, convention, interpolation)
    case = case_of(layout, 1 + place % 3, random_points(UGLY, dims))
    assert_parity(case)
    assert_close(run(slope_gradients, case), reference_of(case), HESSIANS)


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
    assert_close(run(slope_gradients, case), reference_of(case), HESSIANS)


@pytest.mark.parametrize("count", [0, 1, 128, 129])
def test_every_number_of_points_agrees(count: int):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, 2, random_points(count, 2)))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("storage", ["hashed", "tiled"])
def test_addresses_are_the_references_to_the_bit(
    storage: Storage, convention: Convention
):
    """Also of points on the border of two cells, where the last bit decides."""
    layout = grid_layout(
        num_dims=2,
        num_levels=6,
        base_resolution=16,
        growth=2.9,
        log2_table_size=10,
        storage=storage,
        convention=convention,
    )
    for number, level in enumerate(layout.levels):
        nodes = (random_points(500, 2, number) * (level.resolution - 2)).long()
        borders = (nodes.double() + 1 - level.shift) / level.scale
        points = torch.cat((borders.float(), random_points(100, 2)))
        rows, weights = triton_door.corners(points.to(DEVICE), layout, number)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))
        expected = reference.corner_weights(points, layout, level)
        assert_close({"weights": weights.cpu()}, {"weights": expected})


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_positions_are_rounded_once(convention: Convention):
    """Weights along one axis are bits of positions: a product by itself would show."""
    layout = grid_layout(
        num_dims=1,
        num_levels=3,
        base_resolution=16,
        growth=8.1,
        convention=convention,
    )
    points = random_points(3000, 1)
    for number, level in enumerate(layout.levels):
        _, weights = triton_door.corners(points.to(DEVICE), layout, number)
        expected = reference.corner_weights(points, layout, level)
        assert torch.equal(weights.cpu(), expected)


@pytest.mark.parametrize("name", ["prime", "reversed-prime"])
def test_other_factors_are_the_references_to_the_bit(name: HashFunction):
    layout = hashed_by(name)
    points = random_points(200, 3)
    for number, level in enumerate(layout.levels):
        rows, _ = triton_door.corners(points.to(DEVICE), layout, number)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))


@pytest.mark.parametrize("name", ["base-convert", "rng"])
def test_hashes_without_factors_are_refused(name: HashFunction):
    layout = hashed_by(name)
    case = case_of(layout, 2, random_points(3, 3))
    with (
        implementation("triton"),
        pytest.raises(ImplementationError, match=f"hashed by '{name}'"),
    ):
        grid_lookup(case.coords.to(DEVICE), case.table.to(DEVICE), layout)


def hashed_by(name: HashFunction) -> GridLayout:
    return grid_layout(
        num_dims=3,
        num_levels=3,
        base_resolution=4,
        growth=3,
        log2_table_size=8,
        hash_function=name,
    )


@pytest.mark.parametrize("storage", STORAGES)
def test_addresses_outside_the_box_wrap_as_the_references(storage: Storage):
    """tiny-cuda-nn counts on; layouts can be told to wrap however far it goes."""
    layout = layout_of(3, storage, "tiny-cuda-nn", "linear")
    points = 6 * random_points(200, 3) - 3
    for number, level in enumerate(layout.levels):
        given = points.to(DEVICE), layout.wrapping, number
        rows, _ = triton_door.corners(*given)
        assert torch.equal(rows.cpu(), reference.corner_rows(points, layout, level))


def test_points_of_one_cell_agree():
    """A lost update would show."""
    coords = 0.5 + 1e-3 * random_points(300, 2)
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    assert_parity(case_of(layout, 2, coords))


def test_one_row_takes_every_point():
    layout = layout_of(2, "dense", "align-corners", "nearest")
    case = case_of(layout, 2, torch.zeros(600, 2))
    found = run(results, case)["gradient of table"]
    first = [level.offset for level in layout.levels]
    assert found.count_nonzero() == 2 * len(first)
    rows = case.upstream.double().sum(0).view(len(first), 2)
    assert_close({"rows": found[first].double()}, {"rows": rows})


def test_memory_order_does_not_matter():
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "quintic")
    case = case_of(layout, 2, random_points(UGLY, 3))
    transposed = Case(layout, *(tensor.T.contiguous().T for tensor in case[1:]))
    assert not transposed.coords.is_contiguous()
    assert_close(run(results, transposed), run(results, case))


def test_points_without_a_gradient_add_nothing():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 2))
    case.upstream[::2] = 0
    assert_parity(case)
    case.upstream[1] = torch.nan
    with implementation("reference"):
        expected = results(case)["gradient of table"].isnan()
    assert expected.any()
    assert torch.equal(run(results, case)["gradient of table"].isnan(), expected)


def test_a_buffer_takes_the_gradient_of_the_table():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(UGLY, 2))
    before = torch.ones_like(case.table)
    plain, of_slope = run(results, case), run(slope_gradients, case)
    buffer = before.clone().to(DEVICE)
    again = run(lambda there: slope_gradients(there, into=buffer), case)
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


def rounded(wide: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Results in float32 as they are to come from a table of half precision."""
    found = dict(wide)
    for name in found.keys() & {"gradient of table", "table"}:
        found[name] = wide[name].to(dtype)
    for name in found.keys() & {"values", "upstream"}:
        features = wide[name]
        if dtype == torch.bfloat16 and is_interpreted():
            # A GPU rounds to the nearest; the interpreter cuts off the last 16 bits.
            features = (features.view(torch.int32) & -0x10000).view(torch.float32)
        found[name] = features.to(dtype)
    return found


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("is_ordered", [False, True], ids=["any-order", "ordered"])
def test_tables_of_half_precision_agree(
    dtype: torch.dtype, is_ordered: bool, request: pytest.FixtureRequest
):
    if is_ordered:
        request.getfixturevalue("ordered")
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(UGLY, 2))
    case = case._replace(table=case.table.to(dtype), upstream=case.upstream.to(dtype))
    wide = case._replace(table=case.table.float(), upstream=case.upstream.float())
    for compute in (results, slope_gradients):
        found = run(compute, case)
        with implementation("reference"):
            expected = rounded(compute(wide), dtype)
        for name, value in expected.items():
            assert found[name].dtype == value.dtype, name
        assert_close(found, expected, PARITY_HALF)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_the_reference_takes_half_precision(dtype: torch.dtype):
    layout = layout_of(3, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 3))
    half = case._replace(table=case.table.to(dtype), upstream=case.upstream.to(dtype))
    with implementation("reference"):
        found = results(half)
        expected = results(
            half._replace(table=half.table.float(), upstream=half.upstream.float())
        )
    expected = {name: expected[name].to(found[name].dtype) for name in found}
    assert [value.dtype for value in found.values()] == [dtype, torch.float32, dtype]
    assert_same_bits(found, expected)


@pytest.mark.parametrize("choice", ["triton", "reference"])
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_half_precision_is_summed_in_float32(dtype: torch.dtype, choice):
    """A sixteenth, added 240 times to 256, would be lost each time."""
    layout = layout_of(2, "dense", "align-corners", "nearest")
    home = DEVICE if choice == "triton" else "cpu"
    coords = torch.zeros(241, 2, device=home)
    table = torch.zeros(layout.num_rows, 1, dtype=dtype, device=home).requires_grad_()
    with implementation(choice):
        values = grid_lookup(coords, table, layout)
    upstream = torch.full_like(values, 1 / 16)
    upstream[0] = 256
    (found,) = torch.autograd.grad(values, table, upstream)
    first = [level.offset for level in layout.levels]
    expected = torch.tensor(256 + 15.0).to(dtype)
    assert found[first].flatten().tolist() == [expected.item()] * len(first)


def test_one_order_gives_the_same_bits(ordered: None, monkeypatch: pytest.MonkeyPatch):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, 0.1 * random_points(200, 2))

    def everything() -> dict[str, Tensor]:
        return run(results, case) | run(slope_gradients, case)

    torch.use_deterministic_algorithms(False)
    expected = everything()
    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(triton_gpu, "push", None)
    found = everything()
    assert_close(found, expected)
    assert_same_bits(everything(), found)


@pytest.mark.parametrize("interpolation", ["linear", "quintic"])
def test_second_order_is_the_references(interpolation: Interpolation):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", interpolation)
    case = case_of(layout, 2, random_points(UGLY, 2))
    with implementation("reference"):
        expected = second_order(case)
    assert_close(run(second_order, case), expected, HESSIANS)


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
    assert_close(run(eikonal, case), expected, HESSIANS)


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
    assert_close(run(transformed, case), expected)


def test_accumulation_of_pieces_is_the_gradient_of_the_whole():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 2))
    expected = run(results, case)["gradient of table"]
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


def test_numba_leaves_half_precision_to_the_reference():
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "linear")
    case = case_of(layout, 2, random_points(UGLY, 2))
    table = case.table.half()
    values = grid_lookup(case.coords, table, layout)
    assert used_implementations()["grid_lookup"] == "reference"
    assert values.dtype == torch.float16
    full = grid_lookup(case.coords, table.float(), layout)
    assert used_implementations()["grid_lookup"] == "numba"
    assert_close({"values": values}, {"values": full.half()}, PARITY_HALF)
    with (
        implementation("numba"),
        pytest.raises(ImplementationError, match=r"table has dtype torch\.float16"),
    ):
        grid_lookup(case.coords, table, layout)


def test_an_import_needs_no_triton():
    code = (
        "import sys, tangrid, tangrid.ops.grid_lookup; print('triton' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
