"""Which implementation of an operator runs, and with how many threads.

Every operator has a plain PyTorch ``reference`` that defines the result; ``numba``
gives the same numbers faster on a CPU. ``auto`` takes the fastest that can run the
inputs; a name asked for explicitly is honoured or refused with the reason.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from tangrid.errors import ImplementationError

ImplementationName = Literal["auto", "numba", "reference"]

_choice: ContextVar[ImplementationName] = ContextVar("implementation", default="auto")
_single_threaded: ContextVar[bool] = ContextVar("single_threaded", default=False)
_used: dict[str, str] = {}


@contextmanager
def implementation(name: ImplementationName) -> Iterator[None]:
    """Choose the implementation of every operator called inside.

    Args:
        name: ``reference`` differentiates to any order and in forward mode.

    Example:
        >>> with implementation("reference"):
        ...     pass
    """
    token = _choice.set(name)
    try:
        yield
    finally:
        _choice.reset(token)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run operators on the calling thread only: the caller is one of many workers."""
    token = _single_threaded.set(True)
    try:
        yield
    finally:
        _single_threaded.reset(token)


def is_single_threaded() -> bool:
    """Return whether operators must stay on the calling thread."""
    return _single_threaded.get()


def numba_refusals(
    tensors: Mapping[str, Tensor], dtypes: Sequence[torch.dtype] = (torch.float32,)
) -> list[str]:
    """Return the reasons why numba cannot take these tensors; empty means it can.

    Args:
        tensors: Arguments by name.
        dtypes: Those that the loops are written for.
    """
    names = " and ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
    reasons = []
    for name, tensor in tensors.items():
        if tensor.device.type != "cpu":
            reasons.append(f"{name} is on '{tensor.device}' (needs cpu)")
        if tensor.dtype not in dtypes:
            reasons.append(f"{name} has dtype {tensor.dtype} (supports {names})")
    return reasons


def resolve(operator: str, refusals: Sequence[str]) -> Literal["numba", "reference"]:
    """Return the implementation that runs now, and remember it.

    Args:
        operator: Name of the operator.
        refusals: Why numba cannot run these inputs.

    Raises:
        ImplementationError: If numba was asked for and cannot run.
    """
    choice = _choice.get()
    if choice == "numba" and refusals:
        raise ImplementationError(
            f"{operator}(implementation='numba'): expected inputs it can run, got: "
            f"{'; '.join(refusals)}. Use implementation('auto') or 'reference'."
        )
    name = "reference" if choice == "reference" or refusals else "numba"
    _used[operator] = name
    return name


def forget_implementations() -> None:
    """Begin anew to note which implementations run."""
    _used.clear()


def used_implementations() -> dict[str, str]:
    """Return what ran last for every operator called since, by operator name."""
    return dict(sorted(_used.items()))
