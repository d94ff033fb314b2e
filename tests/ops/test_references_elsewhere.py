"""References run where their tensors are, on a second device as on the first."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tangrid.ops.contract import implementation
from tangrid.ops.mulfa_lookup.filters import NORMALISERS
from tangrid.ops.rbf_lookup import rbf_lookup
from tangrid.ops.rbf_lookup.radial import fading, radial_values, shared_values
from tangrid.ops.sine_residual import sine_residual
from tangrid.ops.tangent_gram import list_nodes, overlap_product, tangent_gram
from tangrid.seeding import generator
from tests.ops.mulfa_cases import case_of, read

Operator = Callable[..., Tensor]


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=generator(0, "elsewhere", *shape))


ROWS = torch.tensor([[0, 3, 1], [3, 3, 4], [2, 0, 4], [1, 4, 0]])


def radial_lookup(
    offsets: Tensor, shapes: Tensor, table: Tensor, frequencies: Tensor, rows: Tensor
) -> Tensor:
    values = radial_values(offsets, shapes, "inverse-quadric") * fading(offsets)
    return rbf_lookup(rows, shared_values(values), table, frequencies)


def gram(entries: Tensor, rows: Tensor) -> Tensor:
    lists = list_nodes(rows)
    count, _, channels, _ = entries.shape
    out = entries.new_zeros(count, channels, count, channels)
    places = lists.places_of(rows)
    tangent_gram(places, entries, lists, entries, out=out, lower=True)
    return out


def product(weights: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    lists = list_nodes(rows)
    listed = lists.listed(weights)
    return overlap_product(lists.places_of(rows), weights, lists, listed, values)


OPERATORS = {
    "rbf_lookup": (
        radial_lookup,
        (numbers(4, 3, 2), numbers(4, 3, 3), numbers(5, 2), numbers(2)),
        (ROWS,),
    ),
    "sine_residual": (sine_residual, (numbers(4, 3), numbers(3)), ()),
    "tangent_gram": (gram, (numbers(4, 3, 2, 2),), (ROWS,)),
    "overlap_product": (product, (numbers(4, 3, 1), numbers(4, 2, 2)), (ROWS,)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_run_where_their_tensors_are(name: str, pretend: torch.device):
    operator, floats, others = OPERATORS[name]
    with implementation("reference"):
        expected = operator(*floats, *others)
        found = operator(*(tensor.to(pretend) for tensor in (*floats, *others)))
    assert found.device == pretend
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("normaliser", NORMALISERS)
def test_the_kernel_function_runs_where_its_tensors_are(
    normaliser: str, pretend: torch.device
):
    case = case_of(2, normaliser=normaliser, layers=2, gates=3)
    with implementation("reference"):
        expected, found = read(case), read(case.to(pretend))
    assert found.device == pretend
    assert torch.equal(found.cpu(), expected)
