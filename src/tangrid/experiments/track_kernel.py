"""Look at the tangent kernel of a field while it is trained, and write down what moves.

The looks come between two steps and outside of their time. They read the field and its
task; nothing that training uses is changed, so that a fit has the same bits with them.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tangrid.devices import torch_threads
from tangrid.errors import DataError
from tangrid.experiments.analyze_group import mean_kernel
from tangrid.experiments.analyze_specimen import Specimen, field_specimen
from tangrid.experiments.fitting import Fit
from tangrid.experiments.track_curves import ProbeTask, predicted_curves
from tangrid.experiments.track_settings import KernelTracking, Timetable
from tangrid.fields import Field
from tangrid.notation import Coords
from tangrid.ops import unnoted_implementations
from tangrid.runs.kernel_track import (
    TRACK_FILE,
    KernelLook,
    KernelNumbers,
    KernelTrack,
    finite,
    read_track,
    write_track,
)
from tangrid.runs.store import RunFolder
from tangrid.seeding import generator
from tangrid.tangent.algebra.extreme_eigenvalues import extreme_eigenvalues
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.drift import KernelChange, kernel_drift
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tangent.summary import summarise
from tangrid.tasks.contract import Task
from tangrid.tasks.image_regression import ImageRegression
from tangrid.tasks.sdf_regression import SdfRegression
from tangrid.training import FittedField, Moment, Probe, fit
from tangrid.training.checkpoint import Progress, saved_progress

ALL, GRID = "all", "grid"
_TOLERANCE = 1e-4
"""Residual of an eigenvector, whose eigenvalue is right to the square of it."""
OnStep = Callable[[Moment], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Probed:
    """Hold the points that the kernel of a fit is looked at.

    Attributes:
        coords: The points.
        task: Loss and wanted values there; None where values are not wanted directly.
        how: Where they were drawn, in words.
        values: Whose kernel it is, in words.
    """

    coords: Coords
    task: ProbeTask | None
    how: str
    values: str = "the values of the field"


def drawn_points(
    task: ImageRegression | SdfRegression, tracking: KernelTracking, how: str
) -> Probed:
    """Return points among those that a task trains on.

    Args:
        task: What is trained for; it draws points.
        tracking: How many, and their seed.
        how: Where they are drawn, in words.
    """
    batch = task.draw(tracking.points, generator(tracking.seed, "kernel-track"))
    return Probed(coords=batch.coords, task=ProbeTask(task, batch), how=how)


def box_points(
    dims: int, tracking: KernelTracking, device: torch.device, values: str
) -> Probed:
    """Return points spread evenly over the unit box, where no values are wanted.

    Args:
        dims: Coordinates per point.
        tracking: How many, and their seed.
        device: Where the field is.
        values: Whose kernel is looked at, in words.
    """
    source = generator(tracking.seed, "kernel-track")
    coords = torch.rand(tracking.points, dims, generator=source).to(device)
    how = "places in the unit box, all alike likely"
    return Probed(coords=coords, task=None, how=how, values=values)


def fit_tracked(
    experiment: Fit,
    task: Task,
    built: Field,
    probed: Callable[[KernelTracking], Probed],
    *,
    folder: RunFolder | None,
    resume: bool,
    on_step: OnStep | None,
    probe: Probe | None = None,
) -> tuple[FittedField, Callable[[], None]]:
    """Train a field, and track its kernel meanwhile if that is asked for.

    Args:
        experiment: What is fitted.
        task: Gives batches and their loss.
        built: The field before training; it is trained in place.
        probed: Draws the points of the kernel.
        folder: Where log, states and record go; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        on_step: Called after every step.
        probe: What is measured now and then.

    Returns:
        What training returns, and what is to be called once its results are known.
    """
    asked = experiment.track
    watch, finish = on_step, _nothing
    if asked is not None:
        tracker = KernelTracker(experiment, built, probed(asked), folder)
        if resume and folder is not None:
            tracker.restore(folder)
        tracker.begin()

        def see(moment: Moment) -> None:
            if on_step is not None:
                on_step(moment)
            tracker.see(moment)

        def predict() -> None:
            place = built.device
            tracker.predict(lambda: experiment.build(task.site).to(place))

        watch, finish = see, predict if asked.predict else _nothing

    fitted = fit(
        task,
        built,
        experiment.training,
        folder=folder,
        resume=resume,
        on_step=watch,
        probe=probe,
    )
    return fitted, finish


def _nothing() -> None:
    pass


class KernelTracker:
    """Look at the kernels of one field at the steps that were asked for.

    Args:
        experiment: What is fitted; it asks for tracking.
        built: The field before training.
        probed: The points.
        folder: Where the record goes; None to keep it nowhere.

    Attributes:
        track: What was seen so far.
    """

    def __init__(
        self, experiment: Fit, built: Field, probed: Probed, folder: RunFolder | None
    ) -> None:
        assert experiment.track is not None
        self._training = experiment.training
        self._times = Timetable.of(experiment.track, experiment.training)
        self._field, self._probed, self._folder = built, probed, folder
        self._done = Progress()
        self._before: dict[str, DenseKernel] = {}
        specimen = self._specimen
        self.track = KernelTrack(
            points=len(probed.coords),
            seed=experiment.track.seed,
            how=probed.how,
            values=probed.values,
            num_channels=built.num_channels,
            has_psnr=probed.task is not None and probed.task.loss_is_squared,
            optimizer=experiment.training.optimizer,
            groups=specimen.counts(),
        )

    def restore(self, folder: RunFolder) -> None:
        """Go on with the record of a run, up to its saved state.

        Args:
            folder: The run.

        Raises:
            DataError: If there is none, or one of other points.
        """
        found, done = read_track(folder), saved_progress(folder)
        same = {"looks": (), "curves": ()}
        if found is None or replace(found, **same) != self.track:
            got = "none" if found is None else "one of other points"
            raise DataError(
                f"{folder.path / TRACK_FILE}: expected the record of this fit's kernel "
                f"up to step {done.step}, got {got}. Begin the fit anew with "
                "--overwrite."
            )
        looks = tuple(look for look in found.looks if look.step <= done.step)
        self.track = replace(self.track, looks=looks, curves=found.curves)
        self._done = done

    def begin(self) -> None:
        """Keep the kernels before training, and look at them if that is due."""
        with self._aside():
            start = time.monotonic()
            self._before = self._kernels(self._specimen)
            if not self._done.step and self._times.is_due(0, 0.0, 0.0):
                self._look(0, 0.0, self._before, start)

    def see(self, moment: Moment) -> None:
        """Look at the field after a step, if that is due.

        Args:
            moment: The step.
        """
        before = self._done.fraction(self._training)
        self._done = Progress(moment.step, moment.seconds, moment.points)
        if self._times.is_due(moment.step, before, moment.fraction):
            with self._aside():
                start = time.monotonic()
                kernels = self._kernels(self._specimen)
                self._look(moment.step, moment.seconds, kernels, start)

    def predict(self, rebuild: Callable[[], Field]) -> None:
        """Compute trainings at the points alone, beside that of the fit.

        Args:
            rebuild: Makes the field before training once more.
        """
        task = self._probed.task
        if self.track.curves or task is None or not self._done.step:
            return
        with self._aside():
            curves = predicted_curves(
                rebuild,
                task,
                self._training,
                steps=self._done.step,
                looked_at=[look.step for look in self.track.looks],
                folder=self._folder,
            )
        self.track = replace(self.track, curves=tuple(curves))
        self._write()

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Leave no trace in what the fit records."""
        # One thread, as in training: matrices are small, and bits do not depend on it.
        with torch_threads(1), unnoted_implementations():
            yield

    @property
    def _specimen(self) -> Specimen:
        return field_specimen(self._field, label="", model="", parameters=(GRID,))

    def _kernels(self, specimen: Specimen) -> dict[str, DenseKernel]:
        coords, channels = self._probed.coords, self._field.num_channels
        return {
            name: mean_kernel(specimen, name, coords, channels)
            for name in specimen.kernels
        }

    def _look(
        self,
        step: int,
        seconds: float,
        kernels: Mapping[str, DenseKernel],
        start: float,
    ) -> None:
        specimen, task = self._specimen, self._probed.task
        residual = None
        if task is not None:
            found = specimen.values(self._probed.coords.double())
            residual = task.targets.double() - found
        numbers = {
            name: self._numbers(specimen, name, kernel, residual)
            for name, kernel in kernels.items()
        }
        look = KernelLook(
            step=step,
            seconds=seconds,
            mse=None if task is None else finite(task.mse(self._field)),
            loss=None if task is None else finite(task.mean_loss(self._field)),
            shares=self._shares(specimen),
            kernels=numbers,
            looking_seconds=time.monotonic() - start,
        )
        self.track = replace(self.track, looks=(*self.track.looks, look))
        self._write()

    def _numbers(
        self,
        specimen: Specimen,
        name: str,
        kernel: DenseKernel,
        residual: Tensor | None,
    ) -> KernelNumbers:
        # The summary finds all eigenvectors, which the drift takes some of.
        summary = summarise(kernel, residual)
        change = kernel_drift(self._before[name], kernel).whole
        largest = summary.largest
        if self._field.num_channels > 1:
            whole = specimen.kernel(name, self._probed.coords)
            found = extreme_eigenvalues(whole, 1, tolerance=_TOLERANCE)
            largest = float(found.values[0])
        stable = finite(GradientDescent(1.0).largest_stable_rate(largest))
        learning = summary.learning
        return KernelNumbers(
            **_plain_change(change),
            largest=finite(largest),
            largest_stable_rate=stable if largest > 0 else None,
            effective_rank=finite(summary.effective_rank),
            residual_alignment=None if learning is None else finite(learning.alignment),
        )

    def _shares(self, specimen: Specimen) -> dict[str, float]:
        """Return the share of each group in the trace of the kernel of all."""
        traces = dict.fromkeys(specimen.groups, 0.0)
        kernel = specimen.kernel(ALL, self._probed.coords, outputs="trace")
        for part, term in kernel.parts.items():
            group = specimen.group_of(part)
            traces[group] = traces.get(group, 0.0) + float(term.diagonal().sum())
        whole = sum(traces.values())
        return {
            group: trace / whole if whole > 0 else 0.0
            for group, trace in traces.items()
        }

    def _write(self) -> None:
        if self._folder is not None:
            write_track(self._folder, self.track)


def _plain_change(change: KernelChange) -> dict[str, Any]:
    return {
        "relative": finite(change.relative),
        "scale": finite(change.scale),
        "rest": finite(change.rest),
        "alignment": finite(change.alignment),
        "trace_ratio": finite(change.trace_ratio),
        "leading_degrees": finite(change.leading.degrees),
        "num_leading": change.leading.num_leading,
    }
