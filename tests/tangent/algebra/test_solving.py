"""Solutions equal what they should, and singular kernels are never silent."""

import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.seeding import generator
from tangrid.tangent.algebra.solving import solve_kernel
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, columns, float64, kernel_of

N = 60


@pytest.mark.parametrize("name", SPECTRA)
def test_three_ways_agree(name: str, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 2, seeded)
    ridge = 1e-2 * float(kernel.diagonal().mean())
    ways = [
        solve_kernel(kernel, b, ridge=ridge),
        solve_kernel(kernel, b, ridge=ridge, dense_limit=10, tolerance=1e-10),
    ]
    assert kernel.eigensystem.rank
    ways.append(solve_kernel(kernel, b, ridge=ridge))
    methods = ["cholesky", "conjugate gradients", "eigenvectors"]
    assert [way.method for way in ways] == methods
    exact = torch.linalg.solve(kernel.matrix + ridge * torch.eye(N).double(), b)
    for way in ways:
        assert torch.allclose(way.solution, exact, rtol=1e-6, atol=1e-8 / ridge)
        assert way.residual <= 1e-10
        assert way.ridge == ridge


@pytest.mark.parametrize("name", ["polynomial", "flat"])
def test_condition_numbers(name: str, seeded: torch.Generator):
    values = SPECTRA[name](N)
    kernel, b = kernel_of(values, seeded), columns(N, 1, seeded)
    exact = float((values[0] + 0.1) / (values[-1] + 0.1))
    estimate = solve_kernel(kernel, b, ridge=0.1)
    assert estimate.condition_is == "estimate"
    # The 1-norm's is within a factor of n of it, and here much closer.
    assert exact / 2 < estimate.condition < 20 * exact
    bound = solve_kernel(kernel, b, ridge=0.1, dense_limit=10)
    assert bound.condition_is == "upper bound"
    assert bound.condition >= exact
    assert kernel.eigensystem.rank == N
    known = solve_kernel(kernel, b, ridge=0.1)
    assert known.condition_is == "exact"
    assert known.condition == pytest.approx(exact, rel=1e-9)


@settings(max_examples=30)
@given(
    values=st.lists(st.floats(0.1, 10.0), min_size=1, max_size=8),
    ridge=st.floats(0.0, 2.0),
    seed=st.integers(0, 100),
)
def test_solving_undoes_multiplying(values: list[float], ridge: float, seed: int):
    draw = generator(seed)
    kernel, x = kernel_of(float64(values), draw), columns(len(values), 2, draw)
    b = kernel @ x + ridge * x
    assert torch.allclose(kernel.solve(b, ridge=ridge), x, atol=1e-9)
    assert kernel.solve(b[:, 0], ridge=ridge).shape == (len(values),)


def test_singular_kernel_with_a_side_in_its_range(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["rank five"](N), seeded)
    b = kernel @ columns(N, 2, seeded)
    with pytest.warns(NumericalWarning, match="rank 5 of 60"):
        found = solve_kernel(kernel, b)
    shortest = torch.linalg.lstsq(kernel.matrix, b, driver="gelsd", rcond=1e-10)
    assert torch.allclose(found.solution, shortest.solution, atol=1e-9)
    assert (found.method, found.rank, found.condition) == ("eigenvectors", 5, math.inf)
    assert found.residual < 1e-10


def test_singular_kernel_with_a_side_outside_is_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["rank five"](N), seeded)
    b = columns(N, 1, seeded)
    system = kernel.eigensystem
    outside = float((system.vectors[:, 5:].T @ b).norm())
    fresh = DenseKernel(kernel.matrix)
    with pytest.raises(NumericalError, match="rank 5 of 60 to working") as caught:
        fresh.solve(b)
    assert f"a part of norm {outside:.4g} " in str(caught.value)
    advised = float(str(caught.value).split("such as ")[1].split(",")[0])
    solved = fresh.solve(b, ridge=advised)
    left = b - fresh @ solved - advised * solved
    assert float(left.norm() / b.norm()) < 1e-6


def test_repeated_points(seeded: torch.Generator):
    features = columns(20, 30, seeded)
    features[7] = features[3]
    kernel, b = DenseKernel(features @ features.T), columns(20, 1, seeded)
    with pytest.raises(NumericalError, match="rank 19 of 20"):
        kernel.solve(b)
    b[7] = b[3]
    with pytest.warns(NumericalWarning, match="rank 19 of 20"):
        x = kernel.solve(b)
    assert torch.allclose(kernel @ x, b, atol=1e-9)
    assert float(x[7]) == pytest.approx(float(x[3]))


