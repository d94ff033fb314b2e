"""Radial functions: formulas, widths, symmetry, derivatives."""

from typing import get_args

import pytest
import torch

from tangrid.errors import ShapeError
from tangrid.ops.rbf_lookup.radial import (
    Profile,
    fading,
    full_matrices,
    radial_values,
    shared_values,
)
from tangrid.seeding import generator

SIZES = {1: (1,), 2: (1, 2, 3), 3: (1, 3, 6)}


def offsets_and_shapes(dims: int, entries: int) -> tuple[torch.Tensor, torch.Tensor]:
    source = generator(0, "radial", dims, entries)
    offsets = torch.randn(5, 3, dims, generator=source, dtype=torch.float64)
    shapes = torch.rand(5, 3, entries, generator=source, dtype=torch.float64)
    if entries not in (1, dims):
        # Strong on the diagonal, which makes them positive definite.
        shapes = shapes * 0.3 + full_diagonal(dims)
    return offsets * 0.4, shapes


def full_diagonal(dims: int) -> torch.Tensor:
    rows, columns = torch.triu_indices(dims, dims)
    return (rows == columns).double()


@pytest.mark.parametrize("profile", get_args(Profile))
@pytest.mark.parametrize(("dims", "entries"), [(d, s) for d in SIZES for s in SIZES[d]])
def test_values_are_those_of_the_formula(profile: Profile, dims: int, entries: int):
    offsets, shapes = offsets_and_shapes(dims, entries)
    found = radial_values(offsets, shapes, profile)
    for n in range(5):
        for k in range(3):
            o, s = offsets[n, k], shapes[n, k]
            if entries in (1, dims):
                matrix = torch.diag(s.expand(dims))
            else:
                matrix = full_matrices(s, dims)
                assert torch.equal(matrix, matrix.T)
            wanted = 1 / (1 + o @ matrix @ o)
            if profile == "linear":
                wanted = (1 - (matrix @ o).abs()).clamp(min=0).prod()
            assert abs(found[n, k] - wanted) < 1e-14


@pytest.mark.parametrize("profile", get_args(Profile))
@pytest.mark.parametrize("entries", [1, 3, 6])
def test_they_are_1_at_the_centre_and_even(profile: Profile, entries: int):
    offsets, shapes = offsets_and_shapes(3, entries)
    assert torch.equal(
        radial_values(0 * offsets, shapes, profile), torch.ones(5, 3).double()
    )
    there, back = (radial_values(s * offsets, shapes, profile) for s in (1, -1))
    assert torch.equal(there, back)


def test_another_number_of_entries_is_refused():
    with pytest.raises(ShapeError, match="expected 1, 3 or 6 numbers per centre"):
        radial_values(torch.zeros(2, 2, 3), torch.ones(2, 2, 4), "linear")


def test_derivatives_are_exact():
    offsets, shapes = offsets_and_shapes(2, 3)
    leaves = (offsets.requires_grad_(), shapes.requires_grad_())

    def values(o: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return radial_values(o, s, "inverse-quadric") * fading(o)

    assert torch.autograd.gradcheck(values, leaves)
    assert torch.autograd.gradgradcheck(values, leaves)


def test_the_farthest_fades_out_with_its_slope():
    offsets = torch.tensor([[[0.1, 0.0], [0.0, 0.2], [0.3, 0.4]]], dtype=torch.float64)
    factors = fading(offsets.requires_grad_())
    assert factors[0, 2] == 0
    assert abs(factors[0, 0] - (1 - 0.04) ** 2) < 1e-15
    assert torch.equal(
        torch.autograd.grad(factors[0, 2], offsets)[0], torch.zeros(1, 3, 2).double()
    )


def test_neighbours_in_one_place_give_numbers():
    factors = fading(torch.zeros(2, 3, 2, requires_grad=True))
    assert factors.isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 1e-30])
def test_shares_sum_to_1_however_small_the_values(scale: float):
    values = scale * torch.rand(4, 3, generator=generator(0))
    shares = shared_values(values)
    assert (shares.sum(1) - 1).abs().max() < 1e-6
    leaf = torch.rand(4, 3, generator=generator(0)).double().requires_grad_()
    assert torch.autograd.gradcheck(shared_values, leaf)
    assert torch.equal(shared_values(torch.zeros(1, 2)), torch.zeros(1, 2))
