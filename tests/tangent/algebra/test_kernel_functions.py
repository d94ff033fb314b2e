"""Functions of a kernel from one Krylov space equal those from its eigenvectors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.seeding import generator
from tangrid.tangent.algebra.kernel_functions import (
    FunctionOfKernel,
    apply_function,
    descent_powers,
    exponential,
    whole_powers,
)
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, columns, float64, kernel_of
from tests.tolerances import LINEAR_ALGEBRA

N = 60
TIMES = [0.0, 0.5, 10.0, 1e3, 1e5]
STEPS = [0, 1, 2, 50, 1001, 100_000]


def true_errors(found: FunctionOfKernel, kernel: DenseKernel, b, factors):
    system = kernel.eigensystem
    exact = torch.stack([
        (system.vectors * row) @ system.coefficients(b) for row in factors
    ])
    return (found.values - exact).norm(dim=1) / b.norm(dim=0)


@pytest.mark.parametrize("name", SPECTRA)
def test_exponential_is_within_its_bound(name: str, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 2, seeded)
    times = [time / kernel.eigensystem.largest for time in TIMES]
    found = exponential(kernel, b, times)
    factors = torch.exp(-float64(times)[:, None] * SPECTRA[name](N))
    errors = true_errors(found, kernel, b, factors)
    assert found.converged
    assert (errors <= found.errors + LINEAR_ALGEBRA).all()


@pytest.mark.parametrize("name", SPECTRA)
def test_powers_are_those_of_simulated_descent(name: str, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 2, seeded)
    rate = 1.9 / kernel.eigensystem.largest
    found = descent_powers(kernel, b, [0, 1, 7, 200], rate=rate)
    left, simulated = b, []
    for step in range(201):
        if step in (0, 1, 7, 200):
            simulated.append(left)
        left = left - rate * (kernel @ left)
    errors = (found.values - torch.stack(simulated)).norm(dim=1) / b.norm(dim=0)
    assert found.converged
    assert (errors <= found.errors + LINEAR_ALGEBRA).all()


@pytest.mark.parametrize("name", SPECTRA)
def test_bound_holds_before_it_is_small(name: str, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA[name](N), seeded), columns(N, 1, seeded)
    values, rate = SPECTRA[name](N), 1.5 / kernel.eigensystem.largest
    for most in (2, 5, 10):
        found = descent_powers(kernel, b, STEPS, rate=rate, max_steps=most)
        exact = whole_powers(1.0 - rate * values, float64(STEPS))
        errors = true_errors(found, kernel, b, exact)
        assert found.num_steps <= most
        assert (errors <= found.errors + LINEAR_ALGEBRA).all()


def test_reports_that_it_did_not_converge(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["polynomial"](N), seeded), columns(N, 1, seeded)
    found = exponential(kernel, b, [100.0], max_steps=4)
    assert not found.converged
    assert float(found.errors.max()) > 1e-10


def test_large_times_leave_what_is_outside_of_the_range(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["rank five"](N), seeded), columns(N, 1, seeded)
    null = kernel.eigensystem.vectors[:, 5:]
    found = exponential(kernel, b, [1e4])
    assert torch.allclose(found.values[0], null @ (null.T @ b), atol=1e-7)


def test_any_function(seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 2, seeded)
    found = apply_function(kernel, b, lambda v: torch.stack([1.0 / v, v.sqrt()]))
    assert found.converged
    assert torch.allclose(kernel @ found.values[0], b, atol=1e-9)
    twice = apply_function(kernel, found.values[1], torch.sqrt)
    assert torch.allclose(twice.values[0], kernel @ b, atol=1e-9)


def test_column_of_zeros_stays_zero(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    b = columns(N, 2, seeded)
    b[:, 0] = 0.0
    found = exponential(kernel, b, [0.0, 1.0])
    assert not found.values[:, :, 0].any()
    assert torch.allclose(found.values[0], b, atol=1e-12)


def test_kernel_in_float32_says_what_it_lacks(seeded: torch.Generator):
    exact = kernel_of(SPECTRA["polynomial"](N), seeded)
    rough = DenseKernel(exact.matrix.float())
    b = columns(N, 1, seeded)
    times = [1.0 / exact.eigensystem.largest, 1e3 / exact.eigensystem.largest]
    found = exponential(rough, b, times)
    factors = torch.exp(-float64(times)[:, None] * SPECTRA["polynomial"](N))
    errors = true_errors(found, exact, b, factors)
    assert (errors <= found.errors).all()
    assert float(errors.max()) > 1e-9


@given(base=st.floats(-1.0, 1.0), step=st.integers(0, 40), other=st.integers(0, 40))
def test_whole_powers_multiply(base: float, step: int, other: int):
    bases = float64([base])
    both = whole_powers(bases, float64([step, other, step + other]))
    product = float(both[0] * both[1])
    assert product == pytest.approx(float(both[2]), rel=1e-12, abs=1e-300)
    assert float(both[0]) == pytest.approx(base**step, rel=1e-12, abs=1e-300)


def test_wrong_times_are_refused():
    kernel = DenseKernel(torch.eye(3).double())
    b = columns(3, 1, generator(0))
    with pytest.raises(ConfigError, match="finite numbers >= 0, got -1"):
        exponential(kernel, b, [1.0, -1.0])
    with pytest.raises(ConfigError, match="got none"):
        exponential(kernel, b, [])
    with pytest.raises(ConfigError, match="expected a positive rate"):
        descent_powers(kernel, b, [1], rate=0.0)
    with pytest.raises(NumericalError, match="2 / lambda_max = 2, got more"):
        descent_powers(kernel, b, [1], rate=2.5)


@pytest.mark.parametrize("most", [0, -1])
def test_nothing_comes_of_no_products(most: int, seeded: torch.Generator):
    kernel, b = kernel_of(SPECTRA["flat"](N), seeded), columns(N, 1, seeded)
    with pytest.raises(ConfigError, match="at least 1 product"):
        exponential(kernel, b, [1.0], max_steps=most)


def test_rate_is_held_against_eigenvalues_that_the_columns_hardly_see():
    values = torch.cat([torch.linspace(0.9, 1.0, 50).double(), float64([2.2])])
    b = torch.ones(51, 1).double()
    b[-1] = 1e-14
    with pytest.raises(NumericalError, match=r"2 / lambda_max = 0\.9091"):
        descent_powers(DenseKernel(values.diag()), b, [1000], rate=1.0)


def test_rate_that_was_not_found_stable_is_not_converged(seeded: torch.Generator):
    values = SPECTRA["flat"](N)
    kernel = kernel_of(values, seeded)
    b = kernel.eigensystem.vectors[:, -1:]
    rate = 1.99 / float(values[0])
    assert not descent_powers(kernel, b, [3], rate=rate, max_steps=2).converged
    found = descent_powers(kernel, b, [3], rate=rate)
    assert found.converged
    assert torch.allclose(found.values[0], (1.0 - rate) ** 3 * b, atol=1e-12)


def test_no_rows_and_no_columns_are_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    with pytest.raises(ShapeError, match="at least one row and one column"):
        exponential(kernel, torch.zeros(N, 0).double(), [1.0])
    with pytest.raises(ShapeError, match="at least one row and one column"):
        exponential(DenseKernel(torch.zeros(0, 0)), torch.zeros(0, 1), [1.0])
