"""Eigenvalues from either end: exact where they can be had, refused where not."""

import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.tangent.algebra import extreme_eigenvalues as module
from tangrid.tangent.algebra.extreme_eigenvalues import extreme_eigenvalues
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, float64, kernel_of
from tests.tolerances import LINEAR_ALGEBRA

N = 80


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch):
    """Treat kernels of a few dozen rows as too large to be dense."""
    monkeypatch.setattr(module, "DENSE_LIMIT", 20)
    monkeypatch.setattr(module, "_LANCZOS_FROM", 20)


@pytest.mark.parametrize("name", SPECTRA)
def test_all_of_them(name: str, seeded: torch.Generator):
    values = SPECTRA[name](N)
    found = kernel_of(values, seeded).eigenvalues()
    assert torch.allclose(found, values, atol=LINEAR_ALGEBRA * float(values[0]))
    upwards = kernel_of(values, seeded).eigenvalues(largest=False)
    assert (upwards.diff() >= 0).all()


@pytest.mark.parametrize("name", SPECTRA)
def test_leading_ones_by_lanczos(large: None, name: str, seeded: torch.Generator):
    values = SPECTRA[name](N)
    kernel = kernel_of(values, seeded)
    found = extreme_eigenvalues(kernel, 4, with_vectors=True)
    assert found.method == "lanczos"
    assert found.num_products < 500
    slack = LINEAR_ALGEBRA * float(values[0])
    assert (found.values - values[:4]).abs().max() < 1e-8 * float(values[0])
    assert found.vectors is not None
    left = kernel @ found.vectors - found.vectors * found.values
    assert torch.allclose(left.norm(dim=0), found.residuals, atol=slack)
    assert found.is_resolved.all()
    identity = torch.eye(4).double()
    assert torch.dist(found.vectors.T @ found.vectors, identity) < 1e-9


def test_residuals_bound_the_errors(large: None, seeded: torch.Generator):
    values = SPECTRA["polynomial"](N)
    found = extreme_eigenvalues(kernel_of(values, seeded), 5, tolerance=1e-5)
    slack = LINEAR_ALGEBRA * float(values[0])
    assert ((found.values - values[:5]).abs() <= found.residuals + slack).all()


def test_trailing_ones_of_a_kernel_with_few_of_them(
    large: None, seeded: torch.Generator
):
    values = torch.cat([torch.linspace(9.0, 5.0, N - 2), float64([0.5, 0.1])]).double()
    found = extreme_eigenvalues(kernel_of(values, seeded), 2, largest=False)
    assert found.method == "lanczos"
    assert torch.allclose(found.values, float64([0.1, 0.5]), atol=1e-8)
    assert found.is_resolved.all()


def test_trailing_ones_that_products_cannot_tell_are_refused(
    large: None, seeded: torch.Generator
):
    values = torch.logspace(4, -8, N, dtype=torch.float64)
    with pytest.raises(NumericalError, match="which is no estimate of it") as caught:
        extreme_eigenvalues(
            kernel_of(values, seeded), 1, largest=False, max_products=60
        )
    bound = float(str(caught.value).split("The smallest is at most ")[1].split(",")[0])
    assert bound >= 1e-8


def test_trailing_zeros_are_found_and_called_unresolved(
    large: None, seeded: torch.Generator
):
    kernel = kernel_of(SPECTRA["rank five"](N), seeded)
    found = extreme_eigenvalues(kernel, 3, largest=False)
    assert not found.is_resolved.any()
    assert found.values.abs().max() < found.resolution + found.residuals.max()


def test_dense_ones_have_resolution_as_error(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["exponential"](N), seeded)
    found = extreme_eigenvalues(kernel, 3, largest=False)
    assert found.method == "dense"
    assert found.resolution == pytest.approx(N * 2.0**-52)
    system = kernel.eigensystem
    again = extreme_eigenvalues(kernel, 3, largest=False, with_vectors=True)
    assert torch.equal(again.values, system.values.flip(0)[:3])
    assert again.vectors is not None
    assert torch.equal(again.vectors, system.vectors.flip(1)[:, :3])


def test_repeated_points_leave_nothing_to_resolve():
    matrix = torch.ones(6, 6).double()
    kernel = DenseKernel(matrix)
    assert kernel.eigenvalues(1).tolist() == pytest.approx([6.0])
    assert not extreme_eigenvalues(kernel, 5, largest=False).is_resolved.any()


def test_single_row_and_float32():
    assert DenseKernel(torch.full((1, 1), 3.0)).eigenvalues().tolist() == [3.0]
    found = extreme_eigenvalues(DenseKernel(torch.eye(4)), 2)
    assert found.resolution == pytest.approx(4 * 2.0**-23)


def test_wrong_numbers_are_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](10), seeded)
    for k in (0, 11):
        with pytest.raises(ConfigError, match="expected 1 to 10, the number of rows"):
            kernel.eigenvalues(k)
    other = DenseKernel(torch.ones(3, 2).double(), is_symmetric=False)
    with pytest.raises(ShapeError, match="Leave x2 out"):
        other.eigenvalues()
    broken = torch.eye(3)
    broken[1, 1] = math.nan
    with pytest.raises(NumericalError, match="gradients overflow"):
        DenseKernel(broken).eigenvalues()


def test_all_of_a_large_kernel_are_refused(large: None, seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](30), seeded)
    for ask in (kernel.eigenvalues, lambda: kernel.eigenvalues(30)):
        with pytest.raises(NumericalError, match="expected at most 20 rows"):
            ask()


@pytest.mark.slow
def test_all_eigenvalues_of_the_largest_dense_kernel():
    # A second difference has eigenvalues 2 - 2 cos(pi j / (n + 1)).
    rows = module.DENSE_LIMIT
    matrix = 2.0 * torch.eye(rows).double()
    off = -torch.ones(rows - 1).double()
    matrix += torch.diag(off, 1) + torch.diag(off, -1)
    numbers = torch.arange(rows, 0, -1).double()
    exact: Tensor = 2.0 - 2.0 * torch.cos(math.pi * numbers / (rows + 1))
    found = DenseKernel(matrix).eigenvalues()
    assert (found - exact).abs().max() < rows * 2.0**-52 * 4.0


def test_dense_matrix_steps_in_where_lanczos_fails(
    monkeypatch: pytest.MonkeyPatch, seeded: torch.Generator
):
    monkeypatch.setattr(module, "_LANCZOS_FROM", 20)
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    found = extreme_eigenvalues(kernel, 2, max_products=8)
    assert found.method == "dense"
    assert torch.allclose(found.values, SPECTRA["flat"](N)[:2], atol=LINEAR_ALGEBRA)


def test_advice_names_the_number_of_products(large: None, seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    with pytest.raises(NumericalError, match=r"extreme_eigenvalues\(max_products"):
        extreme_eigenvalues(kernel, 2, max_products=8)
