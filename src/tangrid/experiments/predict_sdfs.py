"""Predict how well candidates would fill in the signed distance of one mesh."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fit_sdf import FitSdf, MeshSource, plan_sdf_fit
from tangrid.experiments.predict_plan import (
    Prediction,
    PredictionPlan,
    planned_candidates,
)
from tangrid.experiments.predict_sample import Window, nearest_windows
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import PointPool, SamplingRule, point_pool
from tangrid.tasks.sdf_losses import SdfLoss

_NEAR = 0.01
"""Distance from the surface, in sides of the box, within which windows are centred."""


@EXPERIMENTS.register("predict-sdf")
@dataclass(frozen=True, kw_only=True)
class PredictSdf(Prediction):
    """Which candidates on which mesh."""

    signal: MeshSource = field(default_factory=MeshSource)
    """The mesh."""
    digest: str = ""
    """Hash of its triangles: a file may change while its name stays."""
    rule: SamplingRule = "instant-ngp"
    """How far from the surface near points are drawn."""
    points: int | None = None
    """Points that are drawn; None for as many as the training can see."""
    loss: SdfLoss | None = None
    """How the fits would count an error; the lesson counts its square."""


def plan_sdf_prediction(
    experiment: PredictSdf,
    signal: MeshSignal,
    *,
    on_points: Callable[[int, int], None] | None = None,
) -> PredictionPlan[FitSdf]:
    """Return all candidates with all settings resolved, before anything runs.

    Args:
        experiment: What is asked for.
        signal: The mesh, opened.
        on_points: Called with the points of the pool that are drawn, and all of them.

    Raises:
        ConfigError: If a candidate is not possible.
    """

    def plan_one(model: str, settings: Mapping[str, str]) -> FitSdf:
        return plan_sdf_fit(
            signal,
            experiment.signal,
            model=model,
            params=experiment.params,
            training=experiment.training,
            loss=experiment.loss,
            rule=experiment.rule,
            points=experiment.points,
            settings=settings,
        )

    def windows(fit: FitSdf) -> list[Window]:
        pool = point_pool(signal, fit.pool, fit.seed, on_part=on_points)
        look = experiment.look
        return nearest_windows(
            torch.from_numpy(pool.points).float(),
            torch.from_numpy(pool.distances).float()[:, None],
            _centres(pool, look.windows, fit.seed),
            points=look.points,
            judged=look.judged,
            seed=fit.seed,
        )

    experiment = dataclasses.replace(experiment, digest=signal.digest)
    return PredictionPlan(
        experiment=experiment,
        quantity="distance",
        signal=_describe(signal),
        site=signal.site,
        candidates=planned_candidates(experiment, "sdf", signal.site, plan_one),
        windows=windows,
    )


def _describe(signal: MeshSignal) -> dict[str, Any]:
    return {"name": signal.name, "num_dims": 3, "num_channels": 1, "resolution": None}


def _centres(pool: PointPool, count: int, seed: int) -> Int64[Tensor, " k"]:
    """Return points near the surface, or any where none is."""
    near = torch.from_numpy(abs(pool.distances) <= _NEAR).nonzero()[:, 0]
    among = near if len(near) else torch.arange(len(pool))
    order = torch.randperm(len(among), generator=generator(seed, "centres"))
    return among[order[:count]]
