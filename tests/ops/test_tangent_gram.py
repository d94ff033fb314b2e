"""Gram matrices of gradients in tables: fast loops against the plain form."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.ops import implementation, used_implementations
from tangrid.ops.contract import single_threaded
from tangrid.ops.tangent_gram import list_nodes, overlap_product, tangent_gram
from tangrid.seeding import generator
from tests.tolerances import PARITY_FLOAT32, PARITY_FLOAT64

Side = tuple[Tensor, Tensor]


def side(
    seed: int, points: int, corners: int, channels: int, width: int, table: int
) -> Side:
    """Reads of few rows, so that points and corners share many of them."""
    source = generator(seed, "side")
    rows = torch.randint(table, (points, corners), generator=source)
    shape = (points, corners, channels, width)
    return rows, torch.randn(shape, generator=source, dtype=torch.float64)


def written_out(first: Side, second: Side, table: int) -> Tensor:
    """The definition, through a gradient in the whole table."""
    dense = []
    for rows, entries in (first, second):
        points, corners, channels, width = entries.shape
        gradient = torch.zeros(points, channels, table, width, dtype=torch.float64)
        for i in range(points):
            for k in range(corners):
                gradient[i, :, rows[i, k]] += entries[i, k]
        dense.append(gradient)
    return torch.einsum("ncto,meto->ncme", *dense)


def gram(first: Side, second: Side, *, lower: bool = False) -> Tensor:
    (_, entries), (_, others) = first, second
    shape = (entries.shape[0], entries.shape[2], others.shape[0], others.shape[2])
    out = torch.zeros(shape, dtype=entries.dtype)
    add(first, second, out, lower)
    return out


def add(first: Side, second: Side, out: Tensor, lower: bool = False) -> None:
    """Add a Gram matrix of two sides."""
    lists = list_nodes(second[0])
    places = lists.places_of(first[0])
    tangent_gram(places, first[1], lists, second[1], out=out, lower=lower)


@given(
    points=st.integers(1, 9),
    others=st.integers(1, 9),
    corners=st.integers(1, 4),
    channels=st.integers(1, 3),
    width=st.integers(1, 3),
    table=st.integers(1, 20),
    seed=st.integers(0, 5),
)
def test_both_forms_are_the_definition(
    points: int,
    others: int,
    corners: int,
    channels: int,
    width: int,
    table: int,
    seed: int,
):
    first = side(seed, points, corners, channels, width, table)
    second = side(seed + 10, others, 3, 2, width, table)
    wanted = written_out(first, second, table)
    assert torch.allclose(gram(first, second), wanted, rtol=PARITY_FLOAT64, atol=1e-12)
    with implementation("reference"):
        plain = gram(first, second)
    assert torch.allclose(plain, wanted, rtol=PARITY_FLOAT64, atol=1e-12)


@pytest.mark.parametrize("name", ["auto", "reference"])
def test_the_lower_half_is_that_of_the_whole(name: str):
    mine = side(0, 40, 4, 2, 2, 30)
    with implementation(name):
        whole, lower = gram(mine, mine), gram(mine, mine, lower=True)
    is_lower = torch.ones(40, 40).tril().bool()[:, None, :, None]
    assert torch.equal(lower, torch.where(is_lower, whole, 0.0))


def test_threads_do_not_change_the_bits():
    mine = side(0, 700, 8, 1, 4, 50)
    shared = gram(mine, mine)
    with single_threaded():
        assert torch.equal(gram(mine, mine), shared)
    assert used_implementations()["tangent_gram"] == "numba"


def test_float32():
    rows, entries = side(0, 60, 4, 1, 2, 30)
    exact = gram((rows, entries), (rows, entries))
    small = gram((rows, entries.float()), (rows, entries.float()))
    error = (small.double() - exact).norm() / exact.norm()
    assert error < PARITY_FLOAT32


def test_it_adds_to_what_is_there():
    mine = side(0, 5, 2, 1, 1, 4)
    out = torch.ones(5, 1, 5, 1, dtype=torch.float64)
    add(mine, mine, out)
    assert torch.allclose(out - 1, gram(mine, mine))


def test_nothing_in_common():
    (rows, entries), (others, more) = side(0, 5, 2, 1, 1, 4), side(1, 3, 2, 1, 1, 4)
    out = torch.zeros(5, 1, 3, 1, dtype=torch.float64)
    add((rows, entries), (others + 100, more), out)
    assert not out.any()


def test_shapes_are_checked():
    mine, other = side(0, 5, 2, 1, 1, 4), side(0, 5, 2, 1, 2, 4)
    with pytest.raises(ShapeError, match="widths 1 and 2"):
        gram(mine, other)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("name", ["auto", "reference"])
def test_products_are_those_of_the_overlap(width: int, name: str):
    source = generator(0, "product")
    rows, others = (
        torch.randint(40, (count, 4), generator=source) for count in (30, 50)
    )
    weights, more = (
        torch.randn(count, 4, width, generator=source).double() for count in (30, 50)
    )
    values = torch.randn(50, 2, 3, generator=source).double()
    matrices = []
    for reads, numbers in ((rows, weights), (others, more)):
        matrix = torch.zeros(len(reads), 40, 3, dtype=torch.float64)
        for i, k in torch.cartesian_prod(torch.arange(len(reads)), torch.arange(4)):
            matrix[i, reads[i, k]] += numbers[i, k]
        matrices.append(matrix)
    wanted = torch.einsum("nto,mto,mro->nro", *matrices, values)
    lists = list_nodes(others)
    with implementation(name):
        found = overlap_product(
            lists.places_of(rows), weights, lists, lists.listed(more), values
        )
    assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["auto", "reference"])
def test_nothing_is_read_where_nobody_writes(name: str):
    lists = list_nodes(torch.tensor([[3], [5]]))
    values = torch.tensor([torch.inf, torch.nan]).double().view(2, 1, 1)
    places = lists.places_of(torch.tensor([[4], [7]]))
    ones = torch.ones(2, 1, 1).double()
    with implementation(name):
        found = overlap_product(places, ones, lists, lists.listed(ones), values)
    assert found.tolist() == [[[0.0]], [[0.0]]]


def test_weights_are_one_for_all_or_one_for_each():
    rows = torch.zeros(2, 1, dtype=torch.int64)
    lists, weights = list_nodes(rows), torch.ones(2, 1, 3)
    values = torch.ones(2, 1, 4)
    with pytest.raises(ShapeError, match="one weight for all channels or 4"):
        overlap_product(lists.places, weights, lists, lists.listed(weights), values)


def test_threads_do_not_change_the_bits_of_products():
    source = generator(0, "threads")
    rows = torch.randint(900, (20_000, 4), generator=source)
    weights = torch.randn(20_000, 4, 1, generator=source).double()
    values = torch.randn(20_000, 1, 2, generator=source).double()
    lists = list_nodes(rows)
    places, listed = lists.places_of(rows), lists.listed(weights)
    shared = overlap_product(places, weights, lists, listed, values)
    with single_threaded():
        alone = overlap_product(places, weights, lists, listed, values)
    assert torch.equal(alone, shared)


def test_lists_hold_every_read_once():
    rows = torch.randint(20, (50, 3), generator=generator(0, "lists"))
    lists = list_nodes(rows)
    assert torch.equal(lists.nodes, torch.unique(rows))
    assert torch.equal(lists.order.sort().values, torch.arange(150))
    for node, (start, end) in enumerate(
        zip(lists.starts, lists.starts[1:], strict=False)
    ):
        points = lists.points[start:end]
        assert torch.equal(points, points.sort().values)
        assert (rows.flatten()[lists.order[start:end]] == lists.nodes[node]).all()
    assert torch.equal(lists.nodes[lists.places_of(rows)], rows)
    assert torch.equal(lists.places, lists.places_of(rows))
    assert (lists.places_of(rows + 100) == -1).all()
