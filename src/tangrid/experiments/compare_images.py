"""Fit several models to several images by one recipe: one table, one page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tangrid.devices import HOST
from tangrid.experiments.comparison import (
    Comparison,
    PlannedRun,
    planned_runs,
    run_planned,
)
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit, run_fit
from tangrid.experiments.fitting import Fit, FittedRun
from tangrid.runs.annotations import ADDED_LATER
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal
from tangrid.tasks.image_pictures import CropBox, Framing
from tangrid.tasks.image_regression import Sampling
from tangrid.training import Moment


@EXPERIMENTS.register("compare-images")
@dataclass(frozen=True, kw_only=True)
class CompareImages(Comparison):
    """Which models on which images, and the recipe that all share."""

    signals: tuple[ImageSource, ...] = ()
    """The images."""
    sampling: Sampling = "auto"
    """Which points each step trains on."""
    holdout: bool = False
    """Whether only every second pixel along each axis is trained on."""
    heldout_share: float | None = field(default=None, metadata=ADDED_LATER)
    """Share of the pixels, drawn at random, that is not trained on."""


def plan_comparison(
    comparison: CompareImages, signals: Sequence[ImageSignal]
) -> list[PlannedRun[FitImage]]:
    """Return all runs, with every setting resolved before any starts.

    Args:
        comparison: Models, seeds, recipe.
        signals: Its images, opened.
    """
    plans = [
        [
            plan_fit(
                signal,
                source,
                model=model,
                params=comparison.params,
                training=comparison.training,
                sampling=comparison.sampling,
                holdout=comparison.holdout,
                heldout_share=comparison.heldout_share,
                settings=comparison.settings,
            )
            for model in comparison.models
        ]
        for source, signal in zip(comparison.signals, signals, strict=True)
    ]
    return planned_runs(comparison, plans)


def run_comparison(
    comparison: CompareImages,
    signals: Sequence[ImageSignal],
    folder: RunFolder,
    *,
    resume: bool = False,
    device: torch.device = HOST,
    command: Sequence[str] = (),
    on_run: Callable[[int, int, Fit], None] | None = None,
    on_step: Callable[[Moment], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Return an iterator that fits everything and gives each row as it is done.

    Args:
        comparison: What to do.
        signals: Its images, opened.
        folder: Where table, runs and report go.
        resume: Whether to keep finished runs and go on with an unfinished one.
        device: Where to compute.
        command: The words that began the comparison, for the record.
        on_run: Called before each run with its number, the number of runs, and it.
        on_step: Called after every step.

    Returns:
        The metrics of each run, with its folder as ``run``.
    """
    opened = {
        source.name: signal
        for source, signal in zip(comparison.signals, signals, strict=True)
    }

    def fit_one(experiment: FitImage, **kept: Any) -> FittedRun:  # noqa: ANN401
        signal = opened[experiment.signal.name]
        return run_fit(experiment, signal, on_step=on_step, **kept)

    return run_planned(
        comparison,
        plan_comparison(comparison, signals),
        fit_one,
        folder,
        resume=resume,
        device=device,
        command=command,
        framing_of=framing_of,
        on_run=on_run,
    )


def framing_of(folder: RunFolder) -> Framing | None:
    """Return the error scale and the crops that an earlier run chose.

    Args:
        folder: The folder of that run.
    """
    if not folder.has("pictures.json"):
        return None
    pictures = folder.read_json("pictures.json")
    crops = tuple(
        CropBox(**{side: crop[side] for side in ("x", "y", "width", "height")})
        for crop in pictures["crops"]
    )
    return Framing(pictures["error_scale"], crops)
