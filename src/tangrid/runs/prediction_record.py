"""What a prediction left behind, as one frozen record."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tangrid.runs.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class PredictionRecord:
    """The record of a prediction."""

    folder: Path
    """Where its files are."""
    config: dict[str, Any]
    """What was asked for."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Where it ran."""
    table: dict[str, Any] = field(default_factory=dict)
    """What is predicted so far; it grows candidate by candidate."""
    measured: dict[str, Any] = field(default_factory=dict)
    """What fits of the candidates reached; empty if none are known."""

    @property
    def is_finished(self) -> bool:
        """Whether every candidate was looked at."""
        return bool(self.table.get("is_finished"))

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """One row per candidate, in the order in which they were asked for."""
        return tuple(self.table.get("rows", ()))


def why_unranked(row: Mapping[str, Any]) -> str:
    """Return why a candidate has no place among the others.

    Args:
        row: Its row of the table.

    Example:
        >>> why_unranked({"windows": {"initial": [0.1], "lesson": [0.1, None]}})
        'the estimate lesson is not finite in 1 of 2 windows'
    """
    if row.get("failed"):
        return str(row["failed"])
    windows = row.get("windows") or {}
    for name in ("initial", "kernel", "lesson", "predicted"):
        errors = windows.get(name) or ()
        bad = sum(error is None or not math.isfinite(error) for error in errors)
        if bad:
            return (
                f"the estimate {name} is not finite in {bad} of {len(errors)} windows"
            )
    return "nothing of it is estimated"


def read_prediction(folder: Path) -> PredictionRecord:
    """Read what a prediction left behind.

    Args:
        folder: The folder of the prediction.

    Returns:
        The record; parts that were not yet written are empty.

    Raises:
        DataError: If the folder is not that of a run, or a file in it is damaged.
    """
    run = RunFolder.open(folder)
    config = run.read_json("config.json")

    def found(name: str) -> dict[str, Any]:
        return run.read_json(name) if run.has(name) else {}

    return PredictionRecord(
        folder=run.path,
        config=config,
        environment=found("environment.json"),
        table=found("table.json"),
        measured=found("measured.json"),
    )
