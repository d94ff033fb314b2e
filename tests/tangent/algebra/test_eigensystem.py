"""Eigensystems: in order, judged by their rounding, and of kernels only."""

import pytest
import torch

from tangrid.errors import NumericalError
from tangrid.seeding import generator
from tangrid.tangent.algebra.eigensystem import eigensystem_of


def test_it_is_the_matrix_again():
    rows = torch.randn(9, 5, generator=generator(0, "rows"), dtype=torch.float64)
    matrix = rows @ rows.T
    found = eigensystem_of(matrix)
    again = found.vectors @ torch.diag(found.values) @ found.vectors.T
    assert torch.allclose(again, matrix, atol=1e-12)
    assert (found.values.diff() <= 0).all()
    assert found.rank == 5
    assert found.is_singular
    assert found.condition == float("inf")
    assert (found.clipped[5:] == 0).all()


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[1.0, 5.0], [0.0, 1.0]], "expected a symmetric matrix"),
        ([[1.0, 0.0], [0.0, -0.5]], "expected no eigenvalue below 0"),
        ([[1.0, float("nan")], [float("nan"), 1.0]], "expected finite numbers"),
    ],
)
def test_what_is_no_kernel_is_refused(matrix: list[list[float]], words: str):
    with pytest.raises(NumericalError, match=words):
        eigensystem_of(torch.tensor(matrix, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_below_zero_is_no_reason(dtype: torch.dtype):
    rows = torch.randn(200, 3, generator=generator(0, "rows")).to(dtype)
    found = eigensystem_of(rows @ rows.T)
    assert found.rank == 3
    assert found.smallest < found.resolution


def test_nothing_has_no_eigenvalues():
    found = eigensystem_of(torch.empty(0, 0, dtype=torch.float64))
    assert len(found) == found.rank == 0