def test_nothing_is_added_silently(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = solve_kernel(kernel, b)
    assert found.ridge == 0.0
    assert torch.allclose(kernel @ found.solution, b, atol=1e-12)
    before = kernel.matrix.clone()
    kernel.solve(b, ridge=1.0)
    assert torch.equal(kernel.matrix, before)


def test_iteration_that_does_not_converge_is_refused(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["polynomial"](N), seeded), columns(N, 1, seeded)
    with pytest.raises(NumericalError, match="after 3 products with a preconditioner"):
        solve_kernel(kernel, b, ridge=1e-6, dense_limit=10, max_steps=3, rank=5)


def test_float32_counts_its_own_rounding(seeded: torch.Generator):
    fine = kernel_of(torch.logspace(0, -8, N, dtype=torch.float64), seeded)
    b = columns(N, 1, seeded)
    assert torch.allclose(fine @ fine.solve(b), b, atol=1e-6)
    rough = DenseKernel(fine.matrix.float())
    with pytest.raises(NumericalError, match="to working precision"):
        rough.solve(b.float())
    assert rough.solve(b.float(), ridge=0.1).dtype == torch.float32


def test_single_row_and_zero_side():
    kernel = DenseKernel(torch.full((1, 1), 4.0).double())
    assert kernel.solve(torch.ones(1).double()).tolist() == [0.25]
    assert kernel.solve(torch.zeros(1).double()).tolist() == [0.0]


def test_wrong_input_is_refused(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    with pytest.raises(ConfigError, match="expected a finite number >= 0"):
        kernel.solve(b, ridge=-1.0)
    with pytest.raises(ShapeError, match=r"expected shape \[60\] or \[60, r\]"):
        kernel.solve(b[:50])
    with pytest.raises(ShapeError, match=r"got torch\.int64"):
        kernel.solve(torch.ones(N, dtype=torch.int64))
    b[3] = math.nan
    with pytest.raises(ShapeError, match="got 1 of 60 that are not"):
        kernel.solve(b)
    broken = torch.eye(3).double()
    broken[0, 2] = math.inf
    with pytest.raises(NumericalError, match="gradients overflow"):
        DenseKernel(broken).solve(torch.ones(3).double())


@pytest.mark.parametrize("method", ["cholesky", "eigenvectors", "conjugate gradients"])
def test_residual_is_that_of_what_is_returned(method: str, seeded: torch.Generator):
    values = torch.linspace(1.0, 1e-3, N, dtype=torch.float64)
    kernel = DenseKernel(kernel_of(values, seeded).matrix.float())
    b = columns(N, 2, seeded).float()
    if method == "eigenvectors":
        assert kernel.eigensystem.rank == N
    limit = 10 if method == "conjugate gradients" else N
    found = solve_kernel(kernel, b, ridge=0.01, dense_limit=limit, tolerance=1e-5)
    left = b.double() - (kernel @ found.solution).double()
    left -= 0.01 * found.solution.double()
    true = (left.norm(dim=0) / b.double().norm(dim=0)).max()
    assert found.method == method
    assert found.residual == pytest.approx(float(true), rel=1e-6)


@pytest.mark.filterwarnings("ignore:kernel.solve")
def test_solutions_beyond_the_numbers_are_refused():
    kernel = DenseKernel(1e-310 * torch.eye(4).double())
    with pytest.raises(NumericalError, match="finite solution"):
        kernel.solve(torch.ones(4).double())


def test_a_zero_kernel_is_not_sent_to_a_ridge_of_zero():
    with pytest.raises(NumericalError, match="this one is zero"):
        DenseKernel(torch.zeros(3, 3).double()).solve(torch.ones(3).double())


def test_rank_of_zero_is_not_the_default(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    with pytest.raises(ConfigError, match="rank"):
        solve_kernel(kernel, b, ridge=1.0, dense_limit=10, rank=0)


def test_nothing_to_solve_is_refused(seeded: torch.Generator):
    with pytest.raises(ShapeError, match="at least one row and one column"):
        DenseKernel(torch.zeros(0, 0)).solve(torch.zeros(0))
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    with pytest.raises(ShapeError, match="at least one row and one column"):
        kernel.solve(torch.zeros(N, 0).double())
