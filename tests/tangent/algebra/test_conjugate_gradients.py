"""Conjugate gradients equal Cholesky, and say so when they do not."""

import pytest
import torch

from tangrid.errors import ConfigError, ShapeError
from tangrid.tangent.algebra.conjugate_gradients import (
    conjugate_gradients,
    quadratic_form,
)
from tangrid.tangent.algebra.nystrom import pivoted_cholesky
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, columns, kernel_of

N = 120


def exact_solution(kernel: DenseKernel, b: torch.Tensor, ridge: float) -> torch.Tensor:
    matrix = kernel.matrix + ridge * torch.eye(N).double()
    return torch.cholesky_solve(b, torch.linalg.cholesky(matrix))


@pytest.mark.parametrize("rank", [0, 40])
@pytest.mark.parametrize("relative", [1e-1, 1e-3])
@pytest.mark.parametrize("name", SPECTRA)
def test_equals_cholesky(
    name: str, relative: float, rank: int, seeded: torch.Generator
):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 3, seeded)
    ridge = relative * float(kernel.diagonal().mean())
    control = pivoted_cholesky(kernel, rank, generator=seeded) if rank else None
    found = conjugate_gradients(kernel, b, ridge=ridge, approximation=control)
    exact = exact_solution(kernel, b, ridge)
    assert found.converged
    assert float(found.residuals.max()) <= 1e-8
    # The error of x is the residual's, times the condition number at most.
    assert torch.allclose(found.solution, exact, rtol=1e-5, atol=1e-7 / ridge)


@pytest.mark.parametrize("name", ["polynomial", "exponential"])
def test_preconditioner_saves_products(name: str, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 1, seeded)
    ridge = 1e-4 * float(kernel.diagonal().mean())
    control = pivoted_cholesky(kernel, 60, generator=seeded)
    plain = conjugate_gradients(kernel, b, ridge=ridge)
    better = conjugate_gradients(kernel, b, ridge=ridge, approximation=control)
    assert better.converged
    assert better.num_steps < plain.num_steps / 3


def test_columns_share_products_and_converge_alone(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["polynomial"](N), seeded), columns(N, 3, seeded)
    b[:, 1] = kernel.eigensystem.vectors[:, 0]
    b[:, 2] = 0.0
    ridge = 1e-2
    together = conjugate_gradients(kernel, b, ridge=ridge)
    alone = conjugate_gradients(kernel, b[:, :1], ridge=ridge)
    assert together.converged
    assert together.num_steps <= alone.num_steps + 1
    assert torch.allclose(together.solution[:, :1], alone.solution, rtol=1e-6)
    assert not together.solution[:, 2].any()


@pytest.mark.parametrize("rank", [0, 30])
def test_singular_kernel_predicts_what_is_in_its_range(
    rank: int, seeded: torch.Generator
):
    kernel = kernel_of(SPECTRA["rank five"](N), seeded)
    b = kernel @ columns(N, 2, seeded)
    control = pivoted_cholesky(kernel, rank, generator=seeded) if rank else None
    found = conjugate_gradients(kernel, b, approximation=control)
    assert found.converged
    assert torch.allclose(kernel @ found.solution, b, atol=1e-6)


def test_says_that_it_did_not_converge(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["polynomial"](N), seeded), columns(N, 1, seeded)
    short = conjugate_gradients(kernel, b, ridge=1e-4, max_steps=5)
    assert not short.converged
    assert short.num_steps == 5
    left = b - kernel @ short.solution - 1e-4 * short.solution
    share = float(left.norm() / b.norm())
    assert float(short.residuals[0]) == pytest.approx(share, rel=1e-9)
    singular = kernel_of(SPECTRA["rank five"](N), seeded)
    hopeless = conjugate_gradients(singular, b, max_steps=300)
    assert not hopeless.converged
    assert float(hopeless.residuals[0]) > 0.5


@pytest.mark.parametrize("most", [1, 3, 10, 500])
@pytest.mark.parametrize("name", ["polynomial", "exponential", "rank five"])
def test_bounds_hold_at_every_stage(name: str, most: int, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 2, seeded)
    ridge = 1e-4 * float(kernel.diagonal().mean())
    exact = float((b * exact_solution(kernel, b, ridge)).sum())
    control = pivoted_cholesky(kernel, 20, generator=seeded)
    for approximation in (None, control):
        found = quadratic_form(
            kernel, b, ridge=ridge, approximation=approximation, max_steps=most
        )
        assert found.lower <= exact <= found.upper
        if found.converged:
            assert found.error < 1e-6 * exact


def test_kernel_in_float32_widens_the_bounds(seeded: torch.Generator):
    values = SPECTRA["polynomial"](N)
    fine = kernel_of(values, seeded)
    rough, b = DenseKernel(fine.matrix.float()), columns(N, 1, seeded)
    ridge = 1e-2 * float(values.mean())
    exact = float((b * exact_solution(fine, b, ridge)).sum())
    found = quadratic_form(rough, b, ridge=ridge)
    assert found.lower <= exact <= found.upper
    assert found.error > 1e-9 * exact


def test_wrong_input_is_refused(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    with pytest.raises(ConfigError, match="expected a finite number >= 0, got -1"):
        conjugate_gradients(kernel, b, ridge=-1.0)
    with pytest.raises(ConfigError, match="bounded by one over it"):
        quadratic_form(kernel, b, ridge=0.0)
    with pytest.raises(ShapeError, match=r"expected shape \[120\] or \[120, r\]"):
        conjugate_gradients(kernel, b[:50])
