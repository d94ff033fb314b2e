"""MulFAGrid's lookup as Triton programs, interpreted: they agree with the reference."""

import pytest
import torch
from torch import Tensor

from tangrid.errors import ImplementationError
from tangrid.ops.contract import implementation, used_implementations
from tangrid.ops.mulfa_lookup import FilterKernel, mulfa_lookup
from tangrid.ops.mulfa_lookup.filters import NORMALISERS
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import in_one_order, random_points
from tests.ops.mulfa_cases import (
    Case,
    assert_parity,
    case_of,
    read,
    results,
    results_in,
    scattered_in_memory,
)
from tests.tolerances import PARITY_HALF

pytest.importorskip("triton")

from tangrid.ops.mulfa_lookup import triton_door

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def small_case(dims: int, **choices: object) -> Case:
    """A dense level and a hashed one: every instance takes the interpreter a while."""
    return case_of(dims, **({"num_levels": 2} | choices))


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize(("dims", "outputs"), [(1, 1), (2, 3)])
def test_every_normaliser_agrees(dims: int, outputs: int, normaliser: str):
    case = small_case(dims, channels=3, outputs=outputs, gates=5, normaliser=normaliser)
    assert_parity(case, "triton", DEVICE)


@pytest.mark.parametrize(
    ("dims", "layers", "gates", "channels"),
    [(1, 2, 3, 1), (2, 2, 16, 2), (3, 1, 2, 4), (2, 3, 5, 1), (4, 1, 1, 2)],
)
def test_every_network_agrees(dims: int, layers: int, gates: int, channels: int):
    case = small_case(dims, channels=channels, outputs=1, gates=gates, layers=layers)
    assert_parity(case, "triton", DEVICE)


GRIDS = [
    {"interpolation": "nearest"},
    {"interpolation": "smoothstep", "convention": "align-corners"},
    {"interpolation": "quintic", "storage": "dense"},
    {"interpolation": "linear", "storage": "tiled"},
    {"interpolation": "nearest", "convention": "align-corners", "storage": "dense"},
    {"units": "normalised", "num_frequencies": 10},
    {"num_frequencies": 1},
]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("dims", [1, 2])
def test_every_grid_agrees(dims: int, grid: dict):
    assert_parity(
        small_case(dims, gates=3, normaliser="lin_centred", **grid), "triton", DEVICE
    )


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_levels_without_a_kernel_agree(interpolation: str):
    case = small_case(2, gates=2, outputs=1, interpolation=interpolation)
    coarsest = FilterKernel(*(tensor[:1] for tensor in case.kernel))
    assert_parity(case._replace(kernel=coarsest), "triton", DEVICE)


@pytest.mark.parametrize("count", [0, 1, 64, 200])
def test_every_number_of_points_agrees(count: int):
    assert_parity(small_case(1, coords=random_points(count, 1)), "triton", DEVICE)


def test_points_of_one_cell_agree():
    case = small_case(2, coords=0.5 + 1e-3 * random_points(100, 2), gates=2)
    assert_parity(case, "triton", DEVICE)


@pytest.mark.parametrize("convention", ["tiny-cuda-nn", "align-corners"])
def test_corners_of_the_box_agree(convention: str):
    grid = torch.tensor([0.0, 0.5, 1.0])
    coords = torch.cartesian_prod(grid, grid)
    assert_parity(small_case(2, coords=coords, convention=convention), "triton", DEVICE)


def test_large_phases_agree():
    """Of flat indices, for instance; in float32 they would be noise."""
    case = small_case(
        2, base_resolution=500, num_levels=1, frequency=1e5, num_frequencies=1
    )
    assert_parity(case, "triton", DEVICE)


def test_memory_order_does_not_matter():
    case = small_case(2, layers=2, gates=3)
    expected = results_in("triton", case, DEVICE)
    found = results_in("triton", scattered_in_memory(case.to(DEVICE)), DEVICE)
    if DEVICE.type == "cpu":
        assert_same_bits(found, expected)
    assert_close(found, expected)


def test_sums_of_many_blocks_are_added_in_pieces(monkeypatch: pytest.MonkeyPatch):
    case = small_case(1, coords=random_points(200, 1), gates=2)
    expected = results_in("triton", case, DEVICE)
    monkeypatch.setattr(triton_door, "_MOST_SUMS", 1)
    assert_close(results_in("triton", case, DEVICE), expected)


def ordered(case: Case) -> dict[str, Tensor]:
    with in_one_order():
        return results_in("triton", case, DEVICE)


@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_one_order_gives_the_same_sums(
    interpolation: str, monkeypatch: pytest.MonkeyPatch
):
    case = small_case(2, gates=2, outputs=1, interpolation=interpolation)
    coarsest = FilterKernel(*(tensor[:1] for tensor in case.kernel))
    case = case._replace(kernel=coarsest)
    with implementation("reference"):
        expected = results(case)
    # Nothing may be added in place, where no order is known.
    monkeypatch.setattr(triton_door.triton_gpu, "ADDED", None)
    found = ordered(case)
    assert_close(found, expected)
    assert_same_bits(ordered(case), found)


