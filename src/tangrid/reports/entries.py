"""One model on one signal of a comparison: its rows, its runs and its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.reports.results import Group
from tangrid.runs import RunRecord


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model on one signal: its rows, and what its runs left behind."""

    group: Group
    """Its rows, one per seed."""
    index: int
    """Place of the model in the comparison."""
    runs: tuple[RunRecord, ...]
    """Its runs, one per seed; the pictures are those of the first one."""
    link: str | None
    """Where the report of the first run is."""

    @property
    def pictures(self) -> Mapping[str, Any]:
        """What the pictures of the first run show."""
        return self.runs[0].pictures if self.runs else {}

    def file(self, name: str) -> Path | None:
        """Return a file of the first run.

        Args:
            name: Name of the file.
        """
        return self.runs[0].folder / name if self.runs else None
