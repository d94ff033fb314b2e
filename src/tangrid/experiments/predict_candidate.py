"""What one model will do on new points, from its tangent kernel and a short lesson.

Estimates of the mean square error on points that training does not see:

plain
    The tangent kernel of the untouched field: exact leave-one-out errors of regression
    with it at the points of each window. No training at all.
initial
    The same with the kernel as Adam sees it.
kernel
    The same in the middle of a short training. Judged are points whose labels the
    kernel does not know.
lesson
    The error that the short training itself leaves at those points.

The prediction is a geometric mean of the last three, with the weights `WEIGHTS`: a
frozen kernel is too hopeful where a field learns noise, a short lesson where it learns
slowly. They are those of an earlier form of the lesson, on one of the three seeds of
``papers/predictions``, kept after all seeds of its short round had been seen.
"""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tangrid.errors import InterruptedRunError, NumericalError
from tangrid.experiments.fitting import Fit
from tangrid.experiments.predict_sample import (
    GroupedSample,
    Window,
    grouped_sample,
    seen,
)
from tangrid.experiments.predict_settings import PredictionSettings, kernel_step
from tangrid.fields import Field
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.left_out import leave_one_out_errors
from tangrid.tangent.kernels.assembly import gradient_parts
from tangrid.tangent.kernels.diagonal_blocks import diagonal_blocks
from tangrid.tangent.kernels.parts import Part
from tangrid.tangent.kernels.preconditioned import in_adam_units
from tangrid.tasks.contract import PointBatch, Task
from tangrid.training import Moment, TrainingSettings, fit

WEIGHTS = {"initial": 0.2, "kernel": 0.2, "lesson": 0.6}
"""Shares of the estimates in the logarithm of the predicted error."""
SMALLEST = 1e-30
"""Error that stands for none in a geometric mean."""
_SMALLEST_PIECE = 256
_MOST_LEFT = 0.1
"""Share of the variance that a lesson which went well leaves at most."""
_TRIAL = 1 / 4
"""Part of a lesson that is given at the own rates, to see whether they leave less."""
Errors = Float[Tensor, " windows"]
"""Mean square error at the judged points of each window."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Hold the estimated errors of one field, window by window.

    Attributes:
        plain: From the untouched kernel.
        initial: From the untouched kernel as Adam sees it.
        kernel: From the kernel in the middle of the lesson; None without one.
        lesson: What the lesson left; None without one.
        seconds: What each took, by name.
    """

    plain: Errors
    initial: Errors
    kernel: Errors | None
    lesson: Errors | None
    seconds: Mapping[str, float]

    @property
    def predicted(self) -> Errors:
        """The error that is predicted in each window."""
        if self.kernel is None or self.lesson is None:
            return self.initial
        parts = {"initial": self.initial, "kernel": self.kernel, "lesson": self.lesson}
        logs = [
            weight * parts[name].clamp(min=SMALLEST).log()
            for name, weight in WEIGHTS.items()
        ]
        return torch.stack(logs).sum(0).exp()

    def to_plain(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            name: None if found is None else found.tolist()
            for name, found in (
                ("plain", self.plain),
                ("initial", self.initial),
                ("kernel", self.kernel),
                ("lesson", self.lesson),
                ("predicted", self.predicted),
            )
        } | {"seconds": dict(self.seconds)}


class WindowLesson(Task[PointBatch]):
    """Fit all points that a lesson may see, in every step.

    Args:
        windows: Where they are.
        site: What an encoding may know of the signal.
        device: Where the field is.
    """

    def __init__(
        self, windows: Sequence[Window], site: Site, device: torch.device
    ) -> None:
        coords, values = seen(windows)
        self._batch = PointBatch(coords.to(device), values.to(device))
        self._site = site
        self.device = device

    @property
    def site(self) -> Site:
        """What an encoding may know of the signal."""
        return self._site

    def batch(self, step: int) -> PointBatch:
        """Return all points.

        Args:
            step: Number of the step, which changes nothing.
        """
        del step
        return self._batch

    def loss(self, field: Field, batch: PointBatch) -> Float[Tensor, ""]:
        """Return the mean squared error over points and channels.

        Args:
            field: What is trained.
            batch: Points and wanted values.
        """
        return torch.nn.functional.mse_loss(field.forward(batch.coords), batch.targets)


