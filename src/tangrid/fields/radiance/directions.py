"""Features of directions: real spherical harmonics, or sines and cosines."""

import math
from dataclasses import dataclass
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
        [0.2821, -0.0, 0.4886, -0.0]
    """
    x, y, z = directions.unbind(1)
    xx, yy, zz = x * x, y * y, z * z
    ones = torch.ones_like(x)
    first, pi = [math.sqrt(1 / (4 * math.pi)) * ones], math.pi
    one = math.sqrt(3 / (4 * pi))
    second = [-one * y, one * z, -one * x]
    two, flat = math.sqrt(15 / (4 * pi)), math.sqrt(5 / (16 * pi))
    third = [
        two * x * y,
        -two * y * z,
        flat * (3 * zz - 1),
        -two * x * z,
        two / 2 * (xx - yy),
    ]
    outer, inner = math.sqrt(35 / (32 * pi)), math.sqrt(21 / (32 * pi))
    mixed = math.sqrt(105 / (4 * pi))
    fourth = [
        outer * y * (yy - 3 * xx),
        mixed * x * y * z,
        inner * y * (1 - 5 * zz),
        math.sqrt(7 / (16 * pi)) * z * (5 * zz - 3),
        inner * x * (1 - 5 * zz),
        mixed / 2 * z * (xx - yy),
        outer * x * (3 * yy - xx),
    ]
    return torch.stack([*first, *second, *third, *fourth][: num_degrees**2], dim=1)
