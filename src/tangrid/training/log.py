"""What single steps looked like, and which of them a run's log keeps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tangrid.runs.store import RunFolder
from tangrid.training.loss_reader import LossReader
from tangrid.training.settings import TrainingSettings

LOG_FILE = "metrics.jsonl"
_LOGGED_STEPS = 500
# Saving often enough to lose little must still cost little.
_SECONDS_BETWEEN_LOGS = 0.2


@dataclass(frozen=True)
class Moment:
    """What one step of training looked like.

    Attributes:
        step: Steps taken, this one included.
        fraction: How much of training is done, 0 to 1.
        seconds: Wall time of training so far.
        points: Points seen so far.
        loss: Mean loss of the step's batch before the update; on a GPU that of the last
            step whose loss was read, one in sixteen.
        rates: Learning rate of each parameter group.
        is_squared: Whether the loss is a mean squared error of values up to 1.
        measures: Numbers that the task adds.
    """

    step: int
    fraction: float
    seconds: float
    points: int
    loss: float
    rates: dict[str, float]
    is_squared: bool = True
    measures: Mapping[str, float] = field(default_factory=dict)

    @property
    def psnr(self) -> float | None:
        """Peak signal-to-noise ratio that belongs to the loss, in dB, if any does."""
        if not self.is_squared:
            return None
        return -10 * math.log10(self.loss) if self.loss > 0 else math.inf

    @property
    def line(self) -> dict[str, Any]:
        """What a run's log says of it."""
        line = {
            "step": self.step,
            "seconds": self.seconds,
            "points": self.points,
            "loss": self.loss,
            "psnr": self.psnr,
            "rates": self.rates,
            **self.measures,
        }
        if self.psnr is None:
            del line["psnr"]
        return line

    @property
    def seconds_left(self) -> float:
        """Estimated wall time to the end."""
        return self.seconds * (1 / self.fraction - 1) if self.fraction else math.inf


class Log:
    """The lines of a run's log; each is written as soon as its loss has been read.

    Args:
        folder: The run; None to keep nothing.
        settings: How many steps there will be.
        reader: Gives the losses.
    """

    def __init__(
        self, folder: RunFolder | None, settings: TrainingSettings, reader: LossReader
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._reader = reader
        self._unwritten: list[Moment] = []
        self._last = -math.inf

    def truncate(self, step: int) -> None:
        """Drop what was logged after a step.

        Args:
            step: The last one to keep.
        """
        if self._folder is not None and self._folder.has(LOG_FILE):
            self._folder.truncate_lines(LOG_FILE, step)

    def add(self, moment: Moment, *, always: bool) -> None:
        """Take in a step, if it is one of those that are kept.

        Args:
            moment: What it looked like.
            always: Whether it is kept in any case.
        """
        if self._folder is None:
            return
        if always or self._is_kept(moment):
            self._last = moment.seconds
            self._unwritten.append(moment)
        self.write()

    def _is_kept(self, moment: Moment) -> bool:
        if moment.step <= 1:
            return True
        if self._settings.steps is None:
            return moment.seconds - self._last > _SECONDS_BETWEEN_LOGS
        return moment.step % max(self._settings.steps // _LOGGED_STEPS, 1) == 0

    def write(self) -> None:
        """Write down the steps whose losses were read last."""
        losses = self._reader.values
        while self._unwritten and self._unwritten[0].step in losses:
            moment = self._unwritten.pop(0)
            self._write(replace(moment, loss=losses[moment.step]))

    def _write(self, moment: Moment) -> None:
        if self._folder is not None:
            self._folder.append_line(LOG_FILE, moment.line)
