"""Tables of half precision are read and trained with sums in float32."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from tangrid.errors import ImplementationError
from tangrid.ops.contract import (
    implementation,
    is_interpreted,
    used_implementations,
)
from tangrid.ops.grid_lookup.operator import grid_lookup
from tests.ops.comparison import assert_close, assert_same_bits
from tests.ops.grid_cases import (
    DEVICE,
    UGLY,
    case_of,
    in_one_order,
    in_triton,
    layout_of,
    random_points,
    results,
    slope_gradients,
)
from tests.tolerances import PARITY_HALF

HALVES = (torch.float16, torch.bfloat16)


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
def test_tables_of_half_precision_agree(dtype: torch.dtype, is_ordered: bool):
    layout = layout_of(2, "hashed", "tiny-cuda-nn", "smoothstep")
    case = case_of(layout, 2, random_points(UGLY, 2))
    case = case._replace(table=case.table.to(dtype), upstream=case.upstream.to(dtype))
    wide = case._replace(table=case.table.float(), upstream=case.upstream.float())
    for compute in (results, slope_gradients):
        with in_one_order() if is_ordered else nullcontext():
            found = in_triton(compute, case)
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
    if choice == "triton":
        pytest.importorskip("triton")
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
