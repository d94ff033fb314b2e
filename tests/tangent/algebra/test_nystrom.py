"""Approximations from columns: their errors are known, and fall."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tangrid.errors import ConfigError, NumericalError
from tangrid.seeding import generator
from tangrid.tangent.algebra.nystrom import (
    NystromApproximation,
    nystrom,
    pivoted_cholesky,
)
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, columns, float64, kernel_of
from tests.tolerances import LINEAR_ALGEBRA

N = 120


def left_of(kernel: DenseKernel, found: NystromApproximation) -> torch.Tensor:
    return kernel.matrix - found.factor @ found.factor.T


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", SPECTRA)
def test_what_is_left_is_positive_and_its_trace_is_known(
    name: str, outputs: int, seeded: torch.Generator
):
    kernel = kernel_of(SPECTRA[name](N), seeded, num_outputs=outputs)
    scale = kernel.eigensystem.largest
    for rank in (6, 30, 90):
        found = pivoted_cholesky(kernel, rank, generator=seeded)
        left = left_of(kernel, found)
        assert found.rank <= rank
        assert torch.linalg.eigvalsh(left)[0] > -LINEAR_ALGEBRA * scale
        trace = float(left.diagonal().sum())
        assert found.trace_error == pytest.approx(trace, abs=LINEAR_ALGEBRA * scale)
        assert torch.allclose(
            found.residual_diagonal, left.diagonal(), atol=LINEAR_ALGEBRA * scale
        )


@pytest.mark.parametrize("name", ["polynomial", "exponential"])
def test_error_falls_like_the_best_there_is(name: str, seeded: torch.Generator):
    values = SPECTRA[name](N)
    kernel = kernel_of(values, seeded)
    for rank in (10, 20, 40):
        errors = [
            pivoted_cholesky(kernel, rank, generator=seeded).trace_error
            for _ in range(10)
        ]
        # No approximation of a third of that rank has less than this.
        best = float(values[rank // 3 :].sum())
        assert sum(errors) / len(errors) < best


def test_bounds_every_eigenvalue(seeded: torch.Generator):
    values = SPECTRA["polynomial"](N)
    kernel = kernel_of(values, seeded)
    found = pivoted_cholesky(kernel, 40, generator=seeded)
    below = torch.zeros(N).double()
    below[:40] = found.eigenvalues
    slack = LINEAR_ALGEBRA * float(values[0])
    assert (below <= values + slack).all()
    assert (values <= below + found.trace_error + slack).all()
    assert float(values[-1]) <= found.smallest_at_most


def test_draws_large_rows_first(seeded: torch.Generator):
    diagonal = torch.ones(50).double()
    diagonal[[7, 31]] = 1e6
    found = pivoted_cholesky(DenseKernel(torch.diag(diagonal)), 8, generator=seeded)
    assert set(found.points[:2].tolist()) == {7, 31}


def test_blocks_of_candidates_draw_as_one_by_one_would(seeded: torch.Generator):
    """Rejection leaves the distribution of the choice as it was."""
    # Two groups of equal points: once one of a group is chosen, nothing of it is left.
    matrix = torch.block_diag(torch.ones(6, 6), 2.0 * torch.ones(2, 2)).double()
    counts = torch.zeros(2)
    for _ in range(200):
        found = pivoted_cholesky(DenseKernel(matrix), 8, generator=seeded)
        assert found.rank == 2
        assert found.trace_error == pytest.approx(0.0, abs=LINEAR_ALGEBRA)
        counts[int(found.points[0] >= 6)] += 1
    # The trace of the groups is 6 and 4.
    assert counts[0] / 200 == pytest.approx(0.6, abs=0.15)


def test_exact_once_the_rank_is_reached(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["rank five"](N), seeded)
    found = pivoted_cholesky(kernel, 60, generator=seeded)
    assert found.rank == 5
    assert found.relative_error < LINEAR_ALGEBRA
    assert torch.allclose(left_of(kernel, found), torch.zeros(1).double(), atol=1e-12)


def test_tolerance_ends_early(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["exponential"](N), seeded)
    found = pivoted_cholesky(kernel, N, generator=seeded, tolerance=1e-2)
    assert found.relative_error <= 1e-2
    assert found.rank < 60


def test_chosen_points_are_reproduced(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["polynomial"](N), seeded, num_outputs=2)
    points = torch.tensor([3, 11, 50])
    found = nystrom(kernel, points)
    rows = (points[:, None] * 2 + torch.arange(2)).flatten()
    left = left_of(kernel, found)
    scale = kernel.eigensystem.largest
    assert left[rows].abs().max() < LINEAR_ALGEBRA * scale
    assert found.points.tolist() == [3, 11, 50]


def test_solves_with_a_ridge(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["polynomial"](N), seeded)
    found = pivoted_cholesky(kernel, 30, generator=seeded)
    b = columns(N, 2, seeded)
    x = found.solve(b, ridge=0.5)
    assert torch.allclose(found @ x + 0.5 * x, b, atol=1e-9)
    assert torch.allclose(
        found.eigenvectors.T @ (found @ found.eigenvectors),
        torch.diag(found.eigenvalues),
        atol=1e-9,
    )


@settings(max_examples=30)
@example(diagonal=[5e-324, 5e-324], rank=2, seed=132)
@given(
    diagonal=st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12),
    rank=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_diagonal_kernels_lose_exactly_what_was_chosen(
    diagonal: list[float], rank: int, seed: int
):
    values = float64(diagonal)
    found = pivoted_cholesky(
        DenseKernel(torch.diag(values)), rank, generator=generator(seed)
    )
    chosen = float(values[found.points].sum())
    assert found.trace_error == pytest.approx(float(values.sum()) - chosen, abs=1e-9)
    assert len(set(found.points.tolist())) == len(found.points) <= rank


def test_zero_kernel_needs_nothing(seeded: torch.Generator):
    found = pivoted_cholesky(
        DenseKernel(torch.zeros(4, 4).double()), 2, generator=seeded
    )
    assert (found.rank, found.relative_error) == (0, 0.0)
    b = columns(4, 1, seeded)
    assert torch.equal(found.solve(b, ridge=2.0), b / 2.0)


def test_wrong_choices_are_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](12), seeded, num_outputs=3)
    with pytest.raises(ConfigError, match="expected at least 3, the number of outputs"):
        pivoted_cholesky(kernel, 2, generator=seeded)
    for points in ([], [4], [-1], [1, 1]):
        with pytest.raises(ConfigError, match="different numbers from 0 to 3"):
            nystrom(kernel, torch.tensor(points, dtype=torch.int64))
    with pytest.raises(NumericalError, match="without negative numbers"):
        pivoted_cholesky(DenseKernel(-torch.eye(3)), 2, generator=seeded)
