"""Fit several models to several scenes by one recipe: one table, one page."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from tangrid.experiments.fit_scene import (
    FitScene,
    SceneSource,
    plan_scene_fit,
    run_scene_fit,
)
from tangrid.experiments.fitting import Fit, FittedRun
from tangrid.experiments.scene_judging import check_judged_alike
from tangrid.metrics.lpips import Lpips
from tangrid.runs.store import RunFolder
from tangrid.signals.scene import Scene
from tangrid.tasks.view_pictures import ViewFraming
from tangrid.training import Moment


@EXPERIMENTS.register("compare-scenes")
@dataclass(frozen=True, kw_only=True)
class CompareScenes(Comparison):
    """Which models on which scenes, and the recipe that all share."""

    signals: tuple[SceneSource, ...] = ()
    """The scenes."""
    protocol: str | None = None
    """Rules of evaluation; None for those that suit each scene."""


def plan_scene_comparison(
    comparison: CompareScenes, signals: Sequence[Scene]
) -> list[PlannedRun[FitScene]]:
    """Return all runs, with every setting resolved before any starts.

    Args:
        comparison: Models, seeds, recipe.
        signals: Its scenes, opened.
    """
    plans = [
        [
            plan_scene_fit(
                signal,
                source,
                model=model,
                params=comparison.params,
                training=comparison.training,
                protocol=comparison.protocol,
                settings=comparison.settings,
            )
            for model in comparison.models
        ]
        for source, signal in zip(comparison.signals, signals, strict=True)
    ]
    return planned_runs(comparison, plans)


def run_scene_comparison(
    comparison: CompareScenes,
    signals: Sequence[Scene],
    folder: RunFolder,
    *,
    resume: bool = False,
    device: torch.device = HOST,
    lpips: Lpips | None = None,
    command: Sequence[str] = (),
    on_run: Callable[[int, int, Fit], None] | None = None,
    on_step: Callable[[Moment], None] | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Return an iterator that fits everything and gives each row as it is done.

    Args:
        comparison: What to do.
        signals: Its scenes, opened.
        folder: Where table, runs and report go.
        resume: Whether to keep finished runs and go on with an unfinished one.
        device: Where to compute.
        lpips: A learned metric to judge views by too.
        command: The words that began the comparison, for the record.
        on_run: Called before each run with its number, the number of runs, and it.
        on_step: Called after every step.
        on_view: Called with the views that are judged, and all of them.

    Returns:
        The metrics of each run, with its folder as ``run``.
    """
    planned = plan_scene_comparison(comparison, signals)
    for run in planned if resume else []:
        check_judged_alike(folder.path / run.path, lpips)
    opened = {
        source.name: signal
        for source, signal in zip(comparison.signals, signals, strict=True)
    }

    def fit_one(experiment: FitScene, **kept: Any) -> FittedRun:  # noqa: ANN401
        signal = opened[experiment.signal.name]
        return run_scene_fit(
            experiment, signal, lpips=lpips, on_step=on_step, on_view=on_view, **kept
        )

    return run_planned(
        comparison,
        planned,
        fit_one,
        folder,
        resume=resume,
        device=device,
        command=command,
        framing_of=view_framing_of,
        on_run=on_run,
    )


def view_framing_of(folder: RunFolder) -> ViewFraming | None:
    """Return the error scale that an earlier run chose.

    Args:
        folder: The folder of that run.

    Returns:
        The scale; None if the run has no pictures.
    """
    if not folder.has("pictures.json"):
        return None
    return ViewFraming(folder.read_json("pictures.json")["error_scale"])
