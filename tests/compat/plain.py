"""What tiny-cuda-nn computes, once more: slow, in float64, from independent rules."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from tests.golden import tiny_cuda_nn_rules as rules

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "None": lambda x: x,
    "ReLU": lambda x: x.clamp(min=0),
    "LeakyReLU": lambda x: x.clamp(min=0) + 0.01 * x.clamp(max=0),
    "SiLU": lambda x: x / (1 + torch.exp(-x)),
    "Exponential": torch.exp,
    "Sine": torch.sin,
    "Sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "Squareplus": lambda x: (10 * x + torch.sqrt(100 * x * x + 4)) / 20,
    "Softplus": lambda x: torch.log(torch.exp(10 * x) + 1) / 10,
    "Tanh": lambda x: 1 - 2 / (torch.exp(2 * x) + 1),
}
"""tiny-cuda-nn's DOCUMENTATION.md, under "Activation Functions"."""

SMOOTH = [name for name in ACTIVATIONS if name not in {"ReLU", "LeakyReLU"}]


def hash_grid_features(
    coords: Tensor, table: np.ndarray, growth: float, levels: int, log2_size: int
) -> np.ndarray:
    """Linear features of a hash grid from 16 vertices on, one corner at a time."""
    dims = coords.shape[1]
    found = []
    for x in coords.numpy():
        row = []
        for level in rules.levels_of(dims, levels, 16, growth, log2_size, "hashed"):
            corners = rules.corners_of(x, level, "hashed")
            row.append(sum(weight * table[place] for place, weight in corners))
        found.append(np.concatenate(row))
    return np.stack(found)


def blob_shares(x: float, bins: int) -> list[float]:
    """Integrals of a quartic blob over bins of a ring, by Gauss-Legendre nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    shares = []
    for number in range(bins):
        # The blob ends somewhere inside a bin: integrate piece by piece.
        left, right = number / bins, (number + 1) / bins
        ends = [x + shift + side / bins for shift in (-1, 0, 1) for side in (-1, 1)]
        cuts = [left, *sorted(end for end in ends if left < end < right), right]
        total = 0.0
        for low, high in pairwise(cuts):
            places = (high - low) / 2 * nodes + (high + low) / 2
            for shift in (-1, 0, 1):
                u = bins * (places - x - shift)
                heights = np.where(np.abs(u) < 1, 15 / 16 * (1 - u * u) ** 2, 0) * bins
                total += float((heights * weights).sum() * (high - low) / 2)
        shares.append(total)
    return shares


def triangle(x: float, octave: int) -> float:
    """A wave of period 2^(1 - octave), from 1 at multiples down to -1, shifted."""
    turns = x * 2.0 ** (octave - 1) + octave / 4
    return 2 / math.pi * math.asin(math.cos(2 * math.pi * turns))
