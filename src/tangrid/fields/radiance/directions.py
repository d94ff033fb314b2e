"""Features of directions: real spherical harmonics, or sines and cosines."""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError
from tangrid.notation import Features

DirectionFamily = Literal["harmonics", "waves", "none"]

_MOST_DEGREES = 4
_MOST_BANDS = 16


@dataclass(frozen=True, kw_only=True)
class DirectionEncoding:
    """Map unit vectors to features.

    Example:
        >>> DirectionEncoding(family="harmonics", order=2)(torch.eye(3)).shape
        torch.Size([3, 4])
    """

    family: DirectionFamily = "harmonics"
    """``harmonics`` are smooth on the sphere; ``waves`` are NeRF's, x itself first."""
    order: int = 4
    """Degrees of harmonics, 1 to 4, or octaves of waves."""

    def __post_init__(self) -> None:
        """Refuse an encoding that is unknown or has no features.

        Raises:
            ConfigError: If a setting is out of range.
        """
        check_choice("DirectionEncoding.family", self.family, DirectionFamily)
        most = _MOST_DEGREES if self.family == "harmonics" else _MOST_BANDS
        if not 1 <= self.order <= most:
            raise ConfigError(
                f"DirectionEncoding.order: expected 1 to {most} for '{self.family}', "
                f"got {self.order}."
            )

    @property
    def num_features(self) -> int:
        """Features of each direction."""
        if self.family == "none":
            return 0
        return self.order**2 if self.family == "harmonics" else 3 + 6 * self.order

    def __call__(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return the features of directions.

        Args:
            directions: Unit vectors.
        """
        if self.family == "none":
            return directions[:, :0]
        if self.family == "harmonics":
            return spherical_harmonics(directions, self.order)
        octaves = 2.0 ** torch.arange(self.order, dtype=directions.dtype)
        angles = (directions[:, None] * octaves[:, None]).flatten(1)
        return torch.cat((directions, angles.sin(), angles.cos()), dim=1)


def spherical_harmonics(directions: Float[Tensor, "r 3"], num_degrees: int) -> Features:
    r"""Return the real spherical harmonics of the lowest degrees.

    They are orthonormal over the sphere, in the order l = 0, 1, ... and within a degree
    m = -l ... l, with the Condon-Shortley phase: the order and the signs of
    tiny-cuda-nn.

    Args:
        directions: Unit vectors.
        num_degrees: Degrees 0 to num_degrees - 1, at most 4.

    Returns:
        num_degrees^2 features.

    Example:
        >>> found = spherical_harmonics(torch.tensor([[0.0, 0.0, 1.0]]), 2)
        >>> [round(value, 4) for value in found[0].tolist()]
        [0.2821, 0.0, 0.4886, 0.0]
    """
    # All products of three of 1, x, y, z at once: few operations on many numbers.
    padded = torch.nn.functional.pad(directions, (1, 0), value=1.0)
    pairs = (padded[:, :, None] * padded[:, None, :]).flatten(1)
    triples = (pairs[:, :, None] * padded[:, None, :]).flatten(1)
    return triples @ _polynomials(num_degrees).to(directions.dtype)


@cache
def _polynomials(num_degrees: int) -> Float[Tensor, "triples features"]:
    """Return the factor of each product of three of 1, x, y, z in each harmonic."""
    table = torch.zeros(64, num_degrees**2, dtype=torch.float64)
    for column, terms in enumerate(_HARMONICS[: num_degrees**2]):
        for product, factor in terms.items():
            first, second, third = ("1xyz".index(letter) for letter in product)
            table[16 * first + 4 * second + third, column] = factor
    return table


_PI = math.pi
_ONE = math.sqrt(3 / (4 * _PI))
_TWO, _FLAT = math.sqrt(15 / (4 * _PI)), math.sqrt(5 / (16 * _PI))
_OUTER, _INNER = math.sqrt(35 / (32 * _PI)), math.sqrt(21 / (32 * _PI))
_MIXED, _POLAR = math.sqrt(105 / (4 * _PI)), math.sqrt(7 / (16 * _PI))
_HARMONICS = (
    {"111": math.sqrt(1 / (4 * _PI))},
    {"11y": -_ONE},
    {"11z": _ONE},
    {"11x": -_ONE},
    {"1xy": _TWO},
    {"1yz": -_TWO},
    {"1zz": 3 * _FLAT, "111": -_FLAT},
    {"1xz": -_TWO},
    {"1xx": _TWO / 2, "1yy": -_TWO / 2},
    {"yyy": _OUTER, "xxy": -3 * _OUTER},
    {"xyz": _MIXED},
    {"11y": _INNER, "yzz": -5 * _INNER},
    {"zzz": 5 * _POLAR, "11z": -3 * _POLAR},
    {"11x": _INNER, "xzz": -5 * _INNER},
    {"xxz": _MIXED / 2, "yyz": -_MIXED / 2},
    {"xyy": 3 * _OUTER, "xxx": -_OUTER},
)
"""Polynomials in x, y and z of the harmonics, by the letters of each product."""
