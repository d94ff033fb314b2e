import math

import pytest
import torch

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.tangent.generalisation.label_energy import label_energy
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tolerances import LINEAR_ALGEBRA


def gaussian(seeded: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded, dtype=torch.float64)


def kernel_of(factor: torch.Tensor, **settings) -> DenseKernel:
    return DenseKernel(factor @ factor.T, **settings)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_energy_is_that_of_the_inverse(seeded, ridge: float):
    kernel = kernel_of(gaussian(seeded, 15, 40))
    targets, initial = gaussian(seeded, 2, 15, 1)
    found = label_energy(kernel, targets, initial, ridge=ridge)
    residual = targets - initial
    damped = kernel.matrix + ridge * torch.eye(15).double()
    wanted = float((residual * torch.linalg.solve(damped, residual)).sum())
    assert found.value == pytest.approx(wanted, rel=LINEAR_ALGEBRA)
    assert (found.rank, found.num_rows, found.method) == (15, 15, "eigensystem")
    assert found.relative_error < 1e-10
    assert found.smallest == pytest.approx(float(kernel.eigensystem.values[-1]))


def test_channels_that_share_a_kernel_add_their_energies(seeded):
    single = kernel_of(gaussian(seeded, 10, 30))
    targets = gaussian(seeded, 10, 3)
    each = [label_energy(single, targets[:, [c]]).value for c in range(3)]
    assert label_energy(single, targets).value == pytest.approx(sum(each))
    full = DenseKernel(torch.kron(single.matrix, torch.eye(3)), num_outputs=3)
    assert label_energy(full, targets).value == pytest.approx(sum(each))
    # Over the sum of channels the kernel is three times that of each.
    trace = DenseKernel(3 * single.matrix, outputs="trace")
    assert label_energy(trace, targets).value == pytest.approx(sum(each))


def test_singular_kernel_gives_no_energy_to_what_it_cannot_fit(seeded):
    factor = gaussian(seeded, 20, 5)
    kernel = kernel_of(factor)
    inside, outside = factor @ gaussian(seeded, 5, 1), gaussian(seeded, 20, 1)
    fitted = label_energy(kernel, inside)
    weights = torch.linalg.lstsq(factor, inside).solution
    assert fitted.value == pytest.approx(float(weights.square().sum()))
    assert fitted.outside == pytest.approx(0, abs=1e-7)
    found = label_energy(kernel, outside)
    assert found.value == math.inf
    assert (found.rank, found.smallest) == (5, 0)
    projected = factor @ torch.linalg.lstsq(factor, outside).solution
    share = float((outside - projected).norm() / outside.norm())
    assert found.outside == pytest.approx(share)
    assert f"{100 * share:.2g} % of the norm outside" in str(found)


def test_pseudo_inverse_would_call_the_hard_labels_easy(seeded):
    """The trap: dropping what cannot be fitted makes noise cheaper than a signal."""
    factor = gaussian(seeded, 20, 2)
    kernel = kernel_of(factor)
    signal = 3 * factor[:, :1]
    noise = gaussian(seeded, 20, 1)
    pseudo = torch.linalg.pinv(kernel.matrix, hermitian=True)
    assert (noise.T @ pseudo @ noise) < (signal.T @ pseudo @ signal)
    assert label_energy(kernel, signal).value < label_energy(kernel, noise).value


def test_ridge_is_recorded_and_makes_it_finite(seeded):
    kernel = kernel_of(gaussian(seeded, 20, 5))
    found = label_energy(kernel, gaussian(seeded, 20, 1), ridge=0.1)
    assert math.isfinite(found.value)
    assert found.ridge == 0.1
    assert "ridge 0.1" in str(found)


def test_labels_that_the_field_has_already_cost_nothing(seeded):
    kernel = kernel_of(gaussian(seeded, 20, 5))
    labels = gaussian(seeded, 20, 1)
    found = label_energy(kernel, labels, labels)
    assert (found.value, found.outside) == (0, 0)


def test_doubtful_energies_say_so():
    """An eigenvalue near rounding carries an error of its own size into the energy."""
    values = torch.tensor([1.0, 1e-14], dtype=torch.float64)
    found = label_energy(DenseKernel(torch.diag(values)), torch.ones(2, 1))
    assert found.value == pytest.approx(1e14)
    assert 0.01 < found.relative_error < 1


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_solver_gives_the_same_energy(seeded, ridge: float):
    kernel = kernel_of(gaussian(seeded, 12, 30), num_outputs=2)
    targets, initial = gaussian(seeded, 2, 6, 2)
    damped = kernel.matrix + ridge * torch.eye(12).double()
    found = label_energy(
        kernel,
        targets,
        initial,
        ridge=ridge,
        solve=lambda columns: torch.linalg.solve(damped, columns),
    )
    wanted = label_energy(kernel, targets, initial, ridge=ridge)
    assert found.value == pytest.approx(wanted.value, rel=LINEAR_ALGEBRA)
    assert (found.method, found.rank, found.smallest) == ("solver", None, None)
    assert str(found).endswith("ridge)") or "ridge 0.3" in str(found)


def test_solver_that_did_not_solve_is_refused(seeded):
    kernel = kernel_of(gaussian(seeded, 12, 5))
    pseudo = torch.linalg.pinv(kernel.matrix, hermitian=True)
    with pytest.raises(NumericalError, match="singular for these labels"):
        label_energy(kernel, gaussian(seeded, 12, 1), solve=lambda c: pseudo @ c)
    trace = DenseKernel(kernel.matrix, outputs="trace")
    with pytest.raises(ShapeError, match="sum of 3 channels"):
        label_energy(trace, gaussian(seeded, 12, 3), solve=lambda c: pseudo @ c)


def test_labels_that_do_not_fit_are_refused(seeded):
    kernel = kernel_of(gaussian(seeded, 12, 30))
    with pytest.raises(ShapeError, match="expected shape"):
        label_energy(kernel, torch.zeros(11, 1))
    with pytest.raises(ShapeError, match="finite"):
        label_energy(kernel, torch.full((12, 1), math.nan))


def test_labels_in_the_range_are_seen_in_single_precision(seeded):
    factor = gaussian(seeded, 40, 5).float()
    kernel = kernel_of(factor)
    weights = gaussian(seeded, 5, 1).float()
    found = label_energy(kernel, factor @ weights)
    assert found.rank == 5
    assert found.value == pytest.approx(float(weights.square().sum()), rel=1e-3)
    assert label_energy(kernel, gaussian(seeded, 40, 1).float()).value == math.inf


@pytest.mark.parametrize("ridge", [-0.1, math.nan, math.inf])
def test_impossible_ridges_are_refused(seeded, ridge: float):
    kernel = kernel_of(gaussian(seeded, 6, 9))
    for solve in (None, lambda columns: columns):
        with pytest.raises(ConfigError, match="finite number >= 0"):
            label_energy(kernel, torch.ones(6, 1), ridge=ridge, solve=solve)


def test_ridge_that_rounding_hides_is_none(seeded):
    kernel = kernel_of(gaussian(seeded, 20, 5))
    hidden = 1e-18 * kernel.eigensystem.largest
    assert label_energy(kernel, gaussian(seeded, 20, 1), ridge=hidden).value == math.inf
