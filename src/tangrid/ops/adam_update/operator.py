"""The public Adam step: state, bias corrections, choice of implementation.

An entry's bias correction counts the updates of that entry alone, as tiny-cuda-nn does,
so a table row that is touched for the first time late in training still starts well.
"""

import functools
import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tangrid.ops.adam_update import numba_cpu, reference
from tangrid.ops.adam_update.reference import AdamNumbers
from tangrid.ops.contract import Resolved, numba_refusals, resolve, triton_refusals

# Beyond this exponent 1 - beta^t is 1 in float32.
_NEGLIGIBLE = 2.0**-26
_LARGEST_COUNT = 2**16 - 1


@dataclass(frozen=True)
class AdamState:
    """Moments and update counts of one parameter; the tensors change in place.

    Attributes:
        first: Running mean of the gradient.
        second: Running mean of its square.
        counts: Updates of each entry, as uint16; they stop where the bias correction
            has become 1.
    """

    first: Tensor
    second: Tensor
    counts: Tensor

    @classmethod
    def zeros_like(cls, parameter: Tensor) -> Self:
        """Return the state before the first step.

        Args:
            parameter: What will be updated.
        """
        zeros = torch.zeros_like(parameter, requires_grad=False)
        counts = torch.zeros(parameter.shape, dtype=torch.uint16)
        return cls(zeros, zeros.clone(), counts.to(parameter.device))


@functools.lru_cache(maxsize=8)
def _corrections(betas: tuple[float, float]) -> NDArray[np.float32]:
    slowest = max(*betas, 0.5)
    length = min(math.ceil(math.log(_NEGLIGIBLE) / math.log(slowest)), _LARGEST_COUNT)
    counts = np.arange(length + 1, dtype=np.float64)
    # Entry 0 belongs to entries that were never updated, whose moments are 0.
    counts[0] = 1
    return np.stack([1 / (1 - beta**counts) for beta in betas]).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _corrections_on(device: torch.device, betas: tuple[float, float]) -> Tensor:
    return torch.from_numpy(_corrections(betas)).to(device)


def adam_update(
    parameter: Tensor,
    state: AdamState,
    grads: Tensor,
    numbers: AdamNumbers,
    span: tuple[int, int] | None = None,
    *,
    held: Tensor | None = None,
) -> None:
    """Move a parameter and its state by one step of Adam, and clear the gradients.

    On a CPU the calling thread does all the work; several may share a parameter by
    spans.

    Args:
        parameter: Values, changed in place.
        state: Moments and counts, changed in place.
        grads: Summands of the gradient, [w, *shape], one per worker; zero afterwards.
        numbers: Rate, decays, eps, and whether entries of zero gradient are skipped.
        span: First entry to update and the one after the last, in the order of memory;
            None for all.
        held: One number where the parameter is; if it is not 0 the gradients are
            cleared and nothing moves. On a GPU nobody has to wait to look at it.
    """
    values = parameter.detach().view(-1)
    first, second = state.first.view(-1), state.second.view(-1)
    counts, summands = state.counts.view(-1), grads.view(len(grads), -1)
    start, stop = span or (0, len(values))
    name = _resolved(values, state, grads, held)
    if name == "reference":
        part = slice(start, stop)
        wide = counts[part].to(torch.int32)
        moved = values[part], first[part], second[part], wide, summands[:, part]
        reference.adam_update(*moved, numbers, held)
        limit = _corrections(numbers.betas).shape[1] - 1
        counts[part] = wide.clamp(max=limit).to(torch.uint16)
    elif name == "triton":
        # An optional package, and not for every system.
        from tangrid.ops.adam_update import triton_gpu  # noqa: PLC0415

        corrections = _corrections_on(values.device, numbers.betas)
        moments, span = (first, second), (start, stop)
        triton_gpu.update_range(
            values, moments, counts, summands, corrections, numbers, held, span
        )
    elif held is not None and held.item():
        summands[:, start:stop].zero_()
    else:
        moved = values, first, second, counts, summands
        _run_loops(*moved, numbers, (start, stop))


def _resolved(
    values: Tensor, state: AdamState, grads: Tensor, held: Tensor | None
) -> Resolved:
    tensors = {"parameter": values, "grads": grads}
    tensors |= {"state.first": state.first, "state.second": state.second}
    beside = {"state.counts": state.counts}
    if held is not None:
        beside["held"] = held
    triton = triton_refusals(tensors, (torch.float32,), beside=beside)
    return resolve("adam_update", numba_refusals(tensors), triton)


def _run_loops(
    values: Tensor,
    first: Tensor,
    second: Tensor,
    counts: Tensor,
    summands: Tensor,
    numbers: AdamNumbers,
    span: tuple[int, int],
) -> None:
    beta1, beta2 = numbers.betas
    factors = (numbers.rate, 1 - beta1, 1 - beta2, numbers.eps)
    numba_cpu.update_range(
        values.numpy(),
        first.numpy(),
        second.numpy(),
        counts.numpy(),
        summands.numpy(),
        _corrections(numbers.betas),
        tuple(np.float32(x) for x in factors),
        numbers.skips_zeros,
        *span,
    )
