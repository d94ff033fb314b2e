"""From what a network gives to a density, which is not negative."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

DensityActivation = Literal["exp", "softplus"]

_LARGEST_EXPONENT = 15.0


def positive_density(
    raw: Float[Tensor, " n"], activation: DensityActivation, shift: float
) -> Float[Tensor, " n"]:
    r"""Return densities of raw values.

    ``exp`` is :math:`e^{x + s}` with exponents cut off at 15, whose derivative is the
    value there too, so that a density that is too large finds back; ``softplus`` is
    :math:`\log(1 + e^{x + s})`.

    Args:
        raw: Output of a network.
        activation: Which function.
        shift: Added before it (s).

    Example:
        >>> positive_density(torch.tensor([0.0, 99.0]), "exp", 0.0)
        tensor([1.0000e+00, 3.2690e+06])
    """
    moved = raw + shift if shift else raw
    if activation == "softplus":
        return torch.nn.functional.softplus(moved)
    # The surplus is a constant for the derivative.
    surplus = (moved.detach() - _LARGEST_EXPONENT).clamp(min=0)
    return torch.exp(moved - surplus)
