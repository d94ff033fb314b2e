"""Plain perceptrons learn high frequencies last, as their tangent kernel says."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import EncodingConfig, FourierConfig, IdentityConfig
from tangrid.fields import EncodedFieldConfig
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.frequency_residual import residual_by_frequency
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.spectra.lattice import Lattice

LATTICE = Lattice((48,))
FREQUENCIES = (1, 3, 12)
MARKS = (0, 10, 100, 300, 600)


@dataclass(frozen=True)
class Trained:
    fit: KernelRegression
    residuals: Tensor

    def left(self, frequency: int) -> float:
        """Share of a wave that training left."""
        sizes = residual_by_frequency(self.residuals, LATTICE).at(frequency)
        return float(sizes[-1] / sizes[0])

    def predicted_half(self, frequency: int) -> float:
        """Steps after which the kernel says that half of a wave is left."""
        times = torch.logspace(0, 10, 401, dtype=torch.float64).round()
        times = torch.cat((torch.zeros(1).double(), times))
        sizes = residual_by_frequency(self.fit.residuals(times), LATTICE).at(frequency)
        return float(times[(sizes < 0.5 * sizes[0]).nonzero()[0, 0]])


def trained(encoding: EncodingConfig) -> Trained:
    """Train a perceptron at half its largest stable rate."""
    x = LATTICE.coords()
    y = sum((0.2 * torch.cos(2 * math.pi * k * x + k) for k in FREQUENCIES), 0 * x)
    decoder = ReluMlpConfig(width=512, num_hidden=1, bias=True, init="uniform")
    config = EncodedFieldConfig(encoding=encoding, decoder=decoder)
    field = config.build(Site(num_dims=1, num_channels=1), generator(0, "init"))
    field = field.double()
    kernel = tangent_kernel(field, x)
    rate = GradientDescent(1.0).largest_stable_rate(kernel.eigensystem.largest) / 2
    fit = KernelRegression(kernel, y, field(x), descent=GradientDescent(rate))
    optimizer = torch.optim.SGD(field.parameters(), lr=rate)
    found = []
    for step in range(MARKS[-1] + 1):
        residual = y - field(x)
        if step in MARKS:
            found.append(residual.detach())
        optimizer.zero_grad()
        (0.5 * residual.square().sum()).backward()
        optimizer.step()
    return Trained(fit, torch.stack(found))


@pytest.fixture(scope="module")
def plain() -> Trained:
    return trained(IdentityConfig())


@pytest.fixture(scope="module")
def with_features() -> Trained:
    return trained(FourierConfig(num_frequencies=32, bandwidth_cycles=6.0))


@pytest.mark.parametrize("name", ["plain", "with_features"])
def test_every_mode_decays_as_the_kernel_predicts(
    name: str, request: pytest.FixtureRequest
):
    """Not only the loss: each component along an eigenvector, at every mark."""
    found: Trained = request.getfixturevalue(name)
    measured = found.fit.modes.vectors.T @ found.residuals
    predicted = found.fit.mode_residuals(MARKS)
    off = (measured - predicted).abs().amax((1, 2)) / found.residuals[0].norm()
    assert off.max() < 0.02
    # What is compared did change by far more.
    assert (predicted[-1] - predicted[0]).abs().max() > 0.3 * found.residuals[0].norm()


def test_high_frequencies_wait_for_orders_of_magnitude(
    plain: Trained, with_features: Trained
):
    assert with_features.left(12) < 0.02
    assert plain.left(12) > 0.9
    # The plain one does learn what is slow.
    assert plain.left(1) < 0.2
    # How long it would take, says the kernel that was right so far.
    high = [found.predicted_half(12) for found in (plain, with_features)]
    assert high[0] > 1000 * high[1]
    low = [found.predicted_half(1) for found in (plain, with_features)]
    assert low[0] < 30 * low[1]
    # And that is not because its stable rate is lower.
    rates = [found.fit.descent.rate for found in (plain, with_features)]
    assert high[0] * rates[0] > 300 * high[1] * rates[1]


def test_the_pace_falls_with_frequency(plain: Trained):
    halves = [plain.predicted_half(k) for k in FREQUENCIES]
    assert halves[0] < 0.1 * halves[1] < 0.01 * halves[2]
