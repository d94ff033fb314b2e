"""How far apart samples are: all alike, or further apart the further away they are.

The distance t of a sample and its number s on the lattice determine each other in
closed form, so that any number of steps is taken at once.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tangrid.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Steps:
    r"""Lengths of steps, :math:`\delta(t) = \mathrm{clamp}(\gamma t, a, b)`.

    Example:
        >>> Steps(shortest=0.5).distance(torch.tensor([4.0]))
        tensor([2.])

    References:
        Mueller et al. 2022, "Instant Neural Graphics Primitives", appendix E.
    """

    shortest: float
    """Length of steps near the camera (a), in the units of distances along rays."""
    longest: float = math.inf
    """Length of steps far away (b)."""
    slope: float = 0.0
    """Growth of the length with the distance (gamma); 0 for steps all alike."""

    def __post_init__(self) -> None:
        """Refuse steps that do not move forward.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not (0 < self.shortest <= self.longest and 0 <= self.slope < 1):
            raise ConfigError(
                "Steps: expected 0 < shortest <= longest and a slope from 0 to below "
                f"1, got {self.shortest}, {self.longest} and {self.slope}."
            )

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """What compiled loops need: lengths, where they begin to grow and end, ln."""
        if not self.slope:
            return self.shortest, self.longest, math.inf, math.inf, 1.0
        near, far = self.shortest / self.slope, self.longest / self.slope
        return self.shortest, self.longest, near, far, math.log1p(self.slope)

    def number(self, distance: Tensor) -> Tensor:
        """Return the place of a distance on the lattice.

        Args:
            distance: From the camera, at least 0.
        """
        shortest, longest, near, far, rate = self.numbers
        linear = distance / shortest
        if not self.slope:
            return linear
        grown = near / shortest + torch.log(distance.clamp(min=near) / near) / rate
        if math.isinf(far):
            return torch.where(distance < near, linear, grown)
        last = near / shortest + math.log(far / near) / rate
        beyond = last + (distance - far) / longest
        found = torch.where(distance < far, grown, beyond)
        return torch.where(distance < near, linear, found)

    def distance(self, number: Tensor) -> Tensor:
        """Return the distance of a place on the lattice.

        Args:
            number: Place, at least 0.
        """
        shortest, longest, near, far, rate = self.numbers
        linear = number * shortest
        if not self.slope:
            return linear
        first = near / shortest
        grown = near * torch.exp((number - first) * rate)
        if math.isinf(far):
            return torch.where(number < first, linear, grown)
        last = first + math.log(far / near) / rate
        found = torch.where(number < last, grown, far + (number - last) * longest)
        return torch.where(number < first, linear, found)

    def length(self, distance: Tensor) -> Tensor:
        """Return the length of the step at a distance.

        Args:
            distance: From the camera.
        """
        return (self.slope * distance).clamp(self.shortest, self.longest)