@pytest.mark.parametrize("has_kernel", [True, False])
def test_additions_are_listed_for_some_points_at_a_time(
    has_kernel: bool, monkeypatch: pytest.MonkeyPatch
):
    case = small_case(1, coords=random_points(200, 1), gates=2).to(DEVICE)
    needs = (True, True, *[has_kernel] * 7)
    pull_some, sizes = triton_door._pull_some, []

    def counted(launch: object, coords: Tensor, *more: object) -> None:
        sizes.append(len(coords))
        pull_some(launch, coords, *more)

    def found() -> tuple[Tensor, ...]:
        given = case.upstream, *case[2:5], *case[:2]
        with in_one_order():
            return triton_door.vjp(*given, grad_into=None, needs=needs)

    expected = found()
    monkeypatch.setattr(triton_door, "_MOST_LISTED", 1)
    monkeypatch.setattr(triton_door, "_pull_some", counted)
    for some, every in zip(found(), expected, strict=True):
        assert_close({"": some}, {"": every})
    assert len(sizes) > 1
    assert sum(sizes) == 200


@pytest.mark.parametrize("is_contiguous", [True, False])
def test_the_buffer_takes_the_gradient_of_the_table(is_contiguous: bool):
    case = small_case(1, gates=2).to(DEVICE)
    table = case.table.detach().requires_grad_()
    buffer = torch.ones_like(case.table)
    buffer = buffer if is_contiguous else buffer.T.contiguous().T
    with implementation("triton"):
        expected = results(case)["table"]
        values = mulfa_lookup(
            case.coords, table, case.kernel, *case[:2], grad_into=buffer
        )
        values.backward(case.upstream)
    assert table.grad is None
    assert_close({"table": buffer - 1}, {"table": expected})


@pytest.mark.parametrize("name", ["coords", "table", "kernel"])
def test_only_the_gradients_that_are_needed_are_made(name: str):
    case = small_case(1, gates=2).to(DEVICE)
    needs = [name == "coords", name == "table", *[name == "kernel"] * 7]
    with implementation("reference"):
        expected = [*results(case).values()][1:]
    found = triton_door.vjp(
        case.upstream, *case[2:5], *case[:2], grad_into=None, needs=tuple(needs)
    )
    for index, (grad, need) in enumerate(zip(found, needs, strict=True)):
        wanted = expected[index] if need else torch.empty(0, device=DEVICE)
        assert_close({name: grad}, {name: wanted})


def test_second_order_is_the_references():
    case = small_case(1, gates=2, interpolation="quintic").to(DEVICE)

    def slopes() -> Tensor:
        coords = case.coords.detach().requires_grad_()
        table = case.table.detach().requires_grad_()
        values = read(case._replace(coords=coords, table=table))
        (first,) = torch.autograd.grad(values, coords, case.upstream, create_graph=True)
        return torch.autograd.grad(first.square().sum(), table)[0]

    with implementation("triton"):
        found = slopes()
    with implementation("reference"):
        assert_close({"table": found}, {"table": slopes()})


def test_kernels_that_registers_do_not_hold_are_refused():
    for sizes in ({"gates": 65}, {"gates": 64, "channels": 16}):
        case = small_case(1, **sizes).to(DEVICE)
        with (
            implementation("triton"),
            pytest.raises(ImplementationError, match=r"has 6[45] gates and \d+ outpu"),
        ):
            read(case)


@pytest.mark.parametrize("is_ordered", [False, True])
def test_tables_of_half_precision_are_summed_in_float32(is_ordered: bool):
    case = small_case(2, gates=2, coords=random_points(40, 2))
    case = case._replace(kernel=FilterKernel(*(t[:1] for t in case.kernel)))
    half = case._replace(table=case.table.half(), upstream=case.upstream.half())
    wide = half._replace(table=half.table.float(), upstream=half.upstream.float())
    compute = ordered if is_ordered else lambda c: results_in("triton", c, DEVICE)
    found = compute(half)
    with implementation("reference"):
        expected, same = results(wide), results(half)
    for name in ("values", "table"):
        expected[name] = expected[name].half()
    assert {name: v.dtype for name, v in found.items()} == {
        name: v.dtype for name, v in expected.items()
    }
    assert_close(found, expected, PARITY_HALF)
    assert_same_bits(same, expected)


def test_interpreted_programs_are_not_chosen():
    case = small_case(1)
    mulfa_lookup(*case[2:5], *case[:2])
    assert used_implementations()["mulfa_lookup"] == "numba"
    with (
        implementation("triton"),
        pytest.raises(ImplementationError, match=r"coords has dtype torch\.float64"),
    ):
        read(case.double())
