"""What the study asks for, and where its numbers are."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
class Study:
    """Which candidates on which images with which seeds."""

    steps: int
    long_steps: int
    heldout_share: float
    seeds: tuple[int, ...]
    long_seeds: tuple[int, ...]
    images: Mapping[str, Mapping[str, Any]]
    entrants: Mapping[str, Entrant]

    @property
    def longer(self) -> "Study":
        """The study of fits of usual length, of fewer seeds."""
        return replace(self, steps=self.long_steps, seeds=self.long_seeds)

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
        self, key: Key, source: ImageSource, signal: ImageSignal, threads: int | None
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


def read_study(path: Path = HERE / "study.toml") -> Study:
    """Return the study.

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
    return Study(
        steps=asked["steps"],
        long_steps=asked["long_steps"],
        heldout_share=asked["heldout_share"],
        seeds=tuple(asked["seeds"]),
        long_seeds=tuple(asked["long_seeds"]),
        images=asked["images"],
        entrants=entrants,
    )


def read_rows(name: str) -> dict[Key, Row]:
    """Return the rows of one file of results.

    Args:
        name: ``trained`` or ``predicted``, perhaps with ``_long``.
    """
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {(row["signal"], row["candidate"], row["seed"]): row for row in rows}


def write_rows(name: str, rows: Mapping[Key, Row]) -> None:
    """Write the rows of one file of results, one per line.

    Args:
        name: ``trained`` or ``predicted``, perhaps with ``_long``.
        rows: What is there.
    """
    lines = ",\n".join(json.dumps(rows[key]) for key in sorted(rows, key=_order))
    RESULTS.mkdir(exist_ok=True)
    write_whole(RESULTS / f"{name}.json", f'{{"rows": [\n{lines}\n]}}\n'.encode())


def _order(key: Key) -> tuple[int, str, str]:
    return key[2], key[0], key[1]
