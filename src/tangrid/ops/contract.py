"""Which implementation of an operator runs, and with how many threads.

Every operator has a plain PyTorch ``reference`` that defines the result; ``numba``
gives the same numbers faster on a CPU, ``triton`` on an NVIDIA GPU. ``auto`` takes the
fastest that can run the inputs; a name asked for explicitly is honoured or refused with
the reason. With ``TRITON_INTERPRET=1`` in the environment Triton's programs run on a
CPU, slowly, for those who ask for ``triton`` by name.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from tangrid.errors import ImplementationError

ImplementationName = Literal["auto", "numba", "triton", "reference"]
Resolved = Literal["numba", "triton", "reference"]

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


def asked_implementation() -> ImplementationName:
    """Return what was asked for here.

    A backward pass on a GPU runs on a thread of autograd's own, which does not know: a
    function that calls operators there keeps this from its forward pass.
    """
    return _choice.get()


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
    return _unfit(tensors, dtypes, "cpu")


def is_interpreted() -> bool:
    """Return whether Triton's programs are run by its interpreter, on a CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def triton_refusals(
    tensors: Mapping[str, Tensor],
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float16, torch.bfloat16),
    *,
    beside: Mapping[str, Tensor] | None = None,
) -> list[str]:
    """Return the reasons why Triton cannot take these tensors; empty means it can.

    Args:
        tensors: Arguments by name.
        dtypes: Those that the programs are written for.
        beside: More arguments by name, whose dtypes others look at: they must be on the
            same device, as a program follows addresses of its own device alone.
    """
    reasons = _unfit(tensors, dtypes, "cpu" if is_interpreted() else "cuda")
    reasons += _apart({**tensors, **(beside or {})})
    if not _has_triton():
        reasons.append("triton is not installed (pip install triton)")
    return reasons


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _unfit(
    tensors: Mapping[str, Tensor], dtypes: Sequence[torch.dtype], device: str
) -> list[str]:
    reasons = []
    for name, tensor in tensors.items():
        if tensor.device.type != device:
            reasons.append(f"{name} is on '{tensor.device}' (needs {device})")
        if tensor.dtype not in dtypes:
            names = " and ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
            reasons.append(f"{name} has dtype {tensor.dtype} (supports {names})")
    return reasons


def _apart(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return which tensors are not where the first one is that is on a GPU."""
    placed = {name: t.device for name, t in tensors.items() if t.device.type == "cuda"}
    first, device = next(iter(placed.items()), ("", None))
    return [
        f"{name} is on '{tensor.device}', {first} on '{device}'"
        for name, tensor in tensors.items()
        if device is not None and tensor.device != device
    ]


def resolve(
    operator: str,
    numba: Sequence[str] = ("it has no loops of its own for a CPU",),
    triton: Sequence[str] = ("it has no program for a GPU",),
    on_cpu: Resolved = "numba",
) -> Resolved:
    """Return the implementation that runs now, and remember it.

    Args:
        operator: Name of the operator.
        numba: Why numba cannot run these inputs.
        triton: Why Triton cannot.
        on_cpu: What runs where numba could: ``reference`` where the loops that a CPU
            wants are PyTorch's own.

    Raises:
        ImplementationError: If one was asked for that cannot run.
    """
    choice = _choice.get()
    refusals = {"numba": numba, "triton": triton, "reference": ()}
    if choice != "auto" and refusals[choice]:
        raise ImplementationError(
            f"{operator}(implementation='{choice}'): expected inputs it can run, got: "
            f"{'; '.join(refusals[choice])}. Use implementation('auto') or 'reference'."
        )
    name = _fastest(numba, triton) if choice == "auto" else choice
    name = on_cpu if name == "numba" else name
    _used[operator] = name
    return name


def _fastest(numba: Sequence[str], triton: Sequence[str]) -> Resolved:
    if not numba:
        return "numba"
    # Interpreted programs are a check, not a way to compute.
    return "reference" if triton or is_interpreted() else "triton"


def forget_implementations() -> None:
    """Begin anew to note which implementations run."""
    _used.clear()


@contextmanager
def unnoted_implementations() -> Iterator[None]:
    """Do not note which implementations run inside: it is no part of the work."""
    before = dict(_used)
    try:
        yield
    finally:
        _used.clear()
        _used.update(before)


def used_implementations() -> dict[str, str]:
    """Return what ran last for every operator called since, by operator name."""
    return dict(sorted(_used.items()))
