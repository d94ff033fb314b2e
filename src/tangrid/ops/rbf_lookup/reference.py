"""The lookup at radial nodes in plain PyTorch: the truth that the fast loops match."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Features, Rows, Table

_HIGHEST_FREQUENCY = 1e6


def check_frequencies(where: str, lowest: float, highest: float) -> None:
    """Refuse factors that make no sine, or one of more radians than float32 can tell.

    Args:
        where: What has them, for the message.
        lowest: Factor of the first channel.
        highest: Factor of the last.

    Raises:
        ConfigError: If they are out of range or out of order.
    """
    if not 0 < lowest <= highest <= _HIGHEST_FREQUENCY:
        raise ConfigError(
            f"{where}: expected sine frequencies 0 < lowest <= highest <= "
            f"{_HIGHEST_FREQUENCY:g}, got {lowest:g} and {highest:g}."
        )


def sine_frequencies(
    lowest: float, highest: float, channels: int
) -> Float[Tensor, " f"]:
    """Return factors m of each channel, spaced logarithmically.

    Args:
        lowest: Factor of the first channel.
        highest: Factor of the last.
        channels: Number of channels.
    """
    return 2 ** torch.linspace(math.log2(lowest), math.log2(highest), channels)


def sine_weights(
    values: Float[Tensor, "n k"], frequencies: Float[Tensor, " f"]
) -> Float[Tensor, "n k f"]:
    """Return sin(m_j rho), the weight of each neighbour in each channel.

    Args:
        values: Radial values (rho) of each point's neighbours.
        frequencies: One factor m per channel.
    """
    return torch.sin(values[:, :, None] * frequencies)


def rbf_lookup(
    rows: Rows,
    values: Float[Tensor, "n k"],
    table: Table,
    frequencies: Float[Tensor, " f"],
) -> Features:
    """Return sums of features, weighted by sines of radial values.

    Args:
        rows: Neighbours of each point.
        values: Radial values of the neighbours.
        table: Features of all nodes.
        frequencies: One factor per channel.
    """
    return (sine_weights(values, frequencies) * table[rows]).sum(1)
