r"""How the norm bound B of a generalisation bound is chosen without looking at labels.

A bound holds for all parameters in a ball that was fixed before the data were seen.
Training ends somewhere, and B read off there is no such ball. So B is guessed
beforehand, or every ball of a row of balls gets a share of the probability to fail.
"""

import math
from dataclasses import dataclass

from tangrid.errors import ConfigError


@dataclass(frozen=True)
class FixedNorm:
    """Bound the displacement by a number that was fixed beforehand.

    Attributes:
        radius: The number (B).
    """

    radius: float

    def __post_init__(self) -> None:
        """Refuse a radius that is none.

        Raises:
            ConfigError: If it is not finite and above 0.
        """
        if not 0 < self.radius < math.inf:
            raise ConfigError(
                "FixedNorm(radius=...): expected a finite number above 0, got "
                f"{self.radius}."
            )

    def ball(self, displacement: float, delta: float) -> tuple[float, float]:
        """Return the radius and the probability to fail that it gets: all of it.

        The radius is infinite if the parameters left the ball, for then nothing holds.

        Args:
            displacement: How far the parameters moved.
            delta: Probability to fail.
        """
        inside = displacement <= self.radius
        return (self.radius if inside else math.inf), delta


@dataclass(frozen=True)
class NormGrid:
    r"""Take the smallest ball of a geometric row that holds the parameters.

    Ball j = 0, 1, ... has radius :math:`b q^j` and may fail with probability
    :math:`\delta / ((j + 1)(j + 2))`; these add up to :math:`\delta`. The price is a
    radius up to q times too large and a term of order log j under the root.

    Attributes:
        smallest: Radius of the first ball (b).
        ratio: Growth from ball to ball (q).
    """

    smallest: float = 0.125
    ratio: float = 1.25

    def __post_init__(self) -> None:
        """Refuse a row that does not grow.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not (0 < self.smallest < math.inf and 1 < self.ratio < math.inf):
            raise ConfigError(
                "NormGrid: expected smallest above 0 and ratio above 1, got "
                f"{self.smallest} and {self.ratio}."
            )

    def ball(self, displacement: float, delta: float) -> tuple[float, float]:
        """Return the radius and the probability to fail that its ball gets.

        Args:
            displacement: How far the parameters moved.
            delta: Probability that any ball fails.

        Example:
            >>> NormGrid(smallest=1.0, ratio=2.0).ball(3.0, 0.12)
            (4.0, 0.01)
        """
        if not displacement < math.inf:
            return math.inf, delta
        index = 0
        if displacement > self.smallest:
            growth = math.log(displacement / self.smallest)
            index = max(round(growth / math.log(self.ratio)) - 1, 0)
        while self.smallest * self.ratio**index < displacement:
            index += 1
        radius = self.smallest * self.ratio**index
        return radius, delta / ((index + 1) * (index + 2))


NormRule = FixedNorm | NormGrid
