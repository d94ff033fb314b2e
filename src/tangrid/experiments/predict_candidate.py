"""What one model will do on new points, from its tangent kernel and a short lesson.

Estimates of the mean square error on points that training does not see:

plain
    The tangent kernel of the untouched field: exact leave-one-out errors of regression
    with it at the points of each window. No training at all.
initial
    The same with the kernel as Adam sees it.
kernel
    The same after the first steps of a short training. Judged are points whose labels
    the kernel does not know.
lesson
    The error that the short training itself leaves at those points.

The prediction is a geometric mean of the last three, with the weights `WEIGHTS`: a
frozen kernel is too hopeful where a field learns noise, a short lesson where it learns
slowly. The weights were chosen on one of the three seeds of ``papers/predictions``.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.experiments.fitting import Fit
from tangrid.experiments.predict_sample import Window, seen
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.fields import Field
from tangrid.notation import Values
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.kernels.preconditioned import adam_kernel
from tangrid.tasks.contract import PointBatch, Task
from tangrid.training import Moment, fit

WEIGHTS = {"initial": 0.2, "kernel": 0.2, "lesson": 0.6}
"""Shares of the estimates in the logarithm of the predicted error."""
_SMALLEST = 1e-30
_SMALLEST_PIECE = 256
Errors = Float[Tensor, " windows"]
"""Mean square error at the judged points of each window."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Hold the estimated errors of one field, window by window.

    Attributes:
        plain: From the untouched kernel.
        initial: From the untouched kernel as Adam sees it.
        kernel: From the kernel after the first steps; None without a lesson.
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
            weight * parts[name].clamp(min=_SMALLEST).log()
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
    judge = _Judge(limits)
    windows = [_on(window, device) for window in windows]
    field = experiment.build(site).to(device)
    rates = experiment.training.rates
    seconds: dict[str, float] = {}
    # Nothing has been trained: no label is known to the kernel.
    unseen = [replace(w, is_judged=torch.ones_like(w.is_judged)) for w in windows]
    with _timed(seconds, "plain"):
        plain = judge.left_out(
            lambda w: tangent_kernel(field, w.coords, outputs="trace"),
            field, unseen, settings.plain_ridge,
        )  # fmt: skip
    with _timed(seconds, "initial"):
        initial = judge.left_out(
            lambda w: adam_kernel(field, w.coords, rates),
            field, unseen, settings.initial_ridge,
        )  # fmt: skip
    if not settings.lesson_steps:
        return Estimates(
            plain=plain, initial=initial, kernel=None, lesson=None, seconds=seconds
        )
    with _timed(seconds, "lesson"):
        early = _taught(experiment, field, windows, settings)
        lesson = torch.stack([judge.left_by(field, w) for w in windows])
    with _timed(seconds, "kernel"):
        kernel = judge.left_out(
            lambda w: adam_kernel(early, w.coords, rates),
            early,
            windows,
            settings.ridge,
        )
    return Estimates(
        plain=plain, initial=initial, kernel=kernel, lesson=lesson, seconds=seconds
    )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = time.monotonic() - began


def _on(window: Window, device: torch.device) -> Window:
    return replace(
        window,
        coords=window.coords.to(device),
        values=window.values.to(device),
        is_judged=window.is_judged.to(device),
    )


def _taught(
    experiment: Fit,
    field: Field,
    windows: Sequence[Window],
    settings: PredictionSettings,
) -> Field:
    """Train a field shortly, in place.

    Returns:
        The field as it was after the first steps.
    """
    task = WindowLesson(windows, experiment.site, field.device)
    points = len(task.batch(0))
    training = replace(
        experiment.training,
        steps=settings.lesson_steps,
        minutes=None,
        optimizer="adam",
        ema=None,
        piece_size=max(-(-points // 2), _SMALLEST_PIECE),
    )
    kept: list[Field] = []

    def keep(moment: Moment) -> None:
        if moment.step == settings.kernel_step:
            kept.append(copy.deepcopy(field))

    start = copy.deepcopy(field) if settings.kernel_step == 0 else None
    fit(task, field, training, on_step=keep)
    return start or kept[0]


@dataclass(frozen=True)
class _Judge:
    """Measure errors at the judged points of windows.

    Attributes:
        limits: What outputs are clipped to.
    """

    limits: tuple[float, float] | None

    def left_out(
        self,
        kernel_at: Callable[[Window], TangentKernel],
        field: Field,
        windows: Sequence[Window],
        share: float,
    ) -> Errors:
        """Return the mean square of leave-one-out errors in each window."""
        found = []
        for window in windows:
            values = window.values.double()
            with torch.no_grad():
                initial = field.forward(window.coords).double()
            fitted = KernelRegression(kernel_at(window), values, initial)
            errors = fitted.leave_one_out(fitted.relative_ridge(share))
            found.append(self._mean_square(window, values - errors))
        return torch.stack(found)

    def left_by(self, field: Field, window: Window) -> Float[Tensor, ""]:
        """Return the mean square error of a field in a window."""
        with torch.no_grad():
            return self._mean_square(window, field.forward(window.coords).double())

    def _mean_square(self, window: Window, outputs: Values) -> Float[Tensor, ""]:
        if self.limits is not None:
            outputs = outputs.clamp(*self.limits)
        errors = (outputs - window.values.double())[window.is_judged]
        return errors.square().mean().cpu()
