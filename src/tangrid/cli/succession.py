"""Show the runs of a comparison one after the other, and write the page of each."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tangrid.experiments.fitting import Fit
from tangrid.progress import ProgressLine
from tangrid.reports import write_fit_report
from tangrid.training import Moment


class Succession:
    """One progress line per run; use it in a ``with`` statement.

    Args:
        folder: Folder of the comparison.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._line: ProgressLine | None = None

    def __enter__(self) -> Self:
        """Return itself, waiting for the first run."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the line of a run that failed standing."""
        if self._line is not None:
            self._line.__exit__(kind, error, trace)

    def begin(self, number: int, count: int, experiment: Fit) -> None:
        """Open the line of one run.

        Args:
            number: Its number, from 0.
            count: Number of runs.
            experiment: What is fitted.
        """
        label = f"{number + 1}/{count} {experiment.source.name} {experiment.model}"
        self._line = ProgressLine(label, steps=experiment.training.known_steps)
        self._line.__enter__()

    def prepare(self, done: int, total: int) -> None:
        """Show how far the points are that the run waits for.

        Args:
            done: Points that are drawn.
            total: All points.
        """
        if self._line is not None:
            self._line.prepare(done, total)

    def judge(self, done: int, total: int) -> None:
        """Show how many views of the run are judged.

        Args:
            done: Views that are judged.
            total: All views.
        """
        if self._line is not None:
            self._line.judge(done, total)

    def step(self, moment: Moment) -> None:
        """Show one step of the run.

        Args:
            moment: The step.
        """
        if self._line is not None:
            self._line(moment)

    def end(self, row: Mapping[str, Any]) -> None:
        """Close the line and write the page of the run, which the table links to.

        Args:
            row: Its row of the table.
        """
        if self._line is not None:
            self._line.__exit__(None, None, None)
            self._line = None
        write_fit_report(self._folder / row["run"])
