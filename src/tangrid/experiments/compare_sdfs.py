"""Fit several models to several meshes by one recipe: one table, one page."""

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
from tangrid.experiments.fit_sdf import FitSdf, MeshSource, plan_sdf_fit, run_sdf_fit
from tangrid.experiments.fitting import Fit, FittedRun
from tangrid.runs.store import RunFolder
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import SamplingRule
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.tasks.sdf_pictures import ShapeFraming
from tangrid.training import Moment


@EXPERIMENTS.register("compare-sdfs")
@dataclass(frozen=True, kw_only=True)
class CompareSdfs(Comparison):
    """Which models on which meshes, and the recipe that all share."""

    signals: tuple[MeshSource, ...] = ()
    """The meshes."""
    rule: SamplingRule = "instant-ngp"
    """How far from the surface near points are drawn."""
    points: int | None = None
    """Points that are drawn; None for as many as the training can see."""
    loss: SdfLoss | None = None
    """How an error is counted; None for the default."""


def plan_sdf_comparison(
    comparison: CompareSdfs, signals: Sequence[MeshSignal]
) -> list[PlannedRun[FitSdf]]:
    """Return all runs, with every setting resolved before any starts.

    Args:
        comparison: Models, seeds, recipe.
        signals: Its meshes, opened.
    """
    plans = [
        [
            plan_sdf_fit(
                signal,
                source,
                model=model,
                params=comparison.params,
                training=comparison.training,
                loss=comparison.loss,
                rule=comparison.rule,
                points=comparison.points,
                settings=comparison.settings,
            )
            for model in comparison.models
        ]
        for source, signal in zip(comparison.signals, signals, strict=True)
    ]
    return planned_runs(comparison, plans)


def run_sdf_comparison(
    comparison: CompareSdfs,
    signals: Sequence[MeshSignal],
    folder: RunFolder,
    *,
    resume: bool = False,
    device: torch.device = HOST,
    command: Sequence[str] = (),
    on_run: Callable[[int, int, Fit], None] | None = None,
    on_step: Callable[[Moment], None] | None = None,
    on_points: Callable[[int, int], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Return an iterator that fits everything and gives each row as it is done.

    Args:
        comparison: What to do.
        signals: Its meshes, opened.
        folder: Where table, runs and report go.
        resume: Whether to keep finished runs and go on with an unfinished one.
        device: Where to compute.
        command: The words that began the comparison, for the record.
        on_run: Called before each run with its number, the number of runs, and it.
        on_step: Called after every step.
        on_points: Called with the points of a pool that are drawn, and all of them.

    Returns:
        The metrics of each run, with its folder as ``run``.
    """
    opened = {
        source.name: signal
        for source, signal in zip(comparison.signals, signals, strict=True)
    }

    def fit_one(experiment: FitSdf, **kept: Any) -> FittedRun:  # noqa: ANN401
        signal = opened[experiment.signal.name]
        return run_sdf_fit(
            experiment, signal, on_step=on_step, on_points=on_points, **kept
        )

    return run_planned(
        comparison,
        plan_sdf_comparison(comparison, signals),
        fit_one,
        folder,
        resume=resume,
        device=device,
        command=command,
        framing_of=shape_framing_of,
        on_run=on_run,
    )


def shape_framing_of(folder: RunFolder) -> ShapeFraming | None:
    """Return the error scale that an earlier run chose.

    Args:
        folder: The folder of that run.

    Returns:
        The scale; None if the run had no surface to colour.
    """
    if not folder.has("pictures.json"):
        return None
    scale = folder.read_json("pictures.json")["error_scale"]
    return None if scale is None else ShapeFraming(scale)
