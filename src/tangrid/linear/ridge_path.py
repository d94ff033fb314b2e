r"""How large a ridge should be: generalised cross-validation, or held-out points.

With the smoother :math:`S_\mu = A (A^\top A + \mu)^{-1} A^\top` of n points and its
trace, the effective number of parameters,

.. math:: \mathrm{GCV}(\mu) = \frac{\tfrac1n |y - S_\mu y|^2}
                                   {(1 - \operatorname{tr} S_\mu / n)^2}

estimates the mean squared error at points that were not fitted. It assumes that errors
of different points have nothing to do with each other.

References:
    Golub, Heath, Wahba 1979; Hutchinson 1990, on traces from random signs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FACTOR = 4.0
"""Ratio of neighbouring ridges on the path."""
_FIRST = 16.0
_LARGEST, _SMALLEST = 1e8, 1e-8
_RISES = 2


@dataclass(frozen=True)
class RidgeTrial:
    """What one ridge came to.

    Attributes:
        ridge: mu.
        score: What is minimised: GCV, or the squared error at held-out points.
        mse: Mean squared error at the points that were fitted.
        effective_parameters: Trace of the smoother: of one channel, or of all together
            where they are coupled.
        iterations: Steps of the solver.
    """

    ridge: float
    score: float
    mse: float
    effective_parameters: float
    iterations: int = 0


@dataclass(frozen=True)
class RidgePath:
    """All ridges that were tried, and the one that was chosen.

    Attributes:
        trials: From the largest ridge to the smallest.
        ridge: Where the score is least, between trials.
        is_inside: Whether there are worse ridges on either side.
    """

    trials: tuple[RidgeTrial, ...]
    ridge: float
    is_inside: bool


def gcv(mse: float, effective_parameters: float, num_points: int) -> float:
    """Return the score of generalised cross-validation; infinity where nothing is left.

    Args:
        mse: Mean squared error at the points.
        effective_parameters: Trace of the smoother.
        num_points: Number of points.
    """
    left = 1 - effective_parameters / num_points
    return mse / left**2 if left > 0 else math.inf


def ridge_path(evaluate: Callable[[float], RidgeTrial], scale: float) -> RidgePath:
    """Follow ridges down until the score has passed its least value.

    Args:
        evaluate: What a ridge comes to; asked from large to small, so that each
            solution is a start for the next.
        scale: Usual squared length of a column, where the path begins.

    Returns:
        The path, with the bottom of the parabola through the three least scores over
        the logarithm of the ridge.

    Example:
        >>> def bowl(ridge: float) -> RidgeTrial:
        ...     return RidgeTrial(ridge, 1 + math.log(ridge / 0.02) ** 2, 0.0, 0.0)
        >>> round(ridge_path(bowl, scale=1.0).ridge, 6)
        0.02
    """
    trials = [evaluate(scale * _FIRST)]
    while trials[-1].ridge > _SMALLEST * scale and not _has_risen(trials):
        trials.append(evaluate(trials[-1].ridge / FACTOR))
    while _best(trials) == 0 and trials[0].ridge < _LARGEST * scale:
        trials.insert(0, evaluate(trials[0].ridge * FACTOR))
    place = _best(trials)
    is_inside = 0 < place < len(trials) - 1
    return RidgePath(tuple(trials), _bottom(trials, place, is_inside), is_inside)


def _best(trials: Sequence[RidgeTrial]) -> int:
    # Of several that are as good the smallest ridge: a score that stays has not risen.
    return min(range(len(trials)), key=lambda place: (trials[place].score, -place))


def _has_risen(trials: Sequence[RidgeTrial]) -> bool:
    return len(trials) - 1 - _best(trials) >= _RISES


def _bottom(trials: Sequence[RidgeTrial], place: int, is_inside: bool) -> float:
    ridge = trials[place].ridge
    if not is_inside:
        return ridge
    before, here, after = (trials[place + k].score for k in (-1, 0, 1))
    bend = before - 2 * here + after
    if not (math.isfinite(bend) and bend > 0):
        return ridge
    # Larger ridges come first.
    return ridge * FACTOR ** ((after - before) / (2 * bend))
