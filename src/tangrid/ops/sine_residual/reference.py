"""The sine residual in plain PyTorch: the truth that the fast form matches."""

import torch
from jaxtyping import Float
from torch import Tensor


def sine_residual(
    hidden: Float[Tensor, "n w"], frequencies: Float[Tensor, " w"]
) -> Float[Tensor, "n w"]:
    """Return h + sin(f h).

    Args:
        hidden: Channels h of a layer.
        frequencies: One factor f per channel.
    """
    return hidden + torch.sin(frequencies * hidden)
