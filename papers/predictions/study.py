"""What the study asks for, and where its numbers are."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.runs.writing import write_whole
from tangrid.signals.image import ImageSignal
from tangrid.training.settings import TrainingSettings

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Row = dict[str, Any]
Key = tuple[str, str, int]
"""Image, candidate and seed."""


@dataclass(frozen=True, kw_only=True)
class Entrant:
    """One candidate: a model, its size, and what is changed in it."""

    model: str
    params: int | None = None
    settings: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Round:
    """Which candidates on which images with which seeds, trained how long."""

    name: str
    steps: int
    heldout_share: float
    seeds: tuple[int, ...]
    images: Mapping[str, Mapping[str, Any]]
    entrants: Mapping[str, Entrant]

    @property
    def keys(self) -> list[Key]:
        """Every image, candidate and seed; all candidates of an image together."""
        return [
            (image, label, seed)
            for seed in self.seeds
            for image in self.images
            for label in self.entrants
        ]

    def source(self, image: str, data: Path) -> ImageSource:
        """Return where an image comes from.

        Args:
            image: Its name.
            data: Folder of all images.
        """
        kind = dict(self.images[image])
        return ImageSource(name=image, path=str(data / kind.pop("path")), **kind)

    def plan(
        self,
        key: Key,
        source: ImageSource,
        signal: ImageSignal,
        threads: int | None = None,
    ) -> FitImage:
        """Return the fit of one candidate.

        Args:
            key: Image, candidate and seed.
            source: Where the image comes from.
            signal: The image.
            threads: Threads to use; None for all.
        """
        entrant = self.entrants[key[1]]
        return plan_fit(
            signal,
            source,
            model=entrant.model,
            params=entrant.params,
            training=TrainingSettings(steps=self.steps, threads=threads),
            heldout_share=self.heldout_share,
            seed=key[2],
            settings=entrant.settings,
        )


def read_rounds(path: Path = HERE / "study.toml") -> dict[str, Round]:
    """Return all rounds of the study, by name.

    Args:
        path: Its file.
    """
    asked = tomllib.loads(path.read_text())
    entrants = {}
    for name, sweep in asked["sweeps"].items():
        for value in sweep["values"]:
            settings = {sweep["setting"]: str(value), **sweep["settings"]}
            entrants[f"{name}-{value}"] = Entrant(
                model=sweep["model"], settings=settings
            )
    for name, row in asked["models"].items():
        entrants[name] = Entrant(settings={}, **row)
    return {
        name: Round(
            name=name,
            steps=row["steps"],
            heldout_share=asked["heldout_share"],
            seeds=tuple(row["seeds"]),
            images=asked["images"][row["images"]],
            entrants=entrants,
        )
        for name, row in asked["rounds"].items()
    }


@dataclass(frozen=True, kw_only=True)
class Results:
    """Hold what a round has brought so far.

    Attributes:
        asked: The round.
        trained: Rows of training.
        predicted: Rows of prediction.
        timed: What both took of one image, where it was measured.
    """

    asked: Round
    trained: dict[Key, Row]
    predicted: dict[Key, Row]
    timed: Mapping[str, Any] | None


def read_results(asked: Round) -> Results:
    """Return what there is of a round.

    Args:
        asked: The round.
    """
    timed = _file("timed", asked)
    return Results(
        asked=asked,
        trained=_read_rows("trained", asked),
        predicted=_read_rows("predicted", asked),
        timed=json.loads(timed.read_text()) if timed.exists() else None,
    )


def _file(what: str, asked: Round) -> Path:
    return RESULTS / f"{what}_{asked.name}.json"


def _read_rows(what: str, asked: Round) -> dict[Key, Row]:
    path = _file(what, asked)
    if not path.exists():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {(row["signal"], row["candidate"], row["seed"]): row for row in rows}


def write_rows(what: str, asked: Round, rows: Mapping[Key, Row]) -> None:
    """Write all rows of a round, one per line.

    Args:
        what: ``trained`` or ``predicted``.
        asked: The round.
        rows: What is there.
    """
    lines = ",\n".join(json.dumps(rows[key]) for key in sorted(rows, key=_order))
    RESULTS.mkdir(exist_ok=True)
    write_whole(_file(what, asked), f'{{"rows": [\n{lines}\n]}}\n'.encode())


def write_times(asked: Round, times: Mapping[str, Any]) -> None:
    """Write what training and prediction took.

    Args:
        asked: The round.
        times: Seconds by candidate, and where they were measured.
    """
    text = json.dumps(times, indent=1) + "\n"
    write_whole(_file("timed", asked), text.encode())


def _order(key: Key) -> tuple[int, str, str]:
    return key[2], key[0], key[1]
