"""Kernels whose spectra are known beforehand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tangrid.tangent.kernels.kernel import DenseKernel

SPECTRA = {
    "polynomial": lambda n: 1e3 * torch.arange(1, n + 1).double() ** -2.0,
    "exponential": lambda n: torch.exp(-0.2 * torch.arange(n).double()),
    "flat": lambda n: torch.linspace(2.0, 1.0, n).double(),
    "identity": lambda n: torch.ones(n).double(),
    "rank five": lambda n: torch.tensor([5.0, 4, 3, 2, 1] + [0.0] * (n - 5)).double(),
}
"""Eigenvalues by name, the largest first."""


def rotation(n: int, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal matrix."""
    numbers = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(numbers)[0]


def kernel_of(
    values: Tensor, generator: torch.Generator, **settings: object
) -> DenseKernel:
    """Return a kernel with given eigenvalues and random eigenvectors."""
    vectors = rotation(len(values), generator)
    matrix = (vectors * values) @ vectors.T
    return DenseKernel((matrix + matrix.T) / 2, **settings)


def columns(n: int, r: int, generator: torch.Generator) -> Tensor:
    """Return random columns."""
    return torch.randn(n, r, generator=generator, dtype=torch.float64)


def float64(numbers: Sequence[float]) -> Tensor:
    """Return numbers without a detour over float32."""
    return torch.tensor(numbers, dtype=torch.float64)
