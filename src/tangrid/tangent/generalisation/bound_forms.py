r"""The sum that every generalisation bound is: training loss, complexity, chance.

A field that is affine in its parameters, :math:`f_0 + \langle\varphi(x), w\rangle`,
stays in a ball :math:`\|w\| \le B`. The empirical Rademacher complexity of all that it
can be there is at most :math:`B \sqrt{\operatorname{tr} K} / n`.

References:
    Bartlett and Mendelson 2002, "Rademacher and Gaussian Complexities"; Mohri et al.
    2018, "Foundations of Machine Learning", theorems 3.3 and 6.12.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tangrid.tangent.generalisation.bound_conditions import FINITE
from tangrid.tangent.generalisation.bounded_loss import CLIPPED_ABSOLUTE, BoundedLoss
from tangrid.tangent.generalisation.norm_rules import NormRule


@dataclass(frozen=True, kw_only=True)
class BoundForm:
    """Hold one form of the bound, term by term.

    Attributes:
        name: ``raw``, ``trace-normalised`` or ``finite-time``.
        training_loss: What training leaves of the loss.
        complexity: What the freedom of the parameters adds.
        confidence: What chance adds.
        is_proven: Whether every condition it needs holds, samples being independent.
    """

    name: str
    training_loss: float
    complexity: float
    confidence: float
    is_proven: bool

    @property
    def total(self) -> float:
        """The bound on the loss of new points."""
        return self.training_loss + self.complexity + self.confidence

    @property
    def is_vacuous(self) -> bool:
        """Whether it says nothing, because the loss is never above 1 anyway."""
        return not self.total < 1

    def __str__(self) -> str:
        """Return the sum and what it is worth, in words."""
        worth = "proven" if self.is_proven else "not proven here"
        if self.is_vacuous:
            worth += "; VACUOUS, as no loss is above 1"
        return (
            f"{self.name}: {self.total:.4g} = {self.training_loss:.4g} (training) + "
            f"{self.complexity:.4g} (complexity) + {self.confidence:.4g} (chance); "
            f"{worth}"
        )


def confidence_term(num_points: int, delta: float) -> float:
    r"""Return what chance adds to a bound, :math:`3\sqrt{\log(2/\delta)/(2n)}`.

    Args:
        num_points: Samples (n).
        delta: Probability to fail.
    """
    return 3 * math.sqrt(math.log(2 / delta) / (2 * num_points))


def ball_complexity(radius: float, trace: float, num_points: int) -> float:
    r"""Return twice the Rademacher complexity of a ball of parameters.

    It is at most :math:`\tfrac2n B\sqrt{\operatorname{tr} K}`.

    Args:
        radius: Radius of the ball of parameters (B).
        trace: Trace of the kernel over all points and channels.
        num_points: Samples (n).
    """
    # A ball without bounds promises nothing, even where the kernel is 0.
    return math.inf if radius == math.inf else 2 * radius * trace**0.5 / num_points


def finite_time_form(
    losses: Float[Tensor, " n"],
    displacement: float,
    trace: float,
    *,
    num_channels: int,
    norm: NormRule,
    loss: BoundedLoss = CLIPPED_ABSOLUTE,
    delta: float = 0.05,
    is_proven: bool,
) -> BoundForm:
    r"""Return the finite-time form from what any training did.

    It does not matter how a field came to its parameters, only how far they are from
    the initial ones, that the field is affine in them, and that points and labels were
    drawn independently.

    Args:
        losses: Loss of every training point after training.
        displacement: Euclidean distance of the parameters from the initial ones.
        trace: Trace of the kernel over all points and channels.
        num_channels: Channels of the outputs.
        norm: Where the ball comes from.
        loss: The loss that was taken.
        delta: Probability to fail.
        is_proven: Whether the caller knows that the conditions hold.
    """
    points = len(losses)
    radius, share = norm.ball(displacement, delta)
    complexity = ball_complexity(radius, trace, points)
    return BoundForm(
        name=FINITE,
        training_loss=float(losses.mean()),
        complexity=loss.complexity_factor(num_channels) * complexity,
        confidence=confidence_term(points, share),
        is_proven=is_proven and radius < math.inf,
    )
