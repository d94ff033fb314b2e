"""What a prediction left behind, as its page walks through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, log10
from typing import Any

from tangrid.reports.kernel_entries import number, section_of
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.style import SERIES
from tangrid.runs.prediction_record import PredictionRecord

MOST_DB = 80.0
"""Beyond this, a curve says that nothing is left."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One row of the table, with its colour and what a fit of it reached."""

    index: int
    """Place among all candidates, the best first, which gives its colour."""
    row: Mapping[str, Any]
    """Its row of ``table.json``."""
    measured: Mapping[str, Any]
    """Its row of ``measured.json``; empty if it was not trained."""

    @property
    def label(self) -> str:
        """What it is called."""
        return str(self.row.get("label", "candidate"))

    @property
    def rank(self) -> int | None:
        """Its place; none if nothing could be computed."""
        found = self.row.get("rank")
        return found if isinstance(found, int) else None


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """All that a prediction left behind."""

    record: PredictionRecord
    """Its files."""
    candidates: tuple[Candidate, ...]
    """The best first, those without a place last."""

    @property
    def is_psnr(self) -> bool:
        """Whether errors are PSNRs, and not distances."""
        return self.record.table.get("quantity") != "distance"

    @property
    def unit(self) -> str:
        """Unit of what is predicted."""
        return "dB" if self.is_psnr else "box sides"

    @property
    def name(self) -> str:
        """What is predicted."""
        return "predicted PSNR" if self.is_psnr else "predicted error"

    @property
    def ranked(self) -> tuple[Candidate, ...]:
        """Those that have a place."""
        return tuple(it for it in self.candidates if it.rank is not None)

    @property
    def drawn(self) -> tuple[Candidate, ...]:
        """Those whose lines are drawn: the best, as many as there are colours."""
        return self.candidates[: len(SERIES)]

    def value(self, candidate: Candidate, estimate: str) -> float | None:
        """Return one of the estimates of a candidate.

        Args:
            candidate: Whose.
            estimate: ``predicted``, ``plain``, ``initial``, ``kernel`` or ``lesson``.
        """
        return number(
            candidate.row, f"{estimate}_{'psnr' if self.is_psnr else 'error'}"
        )

    def spread(self, candidate: Candidate) -> float | None:
        """Return the standard error of what is predicted.

        Args:
            candidate: Whose.
        """
        name = "psnr" if self.is_psnr else "error"
        return number(candidate.row, f"predicted_{name}_error")

    def shown(self, value: float | None) -> str:
        """Return a PSNR or a distance in words.

        Args:
            value: The number; none gives a dash.
        """
        if not is_number(value):
            return MISSING
        return f"{value:.2f}" if self.is_psnr else f"{value:.3g}"

    def of_mse(self, mse: object) -> float | None:
        """Return a mean square error as what errors are here; None if it is none.

        Args:
            mse: The mean square error.
        """
        if not is_number(mse) or mse < 0:
            return None
        if not self.is_psnr:
            return mse**0.5 if mse > 0 else None
        return min(-10 * log10(mse), MOST_DB) if mse > 0 else MOST_DB


def prediction_of(record: PredictionRecord) -> Prediction:
    """Return a prediction, the best candidate first.

    Args:
        record: What it left behind.
    """
    measured = {
        row["label"]: row
        for row in _rows(record.measured.get("rows"))
        if isinstance(row.get("label"), str)
    }
    rows = sorted(record.rows, key=_place)
    found = [
        Candidate(
            index=index, row=row, measured=measured.get(str(row.get("label")), {})
        )
        for index, row in enumerate(rows)
    ]
    return Prediction(record=record, candidates=tuple(found))


def _place(row: Mapping[str, Any]) -> float:
    """Return what rows are sorted by: those without a place come last."""
    rank = row.get("rank")
    return rank if isinstance(rank, int) else inf


def _rows(found: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(found, list):
        return ()
    return [row for row in found if isinstance(row, Mapping)]


def curve_line(
    candidate: Candidate, prediction: Prediction, name: str
) -> list[tuple[float, float]]:
    """Return a predicted training curve as points of a figure, from step 1 on.

    Args:
        candidate: Whose.
        prediction: Says what errors are.
        name: ``train_mse`` or ``test_mse``.
    """
    curve = section_of(candidate.row, "curve")
    steps, errors = curve.get("steps"), curve.get(name)
    if not isinstance(steps, list) or not isinstance(errors, list):
        return []
    shown = ((x, prediction.of_mse(y)) for x, y in zip(steps, errors, strict=False))
    return [(x, y) for x, y in shown if y is not None and is_number(x) and x >= 1]
