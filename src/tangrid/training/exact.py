"""Training in one go: the optimum of a field that is linear in what is trained."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.fields.contract import Field
from tangrid.linear.solve import Solution, Stage, least_squares
from tangrid.runs.store import RunFolder
from tangrid.tasks.contract import PointBatch, Task
from tangrid.training.checkpoint import Progress, save_field
from tangrid.training.interruption import Interruption
from tangrid.training.least_squares_checks import check_solution
from tangrid.training.log import LOG_FILE, Moment
from tangrid.training.settings import TrainingSettings

_ITERATIONS_BETWEEN_LINES = 3


def solve_exactly(
    task: Task,
    field: Field,
    settings: TrainingSettings,
    *,
    folder: RunFolder | None = None,
    on_step: Callable[[Moment], None] | None = None,
) -> tuple[Progress, dict[str, Any]]:
    """Give a field the parameters that minimise a task's loss and a ridge's.

    Nothing is saved on the way: a solution takes seconds, and begins anew.

    Args:
        task: Gives the points that its loss is the mean over.
        field: What is solved for, in place.
        settings: The ridge, and the threads to use.
        folder: Where the log and the field go; None to keep nothing.
        on_step: Called after every step of the solver.

    Returns:
        What it took, and the record of the solution in plain values.

    Raises:
        ConfigError: If the loss is no squared error at points that stay the same, the
            field not linear, the device not the processor, or a setting of no use.
        InterruptedRunError: If the user stopped it.
    """
    check_solution(settings, field)
    points = _points(task, field)
    with Interruption() as interruption:
        follower = _Follower(task, len(points), folder, on_step, interruption)
        solution = least_squares(
            field,
            points.coords,
            points.targets,
            ridge=settings.ridge_rule if settings.ridge is None else settings.ridge,
            threads=settings.threads,
            watch=follower,
        )
    if folder is not None:
        save_field(folder, field)
    done = solution.all_iterations * len(points)
    return Progress(solution.all_iterations, solution.seconds, done), _record(solution)


def _points(task: Task, field: Field) -> PointBatch:
    """Return the points of a task, if it is one that least squares can do."""
    if task.device != field.device:
        raise ConfigError(
            f"training: expected a task on {field.device}, where the field is, got one "
            f"on {task.device}. Make the task there."
        )
    points = task.all_points() if task.is_least_squares else None
    if points is None:
        raise ConfigError(
            "training.optimizer: expected a loss that is the squared error at points "
            "which stay the same for exact solutions, got another. Leave --optimizer "
            "out."
        )
    return points


def _record(solution: Solution) -> dict[str, Any]:
    record = asdict(solution)
    for trial in record["path"]:
        trial["score"] = trial["score"] if math.isfinite(trial["score"]) else None
    return {**record, "path": list(record["path"])}


class _Follower:
    """Log and show a solution under way, and end it where the user asks for that."""

    def __init__(
        self,
        task: Task,
        num_points: int,
        folder: RunFolder | None,
        on_step: Callable[[Moment], None] | None,
        interruption: Interruption,
    ) -> None:
        self._is_squared, self._num_points = task.loss_is_squared, num_points
        self._folder, self._on_step = folder, on_step
        self._interruption = interruption
        self._start = time.monotonic()
        self._logged = 0

    def __call__(self, stage: Stage) -> None:
        if self._interruption.requested and stage.fraction < 1:
            raise InterruptedRunError(
                f"Interrupted after {stage.iterations} iterations of an exact "
                "solution, of which nothing is kept. Repeat the command to begin it "
                "anew."
            )
        moment = Moment(
            stage.iterations,
            stage.fraction,
            time.monotonic() - self._start,
            stage.iterations * self._num_points,
            stage.loss,
            {},
            self._is_squared,
            {"ridge": stage.ridge},
        )
        if self._on_step is not None:
            self._on_step(moment)
        due = stage.iterations - self._logged >= _ITERATIONS_BETWEEN_LINES
        is_new = stage.iterations > self._logged
        if self._folder is not None and (due or (stage.fraction >= 1 and is_new)):
            self._logged = stage.iterations
            self._folder.append_line(LOG_FILE, moment.line)
