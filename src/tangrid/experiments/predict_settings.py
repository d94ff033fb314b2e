"""How much of a signal a prediction looks at, and how long its short training is."""

import math
from dataclasses import dataclass, replace

from tangrid.errors import ConfigError
from tangrid.training.settings import TrainingSettings

_KERNEL_STEP = 0.5
"""Part of the short training after which the kernel is looked at."""
_LEAST_RIDGE = 1e-5
_SHORTEST = 100
"""Steps that a short training has at least, where nobody says how many."""
_SHARE = 1 / 3
"""Length of a short training, in that of the whole one, where nobody says more."""
_FASTER = 3.0
"""Most by which the short training multiplies rates, to go as far in fewer steps."""


@dataclass(frozen=True, kw_only=True)
class PredictionSettings:
    """What a prediction costs and rests on, the same for all candidates."""

    windows: int = 16
    """Small places whose training points are looked at, per seed."""
    points: int = 128
    """Training points in each of them, about."""
    judged: float = 0.25
    """Share of these that the short training does not see."""
    lesson_steps: int | None = None
    """Steps of the short training; None for a third of the fit's, 100 at least; 0
    predicts from the untouched kernel alone."""
    ridge: float = 0.1
    """Ridge of the kernel amid the short training, in shares of its mean eigenvalue."""
    initial_ridge: float = 3e-4
    """Ridge of the untouched kernel as Adam sees it, in the same shares."""
    plain_ridge: float = 1e-3
    """Ridge of the untouched kernel, in the same shares."""

    def __post_init__(self) -> None:
        """Refuse what predicts nothing.

        Raises:
            ConfigError: If a number is out of range.
        """
        least = {
            "windows": (2, "--windows"),
            "points": (16, "--window-points"),
            "lesson_steps": (0, "--lesson-steps"),
        }
        for name, (smallest, flag) in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ConfigError(
                    f"{name}: expected a whole number >= {smallest}, got {value}. Say "
                    f"{flag} with a larger one."
                )
        if not 0 < self.judged < 1:
            raise ConfigError(
                "judged: expected a share between 0 and 1, got "
                f"{self.judged:g}. A quarter is usual."
            )
        for name in ("ridge", "initial_ridge", "plain_ridge"):
            if not _LEAST_RIDGE <= getattr(self, name) < math.inf:
                raise ConfigError(
                    f"{name}: expected a finite share of at least {_LEAST_RIDGE:g}, "
                    "below which kernels in single precision are rounding, got "
                    f"{getattr(self, name):g}. {getattr(type(self), name):g} is usual."
                )

    def lesson_of(self, training: TrainingSettings) -> TrainingSettings | None:
        """Return how the short training is done: as the whole one, but faster.

        Where it has fewer steps these are larger, so that it goes about as far. Of a
        fit that ends with its time nobody knows the steps: there it has the fewest, and
        no warm-up.

        Args:
            training: How a candidate would be trained.

        Returns:
            Its settings; None where there is none.
        """
        if self.lesson_steps == 0:
            return None
        most = math.inf if training.steps is None else training.steps
        whole = most if training.minutes is None else math.inf
        usual = max(round(_SHARE * whole), _SHORTEST) if whole < math.inf else _SHORTEST
        steps = int(min(self.lesson_steps or usual, most))
        faster = min(whole / steps, _FASTER)
        return replace(
            training,
            steps=steps,
            minutes=None,
            warmup_steps=round(training.warmup_steps * steps / whole),
            optimizer="adam",
            ema=None,
            rates={name: faster * rate for name, rate in training.rates.items()},
        )


def kernel_step(lesson: TrainingSettings) -> int:
    """Return the step of a short training after which the kernel is looked at.

    Args:
        lesson: How it is done.
    """
    return round(_KERNEL_STEP * (lesson.steps or 0))
