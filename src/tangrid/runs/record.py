"""What a finished or interrupted run left behind, as one frozen record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tangrid.errors import DataError
from tangrid.runs.kernel_track import KernelTrack, read_track
from tangrid.runs.store import RunFolder
from tangrid.runs.writing import unreadable


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """The record of one run."""

    folder: Path
    """Where its files are."""
    config: dict[str, Any]
    """What was asked for."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Where it ran."""
    curve: tuple[dict[str, Any], ...] = ()
    """What was logged while it ran, in order of steps."""
    metrics: dict[str, Any] = field(default_factory=dict)
    """What came out; empty if the run did not finish."""
    pictures: dict[str, Any] = field(default_factory=dict)
    """What the pictures show; empty if there are none."""
    kernel_track: KernelTrack | None = None
    """How its tangent kernel moved; none if it was not tracked."""
    prediction: dict[str, Any] = field(default_factory=dict)
    """From what its settings were chosen by prediction; empty if they were given."""

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.metrics)


@dataclass(frozen=True, kw_only=True)
class TableRecord:
    """The record of a comparison."""

    folder: Path
    """Where its files are."""
    config: dict[str, Any]
    """What was asked for."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Where it ran."""
    rows: tuple[dict[str, Any], ...] = ()
    """Metrics of every run, with its folder as ``run``, relative to this one."""
    is_finished: bool = True
    """Whether the comparison came to its end."""


@dataclass(frozen=True, kw_only=True)
class KernelRecord:
    """The record of an analysis of tangent kernels."""

    folder: Path
    """Where its files are."""
    config: dict[str, Any]
    """What was asked for."""
    environment: dict[str, Any] = field(default_factory=dict)
    """Where it ran."""
    kernel: dict[str, Any] = field(default_factory=dict)
    """What came out so far; it grows model by model."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Maps and the like, by number of the entry and name: ``0/slice_map``."""

    @property
    def is_finished(self) -> bool:
        """Whether the analysis came to its end."""
        return bool(self.kernel) and self.kernel.get("is_finished", True)

    @property
    def entries(self) -> tuple[dict[str, Any], ...]:
        """One record per model, seed and state of training."""
        return tuple(self.kernel.get("entries", ()))


def read_run(folder: Path) -> RunRecord:
    """Read what a run left behind.

    Args:
        folder: The folder of the run.

    Returns:
        The record; parts that were not yet written are empty.

    Raises:
        DataError: If the folder is not that of a run, or a file in it is damaged.
    """
    run = RunFolder.open(folder)
    return RunRecord(
        folder=run.path,
        config=run.read_json("config.json"),
        environment=_read_if_there(run, "environment.json"),
        curve=run.read_lines("metrics.jsonl"),
        metrics=_read_if_there(run, "metrics.json"),
        pictures=_read_if_there(run, "pictures.json"),
        kernel_track=read_track(run),
        prediction=_read_if_there(run, "prediction.json"),
    )


def read_table(folder: Path) -> TableRecord:
    """Read what a comparison left behind.

    Args:
        folder: The folder of the comparison.

    Returns:
        The record. Without ``table.json`` it has the rows of the runs that finished.

    Raises:
        DataError: If the folder is not that of a run, or a file in it is damaged.
    """
    run = RunFolder.open(folder)
    is_finished = run.has("table.json")
    table = _read_if_there(run, "table.json").get("rows", [])
    return TableRecord(
        folder=run.path,
        config=run.read_json("config.json"),
        environment=_read_if_there(run, "environment.json"),
        rows=tuple(table) if is_finished else _rows_of_runs(run.path),
        is_finished=is_finished,
    )


def read_kernels(folder: Path) -> KernelRecord:
    """Read what an analysis of tangent kernels left behind.

    Args:
        folder: The folder of the analysis.

    Returns:
        The record; parts that were not yet written are empty.

    Raises:
        DataError: If the folder is not that of a run, or a file in it is damaged.
    """
    run = RunFolder.open(folder)
    return KernelRecord(
        folder=run.path,
        config=run.read_json("config.json"),
        environment=_read_if_there(run, "environment.json"),
        kernel=_read_if_there(run, "kernel.json"),
        arrays=_read_arrays(run.path / "kernel.safetensors"),
    )


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except OSError as error:
        raise unreadable(path, error) from error
    except (SafetensorError, KeyError) as error:
        raise DataError(
            f"{path}: expected arrays of an analysis, got a file that holds none "
            f"({error}). It is damaged; analyse again."
        ) from error


def _read_if_there(run: RunFolder, name: str) -> dict[str, Any]:
    return run.read_json(name) if run.has(name) else {}


def _rows_of_runs(folder: Path) -> tuple[dict[str, Any], ...]:
    files = sorted((folder / "runs").rglob("metrics.json"))
    return tuple(
        {
            **RunFolder(file.parent).read_json(file.name),
            "run": file.parent.relative_to(folder).as_posix(),
        }
        for file in files
    )