def estimate(
    experiment: Fit,
    site: Site,
    windows: Sequence[Window],
    settings: PredictionSettings,
    device: torch.device,
    *,
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> Estimates:
    """Return what is predicted for one model with one seed.

    Args:
        experiment: The model and how it would be trained.
        site: Where it is built, with the signal's sampler.
        windows: The sample of the signal.
        settings: How long the lesson is, and the ridges.
        device: Where to compute.
        limits: What outputs are clipped to before they are judged, as a PSNR does; None
            for signals without limits.
    """
    judge = _Judge(grouped_sample(windows, device), limits)
    field = experiment.build(site).to(device)
    rates = experiment.training.rates
    seconds: dict[str, float] = {}
    with _timed(seconds, "plain"):
        gradients = judge.gradients_of(field)
        plain = judge.left_out(gradients, field, settings.plain_ridge, taught=False)
    with _timed(seconds, "initial"):
        gradients = in_adam_units(gradients, field, rates)
        initial = judge.left_out(gradients, field, settings.initial_ridge, taught=False)
    # They may be large, and a lesson is long.
    del gradients
    asked = settings.lesson_of(experiment.training)
    if asked is None:
        return Estimates(
            plain=plain, initial=initial, kernel=None, lesson=None, seconds=seconds
        )
    with _timed(seconds, "lesson"):
        taught = _taught(experiment, field, windows, asked)
        lesson = judge.left_by(taught.end)
    with _timed(seconds, "kernel"):
        as_adam = in_adam_units(judge.gradients_of(taught.middle), taught.middle, rates)
        kernel = judge.left_out(as_adam, taught.middle, settings.ridge, taught=True)
    return Estimates(
        plain=plain, initial=initial, kernel=kernel, lesson=lesson, seconds=seconds
    )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = time.monotonic() - began


@dataclass(frozen=True)
class _Lesson:
    """Hold what a short training made of a field.

    Attributes:
        middle: The field in the middle of it.
        end: The field after it.
        loss: Of its last step.
    """

    middle: Field
    end: Field
    loss: float


def _taught(
    experiment: Fit,
    field: Field,
    windows: Sequence[Window],
    lesson: TrainingSettings,
) -> _Lesson:
    """Return what a short training makes of a field, which stays as it is.

    Networks of sines and some others do not bear larger rates. Where these leave much,
    a part of the lesson is given at the fit's own rates, and where that leaves less, or
    the larger ones diverge, all of it.
    """
    own = replace(lesson, rates=experiment.training.rates)
    if lesson.rates == own.rates:
        return _given(experiment, field, windows, own)
    try:
        taught = _given(experiment, field, windows, lesson)
    except NumericalError:
        return _given(experiment, field, windows, own)
    if taught.loss <= _MOST_LEFT * _variance(windows):
        return taught
    trial = replace(own, steps=max(int(_TRIAL * (own.steps or 0)), 1))
    if taught.loss <= _given(experiment, field, windows, trial).loss:
        return taught
    return _given(experiment, field, windows, own)


def _variance(windows: Sequence[Window]) -> float:
    """Return the mean squared error of the best constant on points that are taught."""
    return float(seen(windows)[1].var(0, correction=0).mean())


def _given(
    experiment: Fit, field: Field, windows: Sequence[Window], lesson: TrainingSettings
) -> _Lesson:
    """Return what one lesson makes of a field, which stays as it is."""
    field = copy.deepcopy(field)
    task = WindowLesson(windows, experiment.site, field.device)
    points = len(task.batch(0))
    at = kernel_step(lesson)
    kept = [copy.deepcopy(field)] if at == 0 else []
    losses: list[float] = []

    def keep(moment: Moment) -> None:
        losses.append(moment.loss)
        if moment.step == at:
            kept.append(copy.deepcopy(field))

    piece_size = max(-(-points // 2), _SMALLEST_PIECE)
    try:
        settings = replace(lesson, piece_size=piece_size)
        is_stopped = fit(task, field, settings, on_step=keep).was_interrupted
    except InterruptedRunError:
        is_stopped = True
    if is_stopped:
        # Whoever waits for a prediction knows of no steps.
        raise KeyboardInterrupt
    return _Lesson(middle=kept[0], end=field, loss=losses[-1])


@dataclass(frozen=True)
class _Judge:
    """Measure errors in every window.

    Attributes:
        sample: The points of all windows.
        limits: What outputs are clipped to.
    """

    sample: GroupedSample
    limits: tuple[float, float] | None

    def gradients_of(self, field: Field) -> list[Part]:
        """Return a field's gradients at all points.

        Single precision is enough: ridges are far above its rounding.
        """
        return gradient_parts(field, self.sample.coords, torch.float32)

    def left_out(
        self, gradients: Sequence[Part], field: Field, share: float, *, taught: bool
    ) -> Errors:
        """Return the mean square of leave-one-out errors in each window.

        Args:
            gradients: Of the field, for all channels.
            field: From whose outputs regression begins.
            share: The ridge, in shares of the mean eigenvalue.
            taught: Whether labels were learned, so that only judged points count.
        """
        sample = self.sample
        over_channels = [part.over("trace") for part in gradients]
        # The mean of the channels, as if all had it for themselves.
        kernels = diagonal_blocks(over_channels, sample.sizes).double()
        kernels /= sample.values.shape[2]
        eigenvalues = kernels.diagonal(dim1=1, dim2=2).sum(1) / sample.counts
        left = sample.values - self._outputs(field)
        # Where nothing moves there is no eigenvalue, and everything is left.
        ridges = (share * eigenvalues).clamp(min=SMALLEST)
        errors = leave_one_out_errors(kernels, left, ridges)
        counted = sample.is_judged if taught else sample.is_there
        return self._mean_square(sample.values - errors, counted)

    def left_by(self, field: Field) -> Errors:
        """Return the mean square error of a field at the judged points of windows."""
        return self._mean_square(self._outputs(field), self.sample.is_judged)

    def _outputs(self, field: Field) -> Float[Tensor, "b n c"]:
        with torch.no_grad():
            return self.sample.grouped(field.forward(self.sample.coords).double())

    def _mean_square(
        self, outputs: Float[Tensor, "b n c"], counted: Bool[Tensor, "b n"]
    ) -> Errors:
        if self.limits is not None:
            outputs = outputs.clamp(*self.limits)
        squares = (outputs - self.sample.values).square().mean(2) * counted
        return (squares.sum(1) / counted.sum(1)).cpu()
