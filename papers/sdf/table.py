"""What the table of signed distances asks for, and what was found."""

import json
import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tangrid.errors import DataError
from tangrid.experiments.fit_sdf import FitSdf, MeshSource, plan_sdf_fit
from tangrid.runs.codec import to_plain
from tangrid.runs.writing import write_whole
from tangrid.signals.bundled_meshes import BUNDLED_MESHES
from tangrid.signals.mesh import MeshSignal
from tangrid.training.settings import SDF_BATCH_SIZE, training_for

HERE = Path(__file__).parent
RESULTS = HERE / "results"

Row = dict[str, Any]
Key = tuple[str, str]
"""Model and mesh of a row."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One table: meshes, models, parameters, and steps or minutes."""

    about: str
    """What stands above the table."""
    meshes: tuple[str, ...]
    """Files below the folder of meshes, or names of surfaces that tangrid makes."""
    models: tuple[str, ...]
    """Models that are fitted to every mesh."""
    params: int
    """Trainable parameters of every model."""
    steps: int | None = None
    """Optimiser steps."""
    minutes: float | None = None
    """Minutes of training."""
    settings: dict[str, str] = field(default_factory=dict)
    """Single settings of every fit."""
    some: dict[str, list[str]] = field(default_factory=dict)
    """Further models, each with the meshes that it is fitted to."""

    @property
    def keys(self) -> list[Key]:
        """All fits, mesh by mesh."""
        return [
            (model, mesh)
            for mesh in self.meshes
            for model in (*self.models, *self.some)
            if mesh in self.some.get(model, self.meshes)
        ]


@dataclass(frozen=True, kw_only=True)
class Table:
    """All that is asked for."""

    budgets: dict[str, Budget]
    published: tuple[Row, ...]


def read_table() -> Table:
    """Return what ``table.toml`` says."""
    plain = tomllib.loads((HERE / "table.toml").read_text(encoding="utf-8"))
    budgets = {
        name: Budget(**{
            key: tuple(value) if isinstance(value, list) else value
            for key, value in entry.items()
        })
        for name, entry in plain["budgets"].items()
    }
    return Table(budgets=budgets, published=tuple(plain["published"]))


def plan(budget: Budget, key: Key) -> tuple[FitSdf, MeshSignal]:
    """Return the experiment of one fit, and its mesh.

    Args:
        budget: The table.
        key: Model and mesh.
    """
    model, mesh = key
    source = MeshSource(path=_path(mesh), name=Path(mesh).stem)
    signal = source.open()
    training = training_for(budget.steps, budget.minutes, batch_size=SDF_BATCH_SIZE)
    experiment = plan_sdf_fit(
        signal,
        source,
        model=model,
        params=budget.params,
        training=training,
        settings=budget.settings,
    )
    return experiment, signal


def _path(mesh: str) -> str:
    if mesh in BUNDLED_MESHES:
        return mesh
    folder = os.environ.get("TANGRID_DATA")
    if not folder:
        raise DataError(
            f"{mesh}: expected the environment variable TANGRID_DATA to name the "
            "folder with the data, got none. Set it, or fill the budget 'smoke'."
        )
    return str(Path(folder) / "meshes" / mesh)


def recipe(experiment: FitSdf) -> Row:
    """Return what a row's settings are, but for where its mesh lies.

    Args:
        experiment: One fit.
    """
    plain = to_plain(experiment)
    del plain["signal"]["path"]
    return plain


def read_rows(name: str) -> dict[Key, Row]:
    """Return the rows that are there, by model and mesh.

    Args:
        name: Name of the budget.
    """
    path = RESULTS / f"{name}.json"
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["model"], row["mesh"]): row for row in rows}


def write_rows(name: str, budget: Budget, rows: dict[Key, Row]) -> None:
    """Write rows in the order of the table; rows of other models come last.

    Args:
        name: Name of the budget.
        budget: The table.
        rows: All rows.
    """
    places = {key: place for place, key in enumerate(budget.keys)}
    keys = sorted(rows, key=lambda key: (places.get(key, len(places)), key))
    lines = ",\n".join(json.dumps(rows[key]) for key in keys)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    write_whole(path, f'{{"rows": [\n{lines}\n]}}\n'.encode())
