"""How two implementations of an operator are compared, by the name of each result."""

from collections.abc import Mapping

import torch
from torch import Tensor

from tests.tolerances import PARITY_FLOAT32


def relative_rms(found: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of the expected values."""
    scale = expected.double().square().mean().sqrt()
    error = (found.double() - expected.double()).square().mean().sqrt()
    return float(error / scale) if scale > 0 else float(error)


def assert_close(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    tolerance: float = PARITY_FLOAT32,
) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        if value.numel():
            error = relative_rms(found[name], value)
            assert error <= tolerance, f"{name}: relative RMS {error:.2e}"


def assert_same_bits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), f"{name}: other bits"
