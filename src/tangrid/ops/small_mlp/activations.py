"""The activations of tiny-cuda-nn, by name, as formulas of PyTorch."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Activation = Literal[
    "none",
    "relu",
    "leaky-relu",
    "silu",
    "exponential",
    "sine",
    "sigmoid",
    "tanh",
    "squareplus",
    "softplus",
]

SHARPNESS = 10.0
"""Factor of squareplus and softplus, which makes them rectifiers with a short bend."""

LEAK = 0.01
"""Slope of leaky-relu below 0."""


def _squareplus(inputs: Tensor) -> Tensor:
    # In half precision each step would be rounded; built-in activations round once.
    wide = inputs.float() if inputs.dtype.itemsize < 4 else inputs
    scaled = SHARPNESS * wide
    # The two branches are reciprocal; far below 0 the sum itself would cancel to 0.
    size = torch.where(scaled < 0, -scaled, scaled)
    larger = (size + (scaled.square() + 4).sqrt()) / 2
    return (torch.where(scaled < 0, 1 / larger, larger) / SHARPNESS).to(inputs.dtype)


def _softplus(inputs: Tensor) -> Tensor:
    # Above the threshold PyTorch returns its input: e^-40 is below every rounding.
    return torch.nn.functional.softplus(inputs, beta=SHARPNESS, threshold=40)


def _leaky_relu(inputs: Tensor) -> Tensor:
    return torch.nn.functional.leaky_relu(inputs, LEAK)


def _itself(inputs: Tensor) -> Tensor:
    return inputs


ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "none": _itself,
    "relu": torch.relu,
    "leaky-relu": _leaky_relu,
    "silu": torch.nn.functional.silu,
    "exponential": torch.exp,
    "sine": torch.sin,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "squareplus": _squareplus,
    "softplus": _softplus,
}
"""Each activation's formula; half precision is computed in float32 and rounded once."""


def activated(
    inputs: Float[Tensor, "*shape"], activation: Activation
) -> Float[Tensor, "*shape"]:
    r"""Return an activation of each number.

    ``leaky-relu`` has slope 0.01 below 0. With :math:`X = 10 x`, ``squareplus`` is
    :math:`(X + \sqrt{X^2 + 4}) / 20` and ``softplus`` :math:`\log(1 + e^X) / 10`. All
    others are what their names say.

    Args:
        inputs: The numbers x, of any dtype.
        activation: Its name.

    Example:
        >>> activated(torch.tensor([-1.0, 0.0, 1.0]), "squareplus")
        tensor([0.0099, 0.1000, 1.0099])

    References:
        The functions of tiny-cuda-nn's networks.
    """
    return ACTIVATIONS[activation](inputs)
