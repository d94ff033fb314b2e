"""What an encoding may know of the signal that it will be fitted to."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.notation import Coords

Sampler = Callable[[int, torch.Generator], tuple[Coords, Float[Tensor, " n"]]]
"""Draws at most `n` points of the signal, with how much detail it has at each."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Describe the place where a field is built.

    Everything but the sampler is plain data, so a saved field is rebuilt without
    its signal.

    Example:
        >>> Site(num_dims=2, num_channels=3, resolution=(768, 512)).resolution
        (768, 512)
    """

    num_dims: int
    """Number of coordinates."""
    num_channels: int
    """Number of values at each point."""
    resolution: tuple[int, ...] | None = None
    """Samples of the signal along each coordinate, x first; None if continuous."""
    sampler: Sampler | None = field(default=None, compare=False, repr=False)
    """Draws points of the signal, for encodings that place nodes by it; not saved."""
