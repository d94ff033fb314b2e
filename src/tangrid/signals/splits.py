"""Pixels to train on, and pixels held out to see what lies between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from tangrid.signals.image import ImageSignal


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Hold two sets of pixels that have none in common."""

    name: str
    """Name of the rule in tables."""
    train_indices: Int64[Tensor, " n"]
    """Pixels to train on, in ascending order."""
    heldout_indices: Int64[Tensor, " m"]
    """Pixels that training never sees, in ascending order."""


def split_every_second(signal: ImageSignal) -> Split:
    """Train on every second pixel of every second row, hold out all the others.

    The protocol of the Fourier-feature paper: of 512 x 512 pixels, 256 x 256 are
    trained on, those with even column and even row, and the rest is the test.

    Args:
        signal: The image; sides of odd length keep the lattice's last pixel.

    Returns:
        The split; together its parts are the whole image.

    Example:
        >>> import numpy as np
        >>> split = split_every_second(ImageSignal.from_array(np.zeros((2, 4))))
        >>> split.train_indices.tolist(), split.heldout_indices.tolist()
        ([0, 2], [1, 3, 4, 5, 6, 7])

    References:
        [tancik2020]
    """
    trained = torch.zeros(signal.height, signal.width, dtype=torch.bool)
    trained[::2, ::2] = True
    flat = trained.reshape(-1)
    return Split(
        name="every-second-pixel",
        train_indices=flat.nonzero()[:, 0],
        heldout_indices=(~flat).nonzero()[:, 0],
    )
