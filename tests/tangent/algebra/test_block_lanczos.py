"""Leading eigenpairs by blocks, where single vectors have the most trouble."""

import pytest
import torch

from tangrid.tangent.algebra import block_lanczos as module
from tangrid.tangent.algebra.block_lanczos import BLOCK, leading_pairs
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, kernel_of
from tests.tolerances import LINEAR_ALGEBRA

N = 150
SETTINGS = {"tolerance": 1e-10, "max_products": 2000}


@pytest.mark.parametrize("k", [1, 7, 40])
@pytest.mark.parametrize("name", SPECTRA)
def test_pairs_are_eigenpairs(name: str, k: int, seeded: torch.Generator):
    values = SPECTRA[name](N)
    kernel = kernel_of(values, seeded)
    found = leading_pairs(kernel, k, generator=seeded, **SETTINGS)
    scale = float(values[0])
    assert found.converged == k
    assert (found.values - values[:k]).abs().max() < LINEAR_ALGEBRA * scale
    left = kernel @ found.vectors - found.vectors * found.values
    assert left.norm(dim=0).max() < 1e-9 * scale
    identity = torch.eye(k).double()
    assert torch.dist(found.vectors.T @ found.vectors, identity) < LINEAR_ALGEBRA


def test_finds_every_copy_of_a_repeated_eigenvalue(seeded: torch.Generator):
    """A linear decoder gives every channel the same kernel: all eigenvalues repeat."""
    values = torch.arange(50, 0, -1).double()
    one = kernel_of(values, seeded).matrix
    kernel = DenseKernel(torch.kron(one, torch.eye(3).double()), num_outputs=3)
    found = leading_pairs(kernel, 10, generator=seeded, **SETTINGS)
    exact = values.repeat_interleave(3)[:10]
    assert torch.allclose(found.values, exact, atol=1e-9)


@pytest.mark.parametrize("copies", [6, 12, 24])
@pytest.mark.parametrize("k", [10, 30])
def test_leaves_no_copy_out_where_there_are_more_than_a_block(
    k: int, copies: int, seeded: torch.Generator
):
    # Without probing from new vectors, smaller eigenvalues take the place of copies.
    values = 1.0 / torch.arange(1, 1 + 240 // copies).double()
    values = values.repeat_interleave(copies)
    found = leading_pairs(
        kernel_of(values, seeded), k, generator=seeded, tolerance=1e-6, max_products=900
    )
    assert found.converged == k
    assert torch.allclose(found.values, values[:k], atol=1e-9)


def test_a_copy_that_cannot_be_followed_is_not_passed_over(seeded: torch.Generator):
    values = (1.0 / torch.arange(1, 11).double()).repeat_interleave(24)
    kernel = kernel_of(values, seeded)
    found = leading_pairs(kernel, 10, generator=seeded, tolerance=1e-6, max_products=64)
    assert found.converged < 10


def test_says_how_many_have_converged(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](N), seeded)
    found = leading_pairs(
        kernel, 5, generator=seeded, tolerance=1e-10, max_products=2 * BLOCK
    )
    assert found.num_products == 2 * BLOCK
    assert found.converged < 5


def test_all_of_a_small_kernel(seeded: torch.Generator):
    values = SPECTRA["flat"](5)
    found = leading_pairs(kernel_of(values, seeded), 5, generator=seeded, **SETTINGS)
    assert found.num_products == 5
    assert torch.allclose(found.values, values, atol=LINEAR_ALGEBRA)


def test_small_blocks_need_fewer_products_where_eigenvalues_lie_close(
    monkeypatch: pytest.MonkeyPatch, seeded: torch.Generator
):
    values = 1.0 / (1.0 + torch.arange(600).double() / 40.0)
    kernel = kernel_of(values, seeded)
    counts = {}
    for block in (1, BLOCK, 16):
        monkeypatch.setattr(module, "BLOCK", block)
        found = leading_pairs(
            kernel, 10, generator=seeded, tolerance=1e-8, max_products=600
        )
        assert found.converged == 10
        counts[block] = found.num_products
    assert 2 * counts[1] < counts[16]
    assert counts[BLOCK] < 0.75 * counts[16]
