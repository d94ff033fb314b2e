"""Predict candidate by candidate, in a folder whose table grows with each."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tangrid.devices import HOST, available_threads, torch_threads, working_on
from tangrid.errors import NumericalError, ResourceError
from tangrid.experiments.fitting import describe_start
from tangrid.experiments.predict_candidate import WEIGHTS, Estimates, estimate
from tangrid.experiments.predict_diagnostics import diagnose
from tangrid.experiments.predict_plan import PlannedCandidate, PredictionPlan
from tangrid.experiments.predict_sample import Window
from tangrid.experiments.predict_table import Row, failed_row, ranked, row_of
from tangrid.fields import Field
from tangrid.fields.budget import num_trained
from tangrid.runs.codec import to_plain
from tangrid.runs.store import RunFolder

TABLE = "table.json"
_VALUES = (0.0, 1.0)
"""What a PSNR clips to."""

OnStage = Callable[[str], None]
"""Told what is done now."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Predicted:
    """Hold what is predicted so far.

    Attributes:
        table: Everything in plain values, as in ``table.json``.
        folder: Where it is kept; None if nowhere.
    """

    table: dict[str, Any]
    folder: RunFolder | None = None

    def __repr__(self) -> str:
        """Return which is best of how many, for the table is long."""
        best = self.best["label"] if self.best else None
        return f"Predicted(best={best!r}, candidates={len(self.table['rows'])})"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row per candidate, the best first; those that failed last."""
        rows = self.table["rows"]
        return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0))

    @property
    def best(self) -> dict[str, Any] | None:
        """The row of the candidate that is predicted to be best, if any is ranked."""
        return next((row for row in self.rows if row["rank"] == 1), None)


def run_prediction(
    plan: PredictionPlan[Any],
    folder: RunFolder | None = None,
    *,
    resume: bool = False,
    device: torch.device = HOST,
    command: Sequence[str] = (),
    on_candidate: Callable[[int, int, str], None] | None = None,
    on_stage: OnStage = lambda _: None,
) -> Iterator[Predicted]:
    """Look at every candidate in turn and yield the table so far.

    Args:
        plan: All candidates.
        folder: Where everything is kept; None to keep nothing on disk.
        resume: Whether to keep the candidates that were finished.
        device: Where to compute.
        command: The words that began it, for the record.
        on_candidate: Called before each candidate with its number, their number and
            its label.
        on_stage: Called before each stage.

    Yields:
        What the folder holds after each candidate.
    """
    rows: list[Row] = []
    if folder is not None and resume and folder.has(TABLE):
        rows = list(folder.read_json(TABLE)["rows"])
    elif folder is not None:
        folder.write_json("config.json", to_plain(plan.experiment))
        folder.write_json("environment.json", describe_start(command, device))
    done, count = len(rows), len(plan.candidates)
    if done == count:
        yield Predicted(table=_table(plan, rows), folder=folder)
    drawn: dict[int, list[Window]] = {}
    for number, planned in enumerate(plan.candidates[done:], start=done):
        if on_candidate is not None:
            on_candidate(number, count, planned.label)
        with working_on(device):
            rows.append(_row(plan, planned, drawn, device, on_stage))
        table = _table(plan, rows)
        if folder is not None:
            folder.write_json(TABLE, table)
        yield Predicted(table=table, folder=folder)


def _table(plan: PredictionPlan[Any], rows: Sequence[Row]) -> dict[str, Any]:
    look = plan.experiment.look
    return {
        "schema": 1,
        "is_finished": len(rows) == len(plan.candidates),
        "quantity": plan.quantity,
        "weights": {"initial": 1.0} if look.lesson_steps == 0 else WEIGHTS,
        "signal": dict(plan.signal),
        "candidates": [planned.label for planned in plan.candidates],
        "rows": ranked(rows, plan.quantity),
    }


def _row(
    plan: PredictionPlan[Any],
    planned: PlannedCandidate[Any],
    drawn: dict[int, list[Window]],
    device: torch.device,
    on_stage: OnStage,
) -> Row:
    """Return what is predicted of one candidate; the sample of a seed is drawn once."""
    for fit in planned.fits:
        if fit.seed not in drawn:
            on_stage("sample of the signal")
            drawn[fit.seed] = plan.windows(fit)
    began = time.monotonic()
    threads = plan.experiment.training.threads or available_threads()
    try:
        with torch_threads(threads):
            found = _estimates(plan, planned, drawn, device, on_stage)
        estimated = time.monotonic()
        first = planned.fits[0]
        field = first.build(plan.site).to(device)
        lesson = plan.experiment.look.lesson_of(first.training)
        told: dict[str, Any] = {
            "params_trainable": num_trained(field),
            "lesson_steps": lesson.steps if lesson else 0,
        }
    except (NumericalError, ResourceError) as error:
        return failed_row(planned, str(error))
    if plan.experiment.diagnostics:
        on_stage("diagnostics")
        with torch_threads(threads):
            told |= _diagnostics(field, drawn[first.seed])
    seconds = {
        name: sum(estimates.seconds.get(name, 0.0) for estimates in found)
        for name in ("plain", "initial", "lesson", "kernel")
    }
    seconds["diagnostics"] = time.monotonic() - estimated
    seconds["total"] = time.monotonic() - began
    return row_of(planned, found, plan.quantity, {**told, "seconds": seconds})


def _diagnostics(field: Field, windows: list[Window]) -> Row:
    """Return diagnostics and curve, or why there are none: nothing ranks by them."""
    try:
        found = diagnose(field, windows)
    except (NumericalError, ResourceError) as error:
        return {"diagnostics": None, "curve": None, "diagnostics_failed": str(error)}
    curve = found.pop("curve")
    return {"diagnostics": found, "curve": curve}


def _estimates(
    plan: PredictionPlan[Any],
    planned: PlannedCandidate[Any],
    drawn: dict[int, list[Window]],
    device: torch.device,
    on_stage: OnStage,
) -> list[Estimates]:
    found = []
    for fit in planned.fits:
        seed = f", seed {fit.seed}" if len(planned.fits) > 1 else ""
        on_stage(f"kernels and lesson{seed}")
        look, windows = plan.experiment.look, drawn[fit.seed]
        limits = _VALUES if plan.quantity == "psnr" else None
        found.append(estimate(fit, plan.site, windows, look, device, limits=limits))
    return found
