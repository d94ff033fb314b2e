r"""Losses that a generalisation bound is about: between 0 and 1, and Lipschitz.

A bound says nothing of the mean squared error, which has no largest value and no
largest slope. Cut off at 1 and scaled, it has both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Values

Joining = Literal["mean", "joint"]
"""How channels make one loss: as a mean of one loss each, or all at once."""

_PROBES = 4001
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
    joining: Joining = "mean"

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

    def violations(self) -> str:
        """Return in words how the promise is broken on probes; empty if it is not.

        One channel is probed between -4 and 4, finely: the range and the slopes.
        """
        probes = torch.linspace(-4, 4, _PROBES, dtype=torch.float64)
        losses = self.function(probes[:, None])
        low, high = float(losses.min()), float(losses.max())
        steepest = float((losses.diff() / probes.diff()).abs().max())
        broken = []
        if not (low >= 0 and high <= 1):
            broken.append(f"it reaches from {low:.3g} to {high:.3g}")
        if not steepest <= self.lipschitz * (1 + _SLACK):
            broken.append(f"its slope reaches {steepest:.4g}, not {self.lipschitz:.4g}")
        return " and ".join(broken)


CLIPPED_ABSOLUTE = BoundedLoss(
    name="min(1, |f - y|), mean over channels",
    function=lambda residuals: residuals.abs().clamp(max=1).mean(1),
    lipschitz=1.0,
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
    )
