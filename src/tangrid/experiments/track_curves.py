"""Trainings at the points of a tracked kernel alone, beside which a fit is shown.

What the kernel at the start predicts of an optimiser is the training of the field
to first order in its parameters: its kernel is that one at every step, whatever moves
the parameters. It is trained by the recipe of the fit, but at the tracked points alone;
so is the field itself, in which the kernel moves. The difference between both is what
the kernel's motion does; that to the fit is in part what more points do.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import available_threads, torch_threads
from tangrid.errors import InterruptedRunError, TangridError
from tangrid.experiments.analyze_descent import recorded_steps
from tangrid.experiments.analyze_settings import MAX_ROWS
from tangrid.experiments.analyze_specimen import field_specimen
from tangrid.fields import Field
from tangrid.notation import Values
from tangrid.runs.kernel_track import CurveName, PredictedCurve, all_finite
from tangrid.runs.store import RunFolder
from tangrid.signals.site import Site
from tangrid.tangent.dynamics.descent import GradientDescent
from tangrid.tangent.dynamics.linearisation import LinearisedField
from tangrid.tangent.dynamics.prediction import predict_mse
from tangrid.tangent.kernels.kernel import DenseKernel
from tangrid.tasks.contract import PointBatch, Task
from tangrid.training import Moment, TrainingSettings, fit

_RECORDED = 40
"""Numbers of steps at which the curve of a training is recorded."""
_SAFETY = 0.5
"""Rate of gradient descent over the largest stable one."""


class ProbeTask(Task[PointBatch]):
    """Train for another task at a few of its points, all of them in every step.

    Args:
        task: The other task.
        batch: Some of its points.
    """

    def __init__(self, task: Task, batch: PointBatch) -> None:
        self._task, self._batch = task, batch
        self.loss_is_squared, self.device = task.loss_is_squared, task.device

    @property
    def site(self) -> Site:
        """What an encoding may know of the signal."""
        return self._task.site

    @property
    def targets(self) -> Values:
        """What the field should give at the points."""
        return self._batch.targets

    def batch(self, step: int) -> PointBatch:
        """Return all points.

        Args:
            step: Number of the step, from 0.
        """
        del step
        return self._batch

    def loss(self, field: Field, batch: PointBatch) -> Float[Tensor, ""]:
        """Return the other task's loss.

        Args:
            field: What is trained.
            batch: The points, or a piece of them.
        """
        return self._task.loss(field, batch)

    def mse(self, field: Field) -> float:
        """Return the mean squared error of a field at all points.

        Args:
            field: The field.
        """
        with torch.no_grad():
            error = field.forward(self._batch.coords) - self._batch.targets
            return float(error.double().square().mean())

    def mean_loss(self, field: Field) -> float:
        """Return the loss of a field at all points.

        Args:
            field: The field.
        """
        return float(self.loss(field, self._batch).detach())


def predicted_curves(
    rebuild: Callable[[], Field],
    task: ProbeTask,
    training: TrainingSettings,
    *,
    steps: int,
    looked_at: Sequence[int],
    folder: RunFolder | None = None,
) -> Iterator[PredictedCurve]:
    """Yield trainings at the points alone; one that cannot be says why.

    Args:
        rebuild: Makes the field before training.
        task: The points.
        training: The recipe of the fit.
        steps: Steps that the fit took.
        looked_at: Steps at which the fit was looked at.
        folder: The run, for the message of an interruption.

    Yields:
        The field to first order, the field itself, gradient descent.

    Raises:
        InterruptedRunError: If the user stopped it.
    """
    own = recorded_steps(steps, _RECORDED).tolist()
    recorded = sorted({*own, *(step for step in looked_at if step <= steps)})
    ways: tuple[tuple[CurveName, Callable[[], PredictedCurve]], ...] = (
        (
            "linearised",
            lambda: _trained("linearised", rebuild, task, training, recorded),
        ),
        ("alone", lambda: _trained("alone", rebuild, task, training, recorded)),
        (
            "gradient-descent",
            lambda: _descended(rebuild(), task, recorded, training.threads),
        ),
    )
    for name, way in ways:
        start = time.monotonic()
        try:
            curve = way()
        except InterruptedRunError as error:
            where = "" if folder is None else f" The fit is saved in {folder.path}."
            raise InterruptedRunError(
                "Interrupted while the curves of the tracked kernel were computed."
                f"{where} Repeat the command with --resume to go on from there."
            ) from error
        except TangridError as error:
            curve = PredictedCurve(name=name, refused=str(error))
        yield replace(curve, seconds=time.monotonic() - start)


def _trained(
    name: CurveName,
    rebuild: Callable[[], Field],
    task: ProbeTask,
    training: TrainingSettings,
    recorded: Sequence[int],
) -> PredictedCurve:
    """Return the training of a field at the points alone, by the recipe of the fit."""
    if training.optimizer != "adam":
        return PredictedCurve(
            name=name, refused=f"it is computed for Adam, not for {training.optimizer}."
        )
    field = rebuild()
    if name == "linearised":
        field = LinearisedField(field)
    wanted, errors = set(recorded), [task.mse(field)]
    count = len(task.targets)
    recipe = replace(
        training,
        steps=recorded[-1],
        minutes=None,
        batch_size=count,
        piece_size=count,
        # Forward mode, which first order needs, knows one level for all threads.
        threads=1,
        ema=None,
        loss_scale=None,
    )

    def record(moment: Moment) -> None:
        if moment.step in wanted:
            errors.append(task.mse(field))

    fit(task, field, recipe, on_step=record)
    return PredictedCurve(name=name, step=tuple(recorded), mse=all_finite(errors))


def _descended(
    field: Field, task: ProbeTask, recorded: Sequence[int], threads: int | None
) -> PredictedCurve:
    """Return gradient descent on the squared error, as the kernel predicts it."""
    name: CurveName = "gradient-descent"
    points, rows = task.batch(0).coords, task.targets.numel()
    if rows > MAX_ROWS:
        return PredictedCurve(
            name=name,
            refused=f"points and channels make {rows:,} rows; up to {MAX_ROWS:,} can "
            "be had.",
        )
    specimen = field_specimen(field, label="", model="")
    whole = specimen.kernel("all", points)
    dense = DenseKernel(whole.to_dense(), num_outputs=whole.num_outputs)
    with torch_threads(threads or available_threads()):
        largest = dense.eigensystem.largest
    if not largest > 0:
        return PredictedCurve(name=name, refused="the kernel is 0: nothing is learned.")
    descent = GradientDescent(
        _SAFETY * GradientDescent(1.0).largest_stable_rate(largest)
    )
    targets, initial = task.targets.double(), specimen.values(points.double())
    times = torch.tensor(recorded, dtype=torch.float64, device=targets.device)
    errors = predict_mse(dense, targets, initial, descent, times)
    return PredictedCurve(
        name=name,
        step=tuple(recorded),
        mse=all_finite(errors.tolist()),
        rate=descent.rate,
    )
