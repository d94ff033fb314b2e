"""Adam in plain PyTorch: the truth that the fast form matches."""

from typing import NamedTuple

import torch
from torch import Tensor


class AdamNumbers(NamedTuple):
    """What one step needs besides tensors.

    Attributes:
        rate: Learning rate.
        betas: Decay of the first and second moment.
        eps: Added to the root of the second moment.
        skips_zeros: Whether entries of zero gradient keep value, moments and count.
    """

    rate: float
    betas: tuple[float, float]
    eps: float
    skips_zeros: bool


def adam_update(
    parameter: Tensor,
    first: Tensor,
    second: Tensor,
    counts: Tensor,
    grads: Tensor,
    numbers: AdamNumbers,
    held: Tensor | None = None,
) -> None:
    """Move a parameter and its moments by one step, and clear the gradients.

    Args:
        parameter: Values, changed in place.
        first: First moments.
        second: Second moments.
        counts: Updates that each entry has had.
        grads: Summands of the gradient, [w, *shape]; zero afterwards.
        numbers: Rate, decays and so on.
        held: One number; where it is not 0 nothing moves.
    """
    rate, (beta1, beta2), eps, skips_zeros = numbers
    grad = grads.sum(0)
    active = grad != 0 if skips_zeros else torch.ones_like(grad, dtype=torch.bool)
    if held is not None:
        active = active & (held == 0)
    counts += active
    first.copy_(torch.where(active, first + (1 - beta1) * (grad - first), first))
    squared = second + (1 - beta2) * (grad * grad - second)
    second.copy_(torch.where(active, squared, second))
    times = counts.to(torch.float64)
    bias1 = (1 - beta1**times).to(first.dtype)
    bias2 = (1 - beta2**times).to(first.dtype)
    move = rate * (first / bias1) / ((second / bias2).sqrt() + eps)
    parameter -= torch.where(active, move, torch.zeros_like(move))
    grads.zero_()
