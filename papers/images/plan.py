"""What the image table asks for: budgets, rows, and the experiment of every cell."""

import dataclasses
import hashlib
import json
import os
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError, DataError
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.fields import EncodedFieldConfig, count_parameters
from tangrid.fields.budget import TOLERANCE
from tangrid.registry import unknown_name
from tangrid.runs.codec import to_plain
from tangrid.signals.image import ImageSignal
from tangrid.training import TrainingSettings

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Budget:
    """One table: images, parameters, steps.

    Attributes:
        name: Its name on the command line.
        about: What stands above the table.
        images: Paths below the folder of images, or names of installed photographs.
        params: Trainable parameters of every model that a budget can size.
        steps: Optimiser steps.
        crop: Rectangle that is cut out.
        downscale: Whole factor by which it is made smaller.
        holdout: Whether every second pixel is held out, and the score is theirs.
        tolerance: Largest relative distance of a model from the budget.
    """

    name: str
    about: str
    images: tuple[str, ...]
    params: int
    steps: int
    crop: str | None = None
    downscale: int = 1
    holdout: bool = False
    tolerance: float = TOLERANCE

    @property
    def score(self) -> str:
        """Name of the score that the table shows."""
        return "psnr_heldout" if self.holdout else "psnr"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the table, with settings of its own.

    Attributes:
        name: Short name, unique in the table.
        title: What stands in the table.
        model: Preset that it starts from.
        group: Heading that it stands under.
        settings: Single settings by dotted path.
        levels_of: Row whose levels this grid takes, so that the finest of both stand
            in the same step with the pixels; None sizes it to the budget alone.
        budgets: Tables that it stands in.
        seeds: How many seeds, by table; one where nothing is said.
        images: Which images of a table it is fitted to; all where nothing is said.
        is_sized: Whether the budget sets its size; if not it has one of its own.
    """

    name: str
    title: str
    model: str
    group: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    levels_of: str | None = None
    budgets: tuple[str, ...] = ()
    seeds: dict[str, int] = field(default_factory=dict)
    images: dict[str, list[str]] = field(default_factory=dict)
    is_sized: bool = True


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number from a paper, and whether ours may be held against it."""

    budgets: tuple[str, ...]
    model: str
    data: str
    psnr: float
    params: str
    steps: str
    source: str
    comparable: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """All that is asked for."""

    budgets: dict[str, Budget]
    rows: dict[str, Row]
    published: tuple[Published, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fit."""

    row: Row
    image: str
    seed: int
    experiment: FitImage

    @property
    def key(self) -> tuple[str, str, int]:
        """What the cell is found by in the results."""
        return self.row.name, self.image, self.seed

    @property
    def recipe(self) -> FitImage:
        """The experiment without what the key says, and without where the file is."""
        signal = dataclasses.replace(self.experiment.signal, path="", name="")
        return dataclasses.replace(self.experiment, signal=signal, seed=0)

    @property
    def digest(self) -> str:
        """A short name of the recipe."""
        text = json.dumps(to_plain(self.recipe), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_table(path: Path = HERE / "table.toml") -> Table:
    """Return the table that a file asks for.

    Args:
        path: A TOML file.
    """
    data = tomllib.loads(path.read_text())
    budgets = {
        name: Budget(name=name, **_tuples(entry))
        for name, entry in data["budgets"].items()
    }
    rows = [Row(**_tuples(entry)) for entry in data["rows"]]
    return Table(
        budgets=budgets,
        rows={row.name: row for row in rows},
        published=tuple(
            Published(**_tuples(entry)) for entry in data.get("published", [])
        ),
    )


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}


def cells(table: Table, budget_name: str, names: tuple[str, ...] = ()) -> list[Cell]:
    """Return the fits of one table, those that compare most first.

    Args:
        table: What is asked for.
        budget_name: Which table.
        names: Rows; all of the table if none are given.
    """
    if budget_name not in table.budgets:
        raise unknown_name("budget", budget_name, table.budgets)
    budget = table.budgets[budget_name]
    rows = [row for row in table.rows.values() if budget_name in row.budgets]
    for name in names:
        if name not in {row.name for row in rows}:
            raise unknown_name("row", name, [row.name for row in rows])
    chosen = [row for row in rows if not names or row.name in names]
    plans = {
        (image, row.name): _plan(table, row, budget, image)
        for image in budget.images
        for row in chosen
        if image in row.images.get(budget_name, budget.images)
    }
    most = max((row.seeds.get(budget_name, 1) for row in chosen), default=0)
    return [
        Cell(
            row=table.rows[name],
            image=Path(image).stem,
            seed=seed,
            experiment=dataclasses.replace(experiment, seed=seed),
        )
        for seed in range(most)
        for (image, name), experiment in plans.items()
        if seed < table.rows[name].seeds.get(budget_name, 1)
    ]


def _plan(table: Table, row: Row, budget: Budget, image: str) -> FitImage:
    source, signal = _opened(image, budget.crop, budget.downscale)
    settings = dict(row.settings)
    params = budget.params if row.is_sized else None
    if row.levels_of is not None:
        like = _plan(table, table.rows[row.levels_of], budget, image)
        settings["field.encoding.growth"] = repr(_growth(like))
        params = None
    experiment = plan_fit(
        signal,
        source,
        model=row.model,
        params=params,
        training=TrainingSettings(steps=budget.steps),
        holdout=budget.holdout,
        settings=settings,
    )
    count = count_parameters(experiment.field, experiment.site)
    if row.is_sized and abs(count / budget.params - 1) > budget.tolerance:
        cause = f" with the levels of '{row.levels_of}'" if row.levels_of else ""
        raise ConfigError(
            f"row '{row.name}': expected {budget.params} parameters within "
            f"{budget.tolerance:.1%}{cause}, got {count}. Leave levels_of out, or "
            "widen the budget's tolerance."
        )
    return experiment


def _growth(experiment: FitImage) -> float:
    config = experiment.field
    if isinstance(config, EncodedFieldConfig) and isinstance(
        config.encoding, TableGridConfig
    ):
        return config.encoding.growth
    raise ConfigError(
        f"levels_of: expected a row with a grid, got the model '{experiment.model}'."
    )


@cache
def _opened(
    image: str, crop: str | None, downscale: int
) -> tuple[ImageSource, ImageSignal]:
    path = image
    if "/" in image:
        folder = os.environ.get("TANGRID_DATA")
        if not folder:
            raise DataError(
                f"{image}: expected the folder of images in the environment variable "
                "TANGRID_DATA, found none. Set it to a folder with images/kodak."
            )
        path = str(Path(folder) / "images" / image)
    source = ImageSource(path=path, crop=crop, downscale=downscale)
    source = dataclasses.replace(source, name=Path(image).stem)
    return source, source.open()
