"""The Lanczos process keeps what the textbook promises."""

import math

import pytest
import torch

from tangrid.errors import NumericalError, ShapeError
from tangrid.tangent.algebra.krylov import LanczosProcess, lanczos
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tangent.known_spectra import SPECTRA, columns, kernel_of
from tests.tolerances import LINEAR_ALGEBRA


@pytest.mark.parametrize("name", SPECTRA)
def test_recurrence_and_orthogonality(name: str, seeded: torch.Generator):
    kernel = kernel_of(SPECTRA[name](60), seeded)
    for space in lanczos(kernel, columns(60, 3, seeded), 25):
        m = len(space)
        identity = torch.eye(m, dtype=torch.float64)
        assert torch.dist(space.basis.T @ space.basis, identity) < LINEAR_ALGEBRA
        inside = torch.diag(space.diagonal)
        inside += torch.diag(space.couplings[:-1], 1)
        inside += torch.diag(space.couplings[:-1], -1)
        rest = kernel.matrix @ space.basis - space.basis @ inside
        scale = float(space.diagonal.abs().max())
        assert rest[:, :-1].norm() < LINEAR_ALGEBRA * scale
        last = float(torch.linalg.vector_norm(rest[:, -1]))
        assert last == pytest.approx(space.next_coupling, abs=LINEAR_ALGEBRA * scale)


def test_columns_do_not_know_of_each_other(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["polynomial"](40), seeded)
    starts = columns(40, 3, seeded)
    together = lanczos(kernel, starts, 12)
    for column, space in enumerate(together):
        (alone,) = lanczos(kernel, starts[:, column : column + 1], 12)
        assert torch.allclose(space.ritz[0], alone.ritz[0], atol=1e-9)


def test_growing_in_turns_is_growing_at_once(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](40), seeded)
    starts = columns(40, 2, seeded)
    process = LanczosProcess(kernel, starts)
    for _ in range(4):
        process.advance(3)
    for turns, once in zip(process.spaces(), lanczos(kernel, starts, 12), strict=True):
        assert torch.equal(turns.diagonal, once.diagonal)
        assert torch.equal(turns.basis, once.basis)


@pytest.mark.parametrize(("name", "most"), [("identity", 1), ("rank five", 6)])
def test_ends_where_nothing_is_left_to_reach(
    name: str, most: int, seeded: torch.Generator
):
    kernel = kernel_of(SPECTRA[name](30), seeded)
    (space,) = lanczos(kernel, columns(30, 1, seeded), 20)
    assert len(space) <= most + 1
    assert space.is_exhausted


def test_full_space_has_all_eigenvalues(seeded: torch.Generator):
    values = SPECTRA["flat"](12)
    (space,) = lanczos(kernel_of(values, seeded), columns(12, 1, seeded), 50)
    assert len(space) == 12
    assert space.is_exhausted
    assert torch.allclose(space.ritz[0], values.flip(0), atol=1e-12)


@pytest.mark.parametrize("shift", [1e-3, 1e-1, 10.0])
def test_gauss_and_radau_enclose_the_quadratic_form(
    shift: float, seeded: torch.Generator
):
    values = SPECTRA["polynomial"](80)
    kernel = kernel_of(values, seeded)
    start = columns(80, 1, seeded)
    shifted = kernel.matrix + shift * torch.eye(80, dtype=torch.float64)
    exact = float((start * torch.linalg.solve(shifted, start)).sum())
    (space,) = lanczos(kernel, start, 8)
    below, above = (
        float((weights / (nodes + shift)).sum())
        for nodes, weights in (space.gauss, space.radau(0.0))
    )
    assert below < exact < above


def test_radau_has_its_node(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](30), seeded)
    (space,) = lanczos(kernel, columns(30, 1, seeded), 7)
    nodes, weights = space.radau(0.5)
    assert len(nodes) == 8
    assert float((nodes - 0.5).abs().min()) < LINEAR_ALGEBRA
    assert float(weights.sum()) == pytest.approx(space.start_norm**2)


def test_zero_start_reaches_nothing(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](10), seeded)
    starts = columns(10, 2, seeded)
    starts[:, 0] = 0.0
    empty, full = lanczos(kernel, starts, 4)
    assert (len(empty), len(full)) == (0, 4)
    assert empty.is_exhausted


def test_single_row():
    (space,) = lanczos(
        DenseKernel(torch.full((1, 1), 3.0).double()), torch.full((1, 1), 2.0), 5
    )
    assert space.ritz[0].tolist() == [3.0]
    assert space.start_norm == 2.0


def test_wrong_starts_are_refused(seeded: torch.Generator):
    kernel = kernel_of(SPECTRA["flat"](10), seeded)
    with pytest.raises(ShapeError, match=r"expected shape \[10\] or \[10, r\]"):
        lanczos(kernel, columns(9, 1, seeded), 3)
    with pytest.raises(ShapeError, match="got 1 of 10 that are not"):
        lanczos(kernel, torch.tensor([math.nan] + [1.0] * 9), 3)
    with pytest.raises(ShapeError, match=r"floating point numbers, got torch\.int64"):
        lanczos(kernel, torch.ones(10, 1, dtype=torch.int64), 3)
    other = DenseKernel(torch.ones(3, 2).double(), is_symmetric=False)
    with pytest.raises(ShapeError, match="Leave x2 out"):
        lanczos(other, columns(3, 1, seeded), 3)


def test_products_that_are_not_finite_are_refused(seeded: torch.Generator):
    kernel = DenseKernel(torch.full((4, 4), math.inf).double())
    with pytest.raises(NumericalError, match="gradients overflow"):
        lanczos(kernel, columns(4, 1, seeded), 3)
