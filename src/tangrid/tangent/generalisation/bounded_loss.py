r"""Losses that a generalisation bound is about: between 0 and 1, and Lipschitz.

A bound says nothing of the mean squared error, which has no largest value and no
largest slope. Cut off at 1 and scaled, it has both.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Values
from tangrid.seeding import generator

Joining = Literal["mean", "joint"]
"""How channels make one loss: as a mean of one loss each, or all at once."""

_PROBES = 2001
"""Probes on a line; at odd numbers one is the middle."""
_DIRECTIONS = 12
_USUAL_REACH = 4.0
_SLACK = 1e-6
"""What rounding may add to a slope between two neighbouring probes."""


@dataclass(frozen=True, kw_only=True)
class BoundedLoss:
    r"""A loss of the residuals of a point, in [0, 1] and Lipschitz in the outputs.

    Attributes:
        name: What it is called in reports.
        function: Residuals Y - f to losses.
        lipschitz: Largest slope (L).
        joining: ``mean`` if it is the mean of the losses of the channels; ``joint`` if
            it is a function of all channels, L-Lipschitz in their Euclidean norm.
    """

    name: str
    function: Callable[[Values], Float[Tensor, " n"]]
    lipschitz: float
    joining: Joining

    def __call__(self, residuals: Values) -> Float[Tensor, " n"]:
        """Return the loss of each point.

        Args:
            residuals: Targets minus outputs.
        """
        return self.function(residuals)

    def complexity_factor(self, num_channels: int) -> float:
        r"""Return what the complexity of the outputs is multiplied by.

        The Rademacher complexity of all C outputs in a ball of radius B is at most
        :math:`B \sqrt{\operatorname{tr} K} / n`, the trace being over points and
        channels. A mean of losses has the mean of C complexities, which by
        Cauchy-Schwarz is at most :math:`L B \sqrt{\operatorname{tr} K / C} / n`. A
        joint loss pays a factor :math:`\sqrt 2` (Maurer 2016) as soon as C > 1.

        Args:
            num_channels: Channels of the outputs (C).
        """
        if self.joining == "mean":
            return self.lipschitz / num_channels**0.5
        return self.lipschitz * (2**0.5 if num_channels > 1 else 1.0)

    def violations(self, num_channels: int, largest: float = _USUAL_REACH) -> str:
        """Return in words how the promise is broken on probes; empty if it is not.

        Residuals are probed on lines through 0 and past it, along axes, diagonals and
        random directions, up to twice the largest one: range and slopes, of a mean
        those of one channel, and whether several channels give the mean of them.

        Args:
            num_channels: Channels of the outputs (C).
            largest: Largest Euclidean norm of a residual that is met.

        Raises:
            ConfigError: If there is no channel, or the largest residual is not finite.
        """
        if num_channels < 1 or not 0 <= largest < math.inf:
            raise ConfigError(
                "BoundedLoss.violations: expected at least 1 channel and a finite "
                f"largest residual, got {num_channels} and {largest}."
            )
        source = generator(0, "probes of a loss")
        width = 1 if self.joining == "mean" else num_channels
        lines = list(_lines(width, largest, source))
        losses = torch.stack([self.function(line) for line in lines])
        lengths = torch.stack([line.diff(dim=0).norm(dim=1) for line in lines])
        # Slopes and extremes keep a nan, which breaks every promise.
        low, high = float(losses.amin()), float(losses.amax())
        steepest = float((losses.diff(dim=1).abs() / lengths).amax())
        broken = []
        if not (low >= 0 and high <= 1):
            broken.append(f"it reaches from {low:.3g} to {high:.3g}")
        if not steepest <= self.lipschitz * (1 + _SLACK):
            broken.append(f"its slope reaches {steepest:.4g}, not {self.lipschitz:.4g}")
        if self.joining == "mean" and num_channels > 1:
            off = self._off_the_mean(num_channels, largest, source)
            if not off <= _SLACK:
                broken.append(
                    f"it is off the mean of the losses of {num_channels} channels by "
                    f"{off:.3g}"
                )
        return " and ".join(broken)

    def _off_the_mean(
        self, num_channels: int, largest: float, source: torch.Generator
    ) -> float:
        probes = torch.cat(list(_lines(num_channels, largest, source)))
        each = [self.function(column[:, None]) for column in probes.T]
        return float((self.function(probes) - torch.stack(each).mean(0)).abs().amax())


def _lines(
    num_channels: int, largest: float, source: torch.Generator
) -> Iterator[Values]:
    """Yield residuals on lines, finely up to a usual size and then up to any size.

    Yields:
        Rows of residuals along a line.
    """
    directions = torch.eye(num_channels, dtype=torch.float64)[:1]
    shifts = torch.zeros_like(directions)
    if num_channels > 1:
        drawn = torch.randn(_DIRECTIONS, num_channels, generator=source).double()
        drawn /= drawn.norm(dim=1, keepdim=True)
        # Half of the lines pass 0 at a distance, where a joint loss bends elsewhere.
        past = torch.rand(_DIRECTIONS, 1, generator=source).double() * drawn.roll(1, 0)
        past[::2] = 0
        even = torch.full_like(directions, num_channels**-0.5)
        directions = torch.cat((directions, even, drawn))
        shifts = torch.cat((shifts, shifts, past))
    for reach in (_USUAL_REACH, max(2 * largest, _USUAL_REACH)):
        sizes = torch.linspace(-reach, reach, _PROBES, dtype=torch.float64)
        for direction, shift in zip(directions, shifts, strict=True):
            yield shift + sizes[:, None] * direction


CLIPPED_ABSOLUTE = BoundedLoss(
    name="min(1, |f - y|), mean over channels",
    function=lambda residuals: residuals.abs().clamp(max=1).mean(1),
    lipschitz=1.0,
    joining="mean",
)
"""The absolute error, at most 1: the loss of Theorem 3 as it stands."""

CLIPPED_NORM = BoundedLoss(
    name="min(1, ||f - y||)",
    function=lambda residuals: residuals.norm(dim=1).clamp(max=1),
    lipschitz=1.0,
    joining="joint",
)
"""The distance between vectors of channels, at most 1."""


def clipped_square(largest: float) -> BoundedLoss:
    r"""Return the squared error in units of a largest one, at most 1.

    :math:`\min(1, (f - y)^2 / M^2)` has slope 2/M, which multiplies the complexity.

    Args:
        largest: Error M at which it is 1.

    Raises:
        ConfigError: If that is not above 0.

    Example:
        >>> clipped_square(2.0)(torch.tensor([[1.0], [3.0]])).tolist()
        [0.25, 1.0]
    """
    if not largest > 0:
        raise ConfigError(
            f"clipped_square(largest=...): expected a number above 0, got {largest}."
        )
    return BoundedLoss(
        name=f"min(1, (f - y)^2 / {largest:g}^2), mean over channels",
        function=lambda residuals: (residuals / largest).square().clamp(max=1).mean(1),
        lipschitz=2 / largest,
        joining="mean",
    )
