"""How two implementations of an operator are compared, by the name of each result."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tangrid.ops.contract import ImplementationName, implementation
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


_homes: list[torch.device] = [torch.device("cpu")]


@contextmanager
def running(choice: ImplementationName) -> Iterator[None]:
    """Choose an implementation; programs run on a GPU if there is one."""
    if choice == "triton":
        pytest.importorskip("triton")
    on_gpu = choice == "triton" and torch.cuda.is_available()
    _homes.append(torch.device("cuda" if on_gpu else "cpu"))
    try:
        with implementation(choice):
            yield
    finally:
        _homes.pop()


def at_home(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let an operator work where the implementation that runs has its tensors."""

    def moved(value: Any, place: torch.device) -> Any:
        return value.to(place) if hasattr(value, "to") else value

    def call(*inputs: Any, **named: Any) -> Any:
        there, here = _homes[-1], _homes[0]
        found = function(
            *(moved(value, there) for value in inputs),
            **{name: moved(value, there) for name, value in named.items()},
        )
        if isinstance(found, tuple):
            return type(found)(*(moved(part, here) for part in found))
        return moved(found, here)

    return call
