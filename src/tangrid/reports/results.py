"""Rows of a comparison, grouped by signal and model, with means and the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from tangrid.reports.measures import Measure, is_number


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that are shown as one: their mean and how many they are."""

    signal: str
    model: str
    rows: tuple[Mapping[str, Any], ...]

    def values(self, measure: Measure) -> list[float]:
        """Return the numbers that the rows have.

        Args:
            measure: Which number.
        """
        return [
            row[measure.key] for row in self.rows if is_number(row.get(measure.key))
        ]

    def count_signals(self, measure: Measure) -> int:
        """Return over how many signals a number is known.

        Args:
            measure: Which number.
        """
        known = (row for row in self.rows if is_number(row.get(measure.key)))
        return len({str(row.get("signal", "")) for row in known})

    def mean(self, measure: Measure) -> float | None:
        """Return the mean over the rows that have this number.

        Args:
            measure: Which number.
        """
        values = self.values(measure)
        return fmean(values) if values else None

    def spread(self, measure: Measure) -> float | None:
        """Return the standard deviation over seeds, if there are several.

        Args:
            measure: Which number.
        """
        values = self.values(measure)
        return stdev(values) if len(values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Results:
    """All rows of a comparison."""

    rows: tuple[Mapping[str, Any], ...]

    @property
    def signals(self) -> list[str]:
        """Names of the signals, in the order in which they were fitted."""
        return list(dict.fromkeys(str(row.get("signal", "")) for row in self.rows))

    @property
    def models(self) -> list[str]:
        """Names of the models, in the order in which they were asked for."""
        return list(dict.fromkeys(str(row.get("model", "")) for row in self.rows))

    @property
    def seeds(self) -> list[Any]:
        """The seeds."""
        return list(dict.fromkeys(row.get("seed", 0) for row in self.rows))

    def of_signal(self, signal: str) -> list[Group]:
        """Return one group per model, with a row per seed.

        Args:
            signal: Name of the signal.
        """
        found = [self._rows(signal, model) for model in self.models]
        return [
            Group(signal=signal, model=model, rows=rows)
            for model, rows in zip(self.models, found, strict=True)
            if rows
        ]

    def of_models(self) -> list[Group]:
        """Return one group per model, with a row per signal and seed."""
        return [
            Group(signal="", model=model, rows=self._rows(None, model))
            for model in self.models
        ]

    def shown(self, measures: Sequence[Measure]) -> list[Measure]:
        """Return the measures that any row has.

        Args:
            measures: The measures to choose from.
        """
        return [
            measure
            for measure in measures
            if any(is_number(row.get(measure.key)) for row in self.rows)
        ]

    def _rows(self, signal: str | None, model: str) -> tuple[Mapping[str, Any], ...]:
        return tuple(
            row
            for row in self.rows
            if str(row.get("model", "")) == model
            and signal in (None, str(row.get("signal", "")))
        )


def best_of(groups: Sequence[Group], measure: Measure) -> str | None:
    """Return the best mean as it is shown, so that what looks equal is equal.

    Groups with fewer signals than others are left out: a mean over the easy half of the
    signals is no mean to compare.

    Args:
        groups: What is compared.
        measure: Which number.
    """
    most = max((group.count_signals(measure) for group in groups), default=0)
    means = [
        mean
        for group in groups
        if (mean := group.mean(measure)) is not None
        and group.count_signals(measure) == most
    ]
    if not measure.better or len(means) < 2:
        return None
    return measure.format(max(means, key=lambda mean: measure.better * mean))
