"""Open the run that a fit left behind."""

from pathlib import Path

import torch

from tangrid.devices import HOST, find_device
from tangrid.errors import ConfigError, DataError
from tangrid.experiments.fitting import Fit, FittedRun
from tangrid.runs.codec import from_plain
from tangrid.runs.store import RunFolder
from tangrid.training.checkpoint import (
    FIELD_FILE,
    STATE_FILE,
    load_field,
    saved_progress,
)


def load(path: str | Path, *, device: str | torch.device = HOST) -> FittedRun:
    """Return a fitted run from its folder; its signal is not needed.

    After ``tangrid fit image photo.png --out runs/photo``, the trained field is
    ``load("runs/photo").field``.

    Args:
        path: The folder that ``--out`` named.
        device: Where the field is put, or its name: ``cpu``, ``cuda``, ``cuda:1``,
            ``auto``. It does not matter where it was trained.

    Raises:
        ConfigError: If there is no such device.
        DataError: If it is no run folder, or one whose files are damaged.
    """
    place = find_device(device)
    folder = RunFolder.open(Path(path).expanduser())
    experiment = read_experiment(folder)
    if not isinstance(experiment, Fit):
        raise DataError(
            f"{path}: expected the folder of one fit, found that of another kind of "
            "experiment. Name one of the folders below it, under runs/."
        )
    field = experiment.build()
    # A field that grows has other shapes than those it began with.
    is_finished = folder.has("metrics.json") or not folder.has(STATE_FILE)
    done = 1.0
    if not is_finished:
        done = saved_progress(folder).fraction(experiment.training)
    field.grow(done)
    load_field(folder.path / FIELD_FILE, field)
    metrics = folder.read_json("metrics.json") if folder.has("metrics.json") else {}
    return FittedRun(experiment, field.to(place), metrics, folder)


def read_experiment(folder: RunFolder) -> object:
    """Return what a folder is the result of, from its ``config.json``.

    Args:
        folder: The folder of a run.

    Raises:
        DataError: If the file is damaged, or of another version.
    """
    try:
        return from_plain(folder.read_json("config.json"))
    except ConfigError as error:
        raise DataError(
            f"{folder.path / 'config.json'}: {error} It is damaged, or from another "
            "version, or a plugin that it needs is not loaded (--plugin FILE)."
        ) from error
