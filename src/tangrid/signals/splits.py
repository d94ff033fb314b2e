"""Pixels to train on, and pixels held out to see what lies between them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.seeding import generator
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
    return _split("every-second-pixel", trained.reshape(-1))


def split_at_random(signal: ImageSignal, share: float, seed: int = 0) -> Split:
    """Hold out a share of the pixels, drawn without replacement.

    Between pixels of a lattice a grid falls in and out of step with them; pixels at
    random spare no resolution, and any of them stands for those that are held out.

    Args:
        signal: The image.
        share: Share of the pixels that is held out, above 0 and below 1.
        seed: Source of the draw.

    Returns:
        The split; together its parts are the whole image.

    Raises:
        ConfigError: If nothing would be left to train on, or nothing held out.

    Example:
        >>> import numpy as np
        >>> signal = ImageSignal.from_array(np.zeros((2, 4)))
        >>> len(split_at_random(signal, 0.75).heldout_indices)
        6
    """
    count = round(share * signal.num_pixels) if 0 < share < 1 else 0
    if not 0 < count < signal.num_pixels:
        raise ConfigError(
            f"heldout_share: expected a share of the {signal.num_pixels} pixels that "
            f"leaves some and holds out some, got {share:g}. Say for example "
            "--heldout-share 0.5."
        )
    trained = torch.ones(signal.num_pixels, dtype=torch.bool)
    source = generator(seed, "held-out pixels")
    trained[torch.randperm(signal.num_pixels, generator=source)[:count]] = False
    return _split("random-pixels", trained)


def _split(name: str, trained: Bool[Tensor, " n"]) -> Split:
    return Split(
        name=name,
        train_indices=trained.nonzero()[:, 0],
        heldout_indices=(~trained).nonzero()[:, 0],
    )
