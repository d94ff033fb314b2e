import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ShapeError
from tangrid.tangent import DenseKernel
from tangrid.tangent.dynamics.descent import GradientFlow
from tangrid.tangent.dynamics.frequency_residual import residual_by_frequency
from tangrid.tangent.dynamics.prediction import predict_training
from tangrid.tangent.spectra.lattice import Lattice
from tests.tolerances import LINEAR_ALGEBRA


def drawn(random: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("sizes", [(16,), (9,), (8, 12), (4, 5, 6)])
def test_squares_add_up_to_the_error(sizes: tuple[int, ...], seeded: torch.Generator):
    lattice = Lattice(sizes)
    residuals = drawn(seeded, 3, lattice.num_points, 2)
    found = residual_by_frequency(residuals, lattice)
    whole = residuals.square().mean((1, 2))
    assert torch.allclose(found.rms.square().sum(1), whole, rtol=LINEAR_ALGEBRA)


def test_a_wave_is_found_at_its_frequency(seeded: torch.Generator):
    lattice = Lattice((24, 18))
    x = lattice.coords()
    angle = 2 * math.pi * (3 * x[:, 0] + 4 * x[:, 1]) + 0.7
    residuals = torch.stack((angle.cos(), 0.5 * angle.cos()))[:, :, None]
    found = residual_by_frequency(residuals, lattice)
    assert found.at(5.0).tolist() == pytest.approx([0.5**0.5, 0.5**1.5])
    assert found.rms.square().sum(1).tolist() == pytest.approx([0.5, 0.125])
    assert found.shares[:, 5].tolist() == pytest.approx([1.0, 0.5])


def test_a_stationary_kernel_learns_each_frequency_at_its_own_pace(
    seeded: torch.Generator,
):
    """On a ring a shift-invariant kernel has waves for eigenvectors."""
    lattice = Lattice((20,))
    angle = 2 * math.pi * torch.arange(20, dtype=torch.float64) / 20
    row = (1 + angle.cos()) ** 2
    shifts = (torch.arange(20)[:, None] - torch.arange(20)) % 20
    kernel = DenseKernel(row[shifts])
    targets = drawn(seeded, 20, 1)
    flow, times = GradientFlow(0.05), [0.0, 1.0, 3.0]
    left = predict_training(kernel, targets, None, flow, times).residuals
    found = residual_by_frequency(left, lattice)
    paces = torch.fft.fft(row).real[:11].clamp(min=0)
    wanted = torch.exp(-0.05 * torch.tensor(times)[:, None] * paces)
    assert torch.allclose(found.shares, wanted, atol=1e-10)


def test_shells_can_be_chosen(seeded: torch.Generator):
    lattice = Lattice((16,))
    residuals = drawn(seeded, 1, 16, 1)
    edges = torch.tensor([0.5, 2.5, 8.5])
    fine, coarse = (
        residual_by_frequency(residuals, lattice),
        residual_by_frequency(residuals, lattice, edges),
    )
    assert coarse.rms.shape == (1, 2)
    wanted = fine.rms[0, 1:3].square().sum()
    assert float(coarse.rms[0, 0].square()) == pytest.approx(float(wanted))


def test_other_points_are_refused():
    with pytest.raises(ShapeError, match=r"\[t, 16, c\] on a lattice of \(16,\)"):
        residual_by_frequency(torch.zeros(1, 15, 1), Lattice((16,)))
