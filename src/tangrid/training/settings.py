"""How a field is fitted: steps, rates, schedule, pieces."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from tangrid.errors import ConfigError
from tangrid.runs.annotations import ADDED_LATER

_LARGEST_BETA = 0.9997
"""Above it the bias correction outlasts what an entry counts its updates with."""
DEFAULT_STEPS = 1000
"""Steps of a fit that is given neither steps nor minutes."""
GAUSS_NEWTON_STEPS = 50
"""Steps of a Gauss-Newton fit that is given neither: each is worth dozens of Adam's."""
SDF_BATCH_SIZE = 2**15
"""Points per step of a fit to a mesh, where no other number is given."""
SCENE_BATCH_SIZE = 2**15
"""Samples per step of a fit to a scene, where no other number is given."""
SCENE_STEPS = 5000
"""Steps of a fit to a scene that is given neither steps nor minutes."""
_FLAGS = ("steps", "batch_size", "threads")
"""Whole numbers that have a flag of their own."""
Schedule = Literal["cosine", "constant", "steps", "exponential"]
OptimizerName = Literal["adam", "gauss-newton", "exact"]


def _default_rates() -> dict[str, float]:
    return {"grid": 1e-2, "kernel": 2e-3, "decoder": 5e-3}


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a field is fitted."""

    steps: int | None = 1000
    """Optimiser steps; None if the time alone ends training."""
    minutes: float | None = None
    """Wall time of training after which it stops."""
    batch_size: int = 65_536
    """Points per step."""
    piece_size: int = 4096
    """Points that one thread works on at a time, so that they stay in its cache."""
    rates: dict[str, float] = field(default_factory=_default_rates)
    """Learning rate of each parameter group."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of Adam's moments."""
    eps: float = 1e-15
    """Added to the root of Adam's second moment; tiny, because grid gradients are."""
    schedule: Schedule = "cosine"
    """How rates fall: to final_rate, not at all, by step_factor at each milestone."""
    final_rate: float = 0.01
    """Fraction of the rates at the end of a cosine or exponential schedule."""
    hold: float = 0.0
    """Fraction of training in which an exponential schedule has not begun to fall."""
    warmup_steps: int = 0
    """Steps in which the rates rise linearly from zero."""
    milestones: tuple[float, ...] = (0.5, 0.75, 0.9)
    """Fractions of training at which a step schedule lowers the rates."""
    step_factor: float = 0.33
    """Factor of the rates at each milestone."""
    ema: float | None = None
    """Decay of a running mean of the parameters that is evaluated in their place."""
    ema_interval: int = 1
    """Steps between updates of that mean."""
    loss_scale: float | None = field(default=None, metadata=ADDED_LATER)
    """Factor of the loss at first, for gradients that go through float16; None for none
    in float32 and bfloat16, and 128 in float16."""
    optimizer: OptimizerName = field(default="adam", metadata=ADDED_LATER)
    """What moves the parameters: adam; gauss-newton, second-order steps for a field
    with a decoder; exact, the optimum of a field that is linear in them."""
    ridge: float | None = field(default=None, metadata=ADDED_LATER)
    """Weight of the squared parameters in an exact solution; None to choose it."""
    ridge_rule: Literal["gcv", "holdout"] = field(default="gcv", metadata=ADDED_LATER)
    """How it is chosen: by generalised cross-validation, or by points held out of the
    training points for that, a tenth of them."""
    threads: int | None = None
    """Threads to use; None for all that the process may."""
    checkpoint_minutes: float = 2.0
    """Wall time between saved states."""

    @property
    def known_steps(self) -> int | None:
        """Steps that a fit will take, if that is known; an exact one's is not."""
        return None if self.optimizer == "exact" else self.steps

    def __post_init__(self) -> None:
        """Refuse settings that cannot train.

        Raises:
            ConfigError: If a number is out of range or nothing ends training.
        """
        if self.steps is None and self.minutes is None:
            raise ConfigError(
                "training: expected steps or minutes, got neither. Say --steps N or "
                "--minutes M."
            )
        for name in ("steps", "batch_size", "piece_size", "threads", "ema_interval"):
            value = getattr(self, name)
            if value is not None and value < 1:
                flag = name.replace("_", "-")
                flag = f"--{flag}" if name in _FLAGS else f"--set training.{flag}=N"
                raise ConfigError(
                    f"training.{name}: expected a whole number >= 1, got {value}. Say "
                    f"{flag} with a positive number."
                )
        if self.minutes is not None and not self.minutes > 0:
            raise ConfigError(
                f"training.minutes: expected a time above 0, got {self.minutes}."
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise ConfigError(
                f"training.ema: expected a decay between 0 and 1, got {self.ema}."
            )
        if self.loss_scale is not None and not 0 < self.loss_scale < math.inf:
            raise ConfigError(
                "training.loss_scale: expected a factor above 0, or none, got "
                f"{self.loss_scale}. 128 is usual."
            )
        if self.ridge is not None and not 0 < self.ridge < math.inf:
            raise ConfigError(
                "training.ridge: expected a number above 0, or none, got "
                f"{self.ridge}. Without any the optimum is not unique; 1e-6 is as good "
                "as none."
            )
        self._check_schedule()
        self._check_adam()

    def _check_schedule(self) -> None:
        if not 0 <= self.hold < 1:
            raise ConfigError(
                "training.hold: expected a fraction from 0 to below 1, got "
                f"{self.hold}."
            )
        is_falling = self.schedule == "exponential"
        if not (self.final_rate >= 0 and (self.final_rate > 0 or not is_falling)):
            least = (
                "above 0 for an exponential schedule" if is_falling else "of 0 or more"
            )
            raise ConfigError(
                f"training.final_rate: expected a fraction {least}, got "
                f"{self.final_rate}. 0.01 is usual."
            )

    def _check_adam(self) -> None:
        for beta in self.betas:
            if not 0 <= beta <= _LARGEST_BETA:
                raise ConfigError(
                    f"training.betas: expected decays from 0 to {_LARGEST_BETA}, got "
                    f"{self.betas}."
                )
        if not self.eps > 0:
            raise ConfigError(f"training.eps: expected a number > 0, got {self.eps}.")
        for group, rate in self.rates.items():
            if not rate >= 0:
                raise ConfigError(
                    f"training.rates.{group}: expected a rate >= 0, got {rate}."
                )


def training_for(
    steps: int | None,
    minutes: float | None,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    optimizer: str = "adam",
) -> TrainingSettings:
    """Return training settings that end after steps or minutes.

    Args:
        steps: Optimiser steps; the default number if minutes are not given either.
        minutes: Wall time.
        batch_size: Points per step; None for the default.
        threads: Threads to use; None for all that the process may.
        optimizer: What will move the parameters, which the usual steps depend on.
    """
    if steps is None and minutes is None:
        is_second_order = optimizer == "gauss-newton"
        steps = GAUSS_NEWTON_STEPS if is_second_order else DEFAULT_STEPS
    settings = TrainingSettings(steps=steps, minutes=minutes, threads=threads)
    if batch_size is None:
        return settings
    return replace(settings, batch_size=batch_size)


def scene_training(
    steps: int | None,
    minutes: float | None,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
) -> TrainingSettings:
    """Return the recipe of fits to posed photographs.

    Rates are held for most of the time and then fall to a tenth; a running mean of the
    parameters is evaluated. On lego in two minutes that gave 32.0 dB, rates that fall
    from 30 % on to a thirtieth 31.5: they fit the photographs better, new views worse.

    Args:
        steps: Optimiser steps; the default number if minutes are not given either.
        minutes: Wall time.
        batch_size: Samples per step; None for the default.
        threads: Threads to use; None for all that the process may.
    """
    if steps is None and minutes is None:
        steps = SCENE_STEPS
    return TrainingSettings(
        steps=steps,
        minutes=minutes,
        batch_size=SCENE_BATCH_SIZE if batch_size is None else batch_size,
        # Half a step: between pieces threads wait for each other.
        piece_size=2**14,
        threads=threads,
        schedule="exponential",
        hold=0.7,
        final_rate=0.1,
        ema=0.92,
        ema_interval=4,
    )
