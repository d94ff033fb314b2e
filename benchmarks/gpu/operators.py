"""Time Triton programs against plain PyTorch, and both against exact results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.cases import Case
from benchmarks.gpu.machine import Floors, median_ms
from tangrid.ops import implementation

_PLAIN = "plain PyTorch"


@contextmanager
def _without_atomics() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    with implementation("triton"):
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


CONTESTANTS: dict[str, Callable[[], Any]] = {
    "triton": lambda: implementation("triton"),
    "triton, fixed order": _without_atomics,
    _PLAIN: lambda: implementation("reference"),
}
"""Contexts that a case is run in, by name."""


def measure_case(
    case: Case, floors: Floors, device: torch.device, turns: int
) -> list[dict[str, Any]]:
    """Return one row per contestant.

    Args:
        case: What is computed.
        floors: What the device does at most.
        device: Where it is computed.
        turns: Timed calls.
    """
    precise = case.to(lambda t: t.double() if t.is_floating_point() else t)
    with implementation("reference"):
        # Of the values' dtype, so that nothing is rounded while time is taken.
        upstream = torch.randn_like(case.call(*case.fixed, *case.inputs))
        exact = _results(precise, upstream.double())
    floor = floors.milliseconds(case.least_bytes, case.operations, case.arithmetic)
    rows = []
    for name, context in CONTESTANTS.items():
        with context():
            found = _results(case, upstream)
            forward, both = _times(case, upstream, device, turns)
        errors = [_error(f, e) for f, e in zip(found, exact, strict=True)]
        rows.append({
            "case": case.name,
            "dtype": str(case.dtype).removeprefix("torch."),
            "count": case.count,
            "contestant": name,
            "forward_ms": forward,
            "both_ms": both,
            "error_of_values": errors[0],
            "error_of_gradients": max(errors[1:]),
            "floor_ms": floor,
            "gigabytes_per_second": case.requested_bytes / both / 1e6,
            "share_of_floor": floor / both,
            "gigaoperations_per_second": case.operations / both / 1e6,
        })
    plain = next(row for row in rows if row["contestant"] == _PLAIN)
    for row in rows:
        row["times_plain"] = plain["both_ms"] / row["both_ms"]
    return rows


def _results(case: Case, upstream: Tensor) -> tuple[Tensor, ...]:
    """Return the values and the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in case.inputs]
    values = case.call(*case.fixed, *leaves)
    grads = torch.autograd.grad(values, leaves, upstream, materialize_grads=True)
    return values.detach(), *grads


def _times(
    case: Case, upstream: Tensor, device: torch.device, turns: int
) -> tuple[float, float]:
    """Return milliseconds of a forward pass, and of a forward and a backward pass."""

    def forward() -> None:
        with torch.no_grad():
            case.call(*case.fixed, *case.inputs)

    both = median_ms(lambda: _results(case, upstream), device, turns)
    return median_ms(forward, device, turns), both


def _error(found: Tensor, exact: Tensor) -> float:
    """Return the root mean square of the difference over that of the exact numbers."""
    scale = exact.square().mean().sqrt()
    error = (found.double() - exact).square().mean().sqrt()
    return float(error / scale) if scale > 0 else float(error)


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table.

    Args:
        rows: From `measure_case`.
    """
    titles = (
        "case", "numbers", "contestant", "forward ms", "+ backward ms", "floor ms",
        "GB/s", "x plain", "error of values", "of gradients",
    )  # fmt: skip
    lines = [
        f"| {' | '.join(titles)} |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['case']} | {row['dtype']} | {row['contestant']} "
        f"| {row['forward_ms']:.3f} | {row['both_ms']:.3f} | {row['floor_ms']:.3f} "
        f"| {row['gigabytes_per_second']:.0f} | {row['times_plain']:.1f} "
        f"| {row['error_of_values']:.1e} | {row['error_of_gradients']:.1e} |"
        for row in rows
    ]
    return "\n".join(lines)
