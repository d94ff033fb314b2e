"""The training loop: batches, steps of an optimiser, log, saved states."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from tangrid.devices import HOST, forget_peak_memory, wait_for
from tangrid.errors import (
    ConfigError,
    DataError,
    InterruptedRunError,
    NumericalError,
)
from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers
from tangrid.runs.store import RunFolder
from tangrid.tasks.contract import Batch, Task
from tangrid.training.checkpoint import (
    Progress,
    RunningMean,
    TrainingState,
    load_state,
    save_field,
    save_state,
    saved_progress,
)
from tangrid.training.exact import solve_exactly
from tangrid.training.gauss_newton import GaussNewton
from tangrid.training.gradients import add_gradients
from tangrid.training.interruption import Interruption
from tangrid.training.least_squares_checks import check_gauss_newton
from tangrid.training.log import Log, Moment
from tangrid.training.loss_reader import LossReader
from tangrid.training.loss_scale import LossScale
from tangrid.training.optimizer import Adam
from tangrid.training.schedules import rate_factor
from tangrid.training.settings import TrainingSettings

_SMALLEST_SCALE = 2.0**-14
"""Factor of the loss below which gradients are infinite for another reason."""


@dataclass(frozen=True)
class FittedField:
    """What training returns.

    Attributes:
        field: The trained field, or the running mean of it if the settings keep one.
        progress: Steps, seconds and points it took.
        solution: How it was solved for, where it was solved exactly.
        was_interrupted: Whether the user asked for an end during the last step.
    """

    field: Field
    progress: Progress
    solution: Mapping[str, Any] | None = None
    was_interrupted: bool = False


@dataclass(frozen=True)
class Probe:
    """What is measured now and then while a field is trained.

    Attributes:
        seconds: Training time between measurements.
        measure: Gives numbers by name, of the field as it would be returned. Its time
            counts as time of training.
    """

    seconds: float
    measure: Callable[[Field, Workers], Mapping[str, float]]


def fit(
    task: Task,
    field: Field,
    settings: TrainingSettings,
    *,
    folder: RunFolder | None = None,
    resume: bool = False,
    on_step: Callable[[Moment], None] | None = None,
    probe: Probe | None = None,
) -> FittedField:
    """Train a field for a task.

    Args:
        task: Gives batches and their loss.
        field: What is trained, in place.
        settings: How.
        folder: Where the log and the states go; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        on_step: Called after every step.
        probe: What is measured now and then.

    Returns:
        The trained field and what it took.

    Raises:
        ConfigError: If task and field are on different devices, or the optimiser is not
            one for them.
        NumericalError: If the loss or a parameter is not finite; the state before it is
            saved, if it is finite.
        InterruptedRunError: If the user stopped the run; its state is saved.
    """
    if settings.optimizer == "exact":
        if probe is not None:
            raise ConfigError(
                "training.optimizer: expected one with steps that a probe can look "
                "between, got exact, which leaves nothing between its steps. Leave the "
                "probe out."
            )
        done = solve_exactly(task, field, settings, folder=folder, on_step=on_step)
        return FittedField(field, *done)
    if settings.optimizer == "gauss-newton":
        check_gauss_newton(settings, field, is_least_squares=task.is_least_squares)
    device = field.device
    if task.device != device:
        raise ConfigError(
            f"training: expected a task on {device}, where the field is, got one on "
            f"{task.device}. Move the field with .to(device), or make the task there."
        )
    forget_peak_memory(device)
    with Workers(settings.threads, device) as workers, Interruption() as interruption:
        training = _Training(task, field, settings, workers, folder, probe)
        if resume and folder is not None:
            training.restore()
        training.warm_up()
        while not training.is_done:
            moment = training.advance()
            if on_step is not None:
                on_step(moment)
            if interruption.requested and not training.is_done:
                training.save()
                raise _interrupted(moment, folder)
        training.save()
        return replace(training.result, was_interrupted=interruption.requested)


def _interrupted(moment: Moment, folder: RunFolder | None) -> InterruptedRunError:
    if folder is None:
        return InterruptedRunError(f"Interrupted after step {moment.step}.")
    return InterruptedRunError(
        f"Interrupted after step {moment.step}; the state is saved in {folder.path}. "
        f"Repeat the command with --resume to go on from there."
    )


class _Training:
    """Everything that changes while a field is trained."""

    def __init__(
        self,
        task: Task,
        field: Field,
        settings: TrainingSettings,
        workers: Workers,
        folder: RunFolder | None,
        probe: Probe | None,
    ) -> None:
        self._probe = probe
        self._probed = 0.0
        self._probed_step = 0
        self._task = task
        self._field = field
        self._settings = settings
        self._workers = workers
        self._folder = folder
        self._optimizer: Adam | GaussNewton = (
            GaussNewton(field, settings, workers, seed=task.seed)
            if settings.optimizer == "gauss-newton"
            else Adam(field, settings, workers)
        )
        self._mean = RunningMean(field, settings.ema) if settings.ema else None
        first = settings.loss_scale
        self._scale = None if first is None else LossScale(first, workers.device)
        self._reader = LossReader(workers)
        self._log = Log(folder, settings, self._reader)
        self._progress = Progress()
        self._saved = time.monotonic()

    @property
    def result(self) -> FittedField:
        """The trained field and what it took."""
        field = self._mean.field if self._mean else self._field
        return FittedField(field, self._progress)

    @property
    def _state(self) -> TrainingState:
        return TrainingState(
            field=self._field,
            optimizer=self._optimizer,
            mean=self._mean,
            learned=self._task.state,
            scale=self._scale,
        )

    @property
    def fraction(self) -> float:
        """How much of training is done, 0 to 1, by steps or by time."""
        return self._progress.fraction(self._settings)

    @property
    def is_done(self) -> bool:
        """Whether steps or time have run out."""
        return self.fraction >= 1

    def restore(self) -> None:
        """Go back to the state in the folder and drop what was logged after it.

        Raises:
            DataError: If the state is damaged or belongs to other settings.
        """
        if self._folder is None:
            return
        progress = saved_progress(self._folder)
        steps = self._settings.steps
        if steps is not None and progress.step > steps:
            raise DataError(
                f"{self._folder.path}: expected a state of at most {steps} steps, got "
                f"one of {progress.step}. It belongs to other settings; run the fit "
                "again."
            )
        self._progress = progress
        self._grow()
        load_state(self._folder, self._state)
        self._log.truncate(progress.step)

    def warm_up(self) -> None:
        """Compile what a step runs, on few points, before any time is counted.

        A GPU is given a whole batch, whose size its programs may be compiled for.
        Nothing that training keeps is changed.
        """
        batch = self._task.batch(self._progress.step)
        if self._workers.device == HOST:
            batch = batch.pieces(2)[0]
        if isinstance(self._optimizer, GaussNewton):
            self._optimizer.warm_up(batch)
            return
        self._add_gradients(batch, self._optimizer, piece_size=1)
        self._optimizer.warm_up()

    def _add_gradients(self, batch: Batch, adam: Adam, piece_size: int) -> Tensor:
        scale = None if self._scale is None else self._scale.factor
        return add_gradients(
            self._workers,
            self._task,
            self._field,
            batch,
            adam,
            piece_size,
            scale,
        )

    def _move(self, batch: Batch, step: int, fraction: float) -> dict[str, float]:
        """Let the optimiser take a step.

        Returns:
            Its rates, if it has any.
        """
        if isinstance(self._optimizer, GaussNewton):
            self._take_loss(step + 1, self._optimizer.step(batch))
            return {}
        adam = self._optimizer
        loss = self._add_gradients(batch, adam, self._settings.piece_size)
        self._take_loss(step + 1, loss)
        factor = rate_factor(self._settings, step, fraction)
        return adam.step(factor, self._reason_to_hold(adam, loss))

    def _take_loss(self, step: int, loss: Tensor) -> None:
        self._reader.add(step, loss)
        if self._reader.is_due or step == self._settings.steps:
            self._read_losses()

    def advance(self) -> Moment:
        """Take one step, log it, and save now and then.

        Returns:
            What happened.
        """
        start = time.monotonic()
        step, fraction = self._progress.step, self.fraction
        batch = self._task.batch(step)
        rates = self._move(batch, step, fraction)
        updates, rest = divmod(step, self._settings.ema_interval)
        if self._mean and not rest:
            self._mean.update(self._field, updates + 1)
        points = self._progress.points + self._task.finish_step(
            step, batch, self._field, self._workers
        )
        own = self._optimizer.measures
        measures = {**self._task.measures, **own, **self._probe_now()}
        seconds = self._progress.seconds + time.monotonic() - start
        self._progress = Progress(step + 1, seconds, points)
        self._grow()
        moment = Moment(
            step + 1,
            self.fraction,
            seconds,
            points,
            self._reader.latest,
            rates,
            self._task.loss_is_squared,
            measures,
        )
        is_special = self.is_done or moment.step == self._probed_step
        self._log.add(moment, always=is_special)
        if time.monotonic() - self._saved > 60 * self._settings.checkpoint_minutes:
            self.save()
        return moment

    def _reason_to_hold(self, adam: Adam, loss: Tensor) -> Tensor | None:
        """Return one number, not 0 where the gradients must not move anything."""
        held = None
        if self._workers.device != HOST:
            # What nobody waits to look at must not ruin the parameters meanwhile.
            held = (~loss.isfinite()).float()
        if self._scale is not None:
            overflow = self._scale.take_out(adam.all_grads)
            held = overflow if held is None else held + overflow
        return held

    def _read_losses(self) -> None:
        """Look at all losses that were not looked at yet.

        Raises:
            NumericalError: If one is not finite; the state is saved before.
        """
        if self._reader.is_empty:
            return
        self._reader.read()
        for step, loss in self._reader.values.items():
            if not math.isfinite(loss):
                self._keep()
                raise self._not_finite(f"a finite loss, got {loss}", step)
        if self._scale is not None and self._scale.factor.item() < _SMALLEST_SCALE:
            self._keep()
            expected = "finite gradients, got infinite ones again and again"
            raise self._not_finite(expected, self._progress.step + 1)

    def _probe_now(self) -> Mapping[str, float]:
        """Return what the probe measures, if it is due."""
        seconds = self._progress.seconds
        if self._probe is None or seconds - self._probed < self._probe.seconds:
            return {}
        self._probed, self._probed_step = seconds, self._progress.step + 1
        return self._probe.measure(self.result.field, self._workers)

    def _grow(self) -> None:
        """Make the field as fine as it is to be by now."""
        maps = self._field.grow(self.fraction)
        if maps:
            self._optimizer.grow(self._field, maps)
            if self._mean is not None:
                self._mean.field.grow(self.fraction)

    def save(self) -> None:
        """Write the field and the state, if there is a folder.

        Raises:
            NumericalError: If a loss is not finite, or a step has ruined a parameter;
                in that case nothing is written.
        """
        if self._workers.device != HOST:
            start = time.monotonic()
            self._read_losses()
            wait_for(self._workers.device)
            self._log.write()
            seconds = self._progress.seconds + time.monotonic() - start
            self._progress = replace(self._progress, seconds=seconds)
        self._keep()

    def _keep(self) -> None:
        for name, parameter in self._field.named_parameters():
            if not parameter.isfinite().all():
                expected = f"finite parameters, got some in '{name}' that are not,"
                raise self._not_finite(expected, self._progress.step, is_kept=False)
        self._saved = time.monotonic()
        if self._folder is None:
            return
        save_field(self._folder, self.result.field)
        save_state(self._folder, self._state, self._progress)

    def _not_finite(
        self, expected: str, step: int, *, is_kept: bool = True
    ) -> NumericalError:
        kept = ""
        if is_kept and self._folder is not None:
            kept = f" The state before it is saved in {self._folder.path}."
        to_do = "Lower the learning rates (training.rates) or choose"
        if isinstance(self._optimizer, GaussNewton):
            to_do = "Choose"
        return NumericalError(
            f"training: expected {expected} at step {step}.{kept} {to_do} another "
            "normaliser or initialisation."
        )
