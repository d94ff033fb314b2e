"""What one model will do on new points, from its tangent kernel and a short lesson.

Three estimates of the mean square error on points that training does not see:

initial
    The tangent kernel of the untouched field: exact leave-one-out errors of regression
    with it at the points of each window. No training at all.
kernel
    The same after the first steps of a short training, and with the kernel as Adam
    sees it. Judged are points whose labels the kernel does not know.
lesson
    The error that the short training itself leaves at those points.

The prediction is the geometric mean of the last two: regression with a frozen kernel
is too hopeful where a field learns noise, and a short lesson where it learns slowly.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.experiments.fitting import Fit
from tangrid.experiments.predict_sample import Window, seen
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.fields import Field
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.regression import KernelRegression
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.kernels.preconditioned import adam_kernel
from tangrid.tasks.contract import PointBatch, Task
from tangrid.training import Moment, fit

_SMALLEST_PIECE = 256
Errors = Float[Tensor, " windows"]
"""Mean square error at the judged points of each window."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Hold the estimated errors of one field, window by window.

    Attributes:
        initial: From the untouched kernel.
        kernel: From the kernel after the first steps; None without a lesson.
        lesson: What the lesson left; None without one.
        seconds: What each took: ``initial``, ``kernel``, ``lesson``.
    """

    initial: Errors
    kernel: Errors | None
    lesson: Errors | None
    seconds: Mapping[str, float]

    @property
    def predicted(self) -> Errors:
        """The error that is predicted in each window."""
        if self.kernel is None or self.lesson is None:
            return self.initial
        return (self.kernel * self.lesson).sqrt()

    def to_plain(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            name: None if found is None else found.tolist()
            for name, found in (
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
) -> Estimates:
    """Return what is predicted for one model with one seed.

    Args:
        experiment: The model and how it would be trained.
        site: Where it is built, with the signal's sampler.
        windows: The sample of the signal.
        settings: How long the lesson is, and the ridges.
        device: Where to compute.
    """
    windows = [_on(window, device) for window in windows]
    field = experiment.build(site).to(device)
    began = time.monotonic()
    initial = [
        _left_out(
            tangent_kernel(field, w.coords, outputs="trace"),
            field,
            # Nothing has been trained: no label is known to the kernel.
            replace(w, is_judged=torch.ones_like(w.is_judged)),
            settings.initial_ridge,
        )
        for w in windows
    ]
    seconds = {"initial": time.monotonic() - began}
    if not settings.lesson_steps:
        return Estimates(
            initial=torch.stack(initial), kernel=None, lesson=None, seconds=seconds
        )
    began = time.monotonic()
    early = _taught(experiment, field, windows, settings)
    seconds["lesson"] = time.monotonic() - began
    began = time.monotonic()
    rates = experiment.training.rates
    kernel = [
        _left_out(adam_kernel(early, w.coords, rates), early, w, settings.ridge)
        for w in windows
    ]
    seconds["kernel"] = time.monotonic() - began
    return Estimates(
        initial=torch.stack(initial),
        kernel=torch.stack(kernel),
        lesson=torch.stack([_left_by(field, w) for w in windows]),
        seconds=seconds,
    )


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
    """Train a field shortly, in place, and return it as it was after the first steps."""
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


def _left_out(
    kernel: TangentKernel,
    field: Field,
    window: Window,
    share: float,
) -> Float[Tensor, ""]:
    """Return the mean square of the leave-one-out errors at points of a window."""
    with torch.no_grad():
        values = field.forward(window.coords)
    fitted = KernelRegression(kernel, window.values.double(), values.double())
    errors = fitted.leave_one_out(fitted.relative_ridge(share))
    return errors[window.is_judged].square().mean().cpu()


def _left_by(field: Field, window: Window) -> Float[Tensor, ""]:
    """Return the mean square error of a field at the judged points of a window."""
    coords, values = window.coords[window.is_judged], window.values[window.is_judged]
    with torch.no_grad():
        return (field.forward(coords) - values).double().square().mean().cpu()
