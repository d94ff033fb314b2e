"""Features of directions: real spherical harmonics, or sines and cosines."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.encodings.spherical_harmonics import MOST_DEGREES, spherical_harmonics
from tangrid.errors import ConfigError
from tangrid.notation import Features

DirectionFamily = Literal["harmonics", "waves", "none"]

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
    """Degrees of harmonics, 1 to 8, or octaves of waves."""

    def __post_init__(self) -> None:
        """Refuse an encoding that is unknown or has no features.

        Raises:
            ConfigError: If a setting is out of range.
        """
        check_choice("DirectionEncoding.family", self.family, DirectionFamily)
        most = MOST_DEGREES if self.family == "harmonics" else _MOST_BANDS
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
        numbers = torch.arange(self.order, device=directions.device)
        octaves = 2.0 ** numbers.to(directions.dtype)
        angles = (directions[:, None] * octaves[:, None]).flatten(1)
        return torch.cat((directions, angles.sin(), angles.cos()), dim=1)
