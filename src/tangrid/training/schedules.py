"""Learning rates as a function of progress."""

import math

from tangrid.training.settings import TrainingSettings


def rate_factor(settings: TrainingSettings, step: int, progress: float) -> float:
    r"""Return what the rates are multiplied by at one step.

    Cosine: :math:`r + (1 - r)(1 + \cos \pi p)/2` at progress p, r the final rate.
    Exponential: :math:`r^{(p - h)/(1 - h)}` once a fraction h is done.

    Args:
        settings: Schedule and its numbers.
        step: Number of the step, from 0.
        progress: Fraction of training done, 0 to 1.

    Example:
        >>> rate_factor(TrainingSettings(), 0, 0.0)
        1.0
    """
    factor = 1.0
    if settings.schedule == "cosine":
        low = settings.final_rate
        factor = low + (1 - low) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    elif settings.schedule == "exponential":
        fallen = max(min(progress, 1.0) - settings.hold, 0.0) / (1 - settings.hold)
        factor = settings.final_rate**fallen
    elif settings.schedule == "steps":
        passed = sum(progress >= milestone for milestone in settings.milestones)
        factor = settings.step_factor**passed
    if step < settings.warmup_steps:
        factor *= (step + 1) / settings.warmup_steps
    return factor
