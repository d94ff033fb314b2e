"""Leave-one-out errors of many groups are those of each by its eigenvectors."""

import pytest
import torch
from torch import Tensor

from tangrid import devices
from tangrid.errors import NumericalError, ResourceError
from tangrid.tangent.dynamics.left_out import leave_one_out_errors
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.kernels.kernel import DenseKernel
from tests.tolerances import KERNEL_TRICK

SIZES = (9, 4)
RIDGES = torch.tensor([0.3, 1e-3]).double()


def groups(source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two kernels and what is fitted, the second of fewer points."""
    draws = torch.randn(2, 9, 30, generator=source).double()
    residuals = torch.randn(2, 9, 2, generator=source).double()
    draws[1, 4:], residuals[1, 4:] = 0, 0
    return draws @ draws.mT, residuals


def test_they_are_those_by_eigenvectors(seeded: torch.Generator):
    kernels, residuals = groups(seeded)
    found = leave_one_out_errors(kernels, residuals, RIDGES)
    for number, size in enumerate(SIZES):
        kernel = DenseKernel(kernels[number, :size, :size])
        fitted = KernelRegression(kernel, residuals[number, :size])
        wanted = fitted.leave_one_out(float(RIDGES[number]))
        error = (found[number, :size] - wanted).abs().max() / wanted.abs().max()
        assert float(error) < KERNEL_TRICK
    assert not found[1, 4:].any()


def test_more_than_there_is_memory_for_is_refused(
    seeded: torch.Generator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(devices, "available_memory_mb", lambda: 1e-4)
    with pytest.raises(ResourceError, match="2 kernels of 9 rows"):
        leave_one_out_errors(*groups(seeded), RIDGES)


def test_a_kernel_of_nothing_leaves_everything(seeded: torch.Generator):
    kernels, residuals = groups(seeded)
    found = leave_one_out_errors(0 * kernels, residuals, torch.full((2,), 1e-30))
    torch.testing.assert_close(found, residuals)


@pytest.mark.parametrize(
    ("entry", "message"),
    [(-100.0, "positive definite.* got 1 of 2"), (torch.nan, "finite.* in 1 of 2")],
)
def test_a_kernel_that_is_none_is_refused(
    seeded: torch.Generator, entry: float, message: str
):
    kernels, residuals = groups(seeded)
    kernels[0, 2, 2] = entry
    with pytest.raises(NumericalError, match=message):
        leave_one_out_errors(kernels, residuals, RIDGES)
