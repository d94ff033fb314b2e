import math

import pytest
import torch

from tangrid.errors import NumericalError, NumericalWarning
from tangrid.tangent import DenseKernel
from tangrid.tangent.dynamics.descent import Descent, GradientDescent, GradientFlow
from tangrid.tangent.dynamics.evolution import evolve_training
from tangrid.tangent.dynamics.prediction import predict_training
from tangrid.tangent.dynamics.regression import KernelRegression
from tests.tolerances import EXACT_DESCENT

WAYS: list[Descent] = [
    GradientFlow(0.3),
    GradientDescent(0.3),
    GradientDescent(0.3, momentum=0.7),
    GradientDescent(0.3, momentum=0.7, nesterov=True, ridge=0.05),
]
TIMES = [0, 3, 25, 100]


@pytest.fixture
def kernel(seeded: torch.Generator) -> DenseKernel:
    """Two outputs at 40 points, eigenvalues that fall from 4 as grids' do."""
    numbers = torch.randn(80, 80, generator=seeded, dtype=torch.float64)
    vectors = torch.linalg.qr(numbers)[0]
    values = 4.0 * torch.arange(1, 81, dtype=torch.float64) ** -1.5
    return DenseKernel((vectors * values) @ vectors.T, num_outputs=2)


@pytest.fixture
def targets(seeded: torch.Generator) -> torch.Tensor:
    return torch.randn(40, 2, generator=seeded, dtype=torch.float64)


@pytest.mark.parametrize("way", WAYS, ids=repr)
def test_products_say_what_eigenvectors_say(
    way: Descent, kernel: DenseKernel, targets: torch.Tensor
):
    initial = 0.1 * targets.flip(0)
    found = evolve_training(kernel, targets, initial, way, TIMES)
    exact = predict_training(kernel, targets, initial, way, TIMES)
    scale = float((targets - initial).norm())
    off = (found.residuals - exact.residuals).flatten(1).norm(dim=1) / scale
    assert off.max() < max(EXACT_DESCENT, found.error)
    assert torch.equal(found.times, exact.times)
    fit = KernelRegression(kernel, targets, initial, descent=way)
    assert torch.allclose(
        found.weights, fit.weights(TIMES), rtol=0, atol=EXACT_DESCENT * TIMES[-1]
    )
    # Of 80 dimensions; the space is not merely complete.
    assert found.num_products <= 60


def test_steps_need_no_more_products_than_there_are_steps(
    kernel: DenseKernel, targets: torch.Tensor
):
    way = GradientDescent(0.3)
    # Nine are exact, but the last few of ten do not know that yet.
    with pytest.warns(NumericalWarning, match="10 products"):
        found = evolve_training(kernel, targets, None, way, [8], max_products=10)
    exact = predict_training(kernel, targets, None, way, [8])
    assert torch.allclose(found.residuals, exact.residuals, rtol=0, atol=1e-13)


def test_channels_and_the_mean_of_a_trace(targets: torch.Tensor, kernel: DenseKernel):
    gram = kernel.to_dense()[:40, :40]
    traced = DenseKernel(2 * gram, outputs="trace")
    way = GradientDescent(0.3)
    found = evolve_training(traced, targets, None, way, TIMES)
    exact = predict_training(DenseKernel(gram), targets, None, way, TIMES)
    assert torch.allclose(found.residuals, exact.residuals, rtol=0, atol=EXACT_DESCENT)


def test_nothing_to_learn_stays_nothing(kernel: DenseKernel, targets: torch.Tensor):
    found = evolve_training(kernel, targets, targets, WAYS[0], TIMES)
    assert not found.residuals.any()
    assert torch.equal(found.outputs[0], targets)


def test_a_space_too_small_is_named(kernel: DenseKernel, targets: torch.Tensor):
    with pytest.warns(NumericalWarning, match="12 products reach an error of about"):
        found = evolve_training(
            kernel, targets, None, GradientFlow(0.3), [1e4], max_products=12
        )
    exact = predict_training(kernel, targets, None, GradientFlow(0.3), [1e4])
    off = (found.residuals - exact.residuals).norm() / targets.norm()
    assert 1e-10 < off < 10 * found.error


def test_limits_without_a_ridge_are_refused(kernel: DenseKernel, targets: torch.Tensor):
    with pytest.raises(NumericalError, match="finite times or a ridge"):
        evolve_training(kernel, targets, None, GradientFlow(1.0), math.inf)
    way = GradientFlow(1.0, ridge=0.1)
    found = evolve_training(kernel, targets, None, way, math.inf)
    exact = predict_training(kernel, targets, None, way, math.inf)
    assert torch.allclose(found.residuals, exact.residuals, rtol=0, atol=EXACT_DESCENT)


def test_divergence_is_named(kernel: DenseKernel, targets: torch.Tensor):
    with pytest.warns(NumericalWarning, match="diverge"):
        evolve_training(kernel, targets, None, GradientDescent(0.6), [4])
