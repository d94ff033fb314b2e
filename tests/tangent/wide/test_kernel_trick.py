"""Explicit features and their kernel say the same: the kernel trick, both ways."""

import math

import torch
from torch import Tensor

from tangrid.encodings import FourierConfig
from tangrid.encodings.fourier import FourierEncoding
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.wide.fourier_kernel import induced_kernel
from tests.tolerances import KERNEL_TRICK

SITE = Site(num_dims=2, num_channels=2)
TRAINED, OTHER = 40, 60


def features() -> FourierEncoding:
    config = FourierConfig(num_frequencies=30, bandwidth_cycles=2.0)
    return config.build(SITE, generator(0, "features")).double()


def points(stream: str, count: int) -> Tensor:
    drawn = generator(0, stream)
    return torch.rand(count, 2, dtype=torch.float64, generator=drawn)


def targets() -> Tensor:
    x = points("trained", TRAINED)
    radius = (x - 0.5).norm(dim=1)
    return torch.stack((torch.where(radius < 0.3, 1.0, -1.0), radius.sin()), dim=1)


def test_ridge_regression():
    encoding, ridge = features(), 1e-2
    x, others = points("trained", TRAINED), points("others", OTHER)
    phi = encoding(x)
    square = phi.T @ phi + ridge * torch.eye(phi.shape[1], dtype=phi.dtype)
    explicit = encoding(others) @ torch.linalg.solve(square, phi.T @ targets())
    fit = KernelRegression(
        induced_kernel(encoding, x),
        targets(),
        descent=GradientDescent(1e-3, ridge=ridge),
    )
    by_kernel = fit.predict(math.inf, induced_kernel(encoding, others, x))[0]
    assert (explicit - by_kernel).abs().max() < KERNEL_TRICK


def test_every_step_of_training():
    encoding = features()
    x, others = points("trained", TRAINED), points("others", OTHER)
    phi, away = encoding(x), encoding(others)
    kernel, between = induced_kernel(encoding, x), induced_kernel(encoding, others, x)
    rate = 1 / kernel.eigensystem.largest
    weights = torch.zeros(phi.shape[1], 2, dtype=phi.dtype)
    simulated = []
    for _ in range(200):
        weights = weights - rate * phi.T @ (phi @ weights - targets())
        simulated.append(away @ weights)
    fit = KernelRegression(kernel, targets(), descent=GradientDescent(rate))
    predicted = fit.predict(torch.arange(1.0, 201.0), between)
    assert (predicted - torch.stack(simulated)).abs().max() < KERNEL_TRICK
