"""At which steps of a fit its tangent kernel is looked at, and at how many points."""

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from tangrid.devices import require_memory
from tangrid.errors import ConfigError
from tangrid.experiments.analyze_plan import bytes_for, fitting_points
from tangrid.experiments.analyze_settings import MAX_ROWS
from tangrid.training.settings import TrainingSettings

if TYPE_CHECKING:
    from tangrid.experiments.fitting import Fit

    AnyFit = TypeVar("AnyFit", bound=Fit)

AUTO = "auto"
USUAL_POINTS = 512
_FRACTIONS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Shares of the time of training after which a fit that ends by time is looked at."""


@dataclass(frozen=True, kw_only=True)
class KernelTracking:
    """When and where the tangent kernel of a field in training is looked at.

    Nothing of it changes the training.
    """

    steps: tuple[int, ...] | None = None
    """Numbers of steps; None for about two in every power of ten, 0 and the last."""
    points: int = USUAL_POINTS
    """Points, drawn from those that are trained on."""
    seed: int = 0
    """What they are drawn with."""
    predict: bool = True
    """Whether trainings at the points alone are computed when the fit is trained."""

    def __post_init__(self) -> None:
        """Refuse what cannot be looked at.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not 1 <= self.points <= MAX_ROWS:
            raise ConfigError(
                f"track-points: expected 1 to {MAX_ROWS:,}, of which all eigenvalues "
                f"can be had, got {self.points:,}. {USUAL_POINTS} are usual."
            )
        steps = self.steps
        if steps is None:
            return
        is_rising = all(later > sooner for sooner, later in pairwise(steps))
        if not steps or steps[0] < 0 or not is_rising:
            shown = ",".join(str(step) for step in steps) or "none"
            raise ConfigError(
                "track-kernel: expected increasing numbers of steps from 0 on, got "
                f"{shown}. Write for example 0,10,100, or auto."
            )


@dataclass(frozen=True)
class Timetable:
    """Say when a look is due.

    Attributes:
        steps: Numbers of steps; None if shares of training decide.
    """

    steps: frozenset[int] | None

    @classmethod
    def of(cls, tracking: KernelTracking, training: TrainingSettings) -> "Timetable":
        """Return the timetable of a fit.

        Args:
            tracking: What was asked for.
            training: When training ends.
        """
        if tracking.steps is not None:
            return cls(frozenset(tracking.steps))
        if training.minutes is None and training.steps is not None:
            return cls(frozenset(auto_steps(training.steps)))
        return cls(None)

    def is_due(self, step: int, before: float, fraction: float) -> bool:
        """Return whether the field is looked at after a step.

        Args:
            step: Steps taken.
            before: How much of training was done before the last one, 0 to 1.
            fraction: How much is done now.
        """
        if self.steps is not None:
            return step in self.steps
        return step == 0 or any(before < mark <= fraction for mark in _FRACTIONS)


def auto_steps(steps: int) -> tuple[int, ...]:
    """Return about two numbers of steps in every power of ten, 0 and the last.

    Args:
        steps: The last one.

    Example:
        >>> auto_steps(50)
        (0, 1, 3, 10, 30, 50)
    """
    spread = (digit * 10**power for power in range(len(str(steps))) for digit in (1, 3))
    return (0, *(step for step in spread if step < steps), steps)


def tracking_of(
    steps: str | Sequence[int] | None,
    points: int | None = None,
    *,
    predict: bool = True,
    seed: int = 0,
) -> KernelTracking | None:
    """Return what is asked for in words or numbers; None for nothing.

    Args:
        steps: ``auto``, numbers, or numbers with commas; None to track nothing.
        points: Points; None for the usual number.
        predict: Whether trainings at the points alone are computed.
        seed: What the points are drawn with.

    Raises:
        ConfigError: If it is none of these, or something is asked of no tracking.

    Example:
        >>> tracking_of("0,10,100").steps, tracking_of(None)
        ((0, 10, 100), None)
    """
    if steps is None:
        if points is not None or not predict:
            name = "track-only" if points is None else "track-points"
            raise ConfigError(
                f"{name}: expected a kernel that is tracked, got none. Say at which "
                "steps with track-kernel, such as 0,10,100 or auto."
            )
        return None
    chosen = None if steps == AUTO else _numbers(steps)
    usual = USUAL_POINTS if points is None else points
    return KernelTracking(steps=chosen, points=usual, predict=predict, seed=seed)


def _numbers(steps: str | Sequence[int]) -> tuple[int, ...]:
    words = steps.split(",") if isinstance(steps, str) else steps
    try:
        return tuple(
            int(word) if isinstance(word, str) else operator.index(word)
            for word in words
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"track-kernel: expected numbers of steps with commas, or auto, got "
            f"'{steps}'. Write for example 0,10,100."
        ) from error


def with_tracking(
    experiment: "AnyFit", tracking: KernelTracking | None, num_channels: int
) -> "AnyFit":
    """Return a fit whose tangent kernel is tracked, if it can be.

    Args:
        experiment: What is fitted.
        tracking: When and where; None to leave it as it is.
        num_channels: Values per point of the kernel.

    Raises:
        ConfigError: If a step is never reached or there are none.
        ResourceError: If the kernels do not fit into memory; it is said what would.
    """
    if tracking is None:
        return experiment
    training = experiment.training
    if training.optimizer == "exact":
        raise ConfigError(
            "track-kernel: expected a fit in steps, got the optimiser exact, which "
            "solves a linear field, whose kernel does not move. Leave one of them out."
        )
    last = max(tracking.steps or (0,))
    if training.steps is not None and last > training.steps:
        raise ConfigError(
            f"track-kernel: expected steps up to {training.steps}, the last of this "
            f"fit, got {last}. Say --steps {last}, or leave it out here."
        )
    points = tracking.points
    require_memory(
        bytes_for(points, num_channels),
        f"track-kernel: kernels of {points:,} points and {num_channels} channels",
        f"{fitting_points(points, num_channels):,} points would fit: say so with "
        "track-points.",
    )
    return dataclasses.replace(experiment, track=tracking)
