"""Any signal with the fit that suits it: what `tangrid.fit` does with one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tangrid.errors import ConfigError
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit, run_fit
from tangrid.experiments.fit_scene import (
    FitScene,
    SceneSource,
    plan_scene_fit,
    run_scene_fit,
)
from tangrid.experiments.fit_sdf import FitSdf, MeshSource, plan_sdf_fit, run_sdf_fit
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.track_settings import KernelTracking, with_tracking
from tangrid.signals.image import ImageSignal
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.scene import Scene
from tangrid.tasks.image_regression import Sampling
from tangrid.training import Moment
from tangrid.training.settings import SDF_BATCH_SIZE, scene_training, training_for

Signal = ImageSignal | MeshSignal | Scene
"""Whatever a field can be fitted to."""


class Watcher(Protocol):
    """What is told how a fit goes."""

    def __call__(self, moment: Moment) -> None:
        """Take one step in."""
        ...

    def prepare(self, done: int, total: int) -> None:
        """Take in how many points are drawn before training."""
        ...

    def judge(self, done: int, total: int) -> None:
        """Take in how many views are judged after training."""
        ...


@dataclass(frozen=True)
class Job:
    """A fit that is planned.

    Attributes:
        experiment: What is asked for, with every setting resolved.
        run: Does it, given what watches it and, by name, where everything is kept.
    """

    experiment: FitImage | FitSdf | FitScene
    run: Callable[..., FittedRun]


def plan_job(
    signal: Signal,
    *,
    steps: int | None,
    minutes: float | None,
    holdout: bool,
    sampling: Sampling,
    heldout_share: float | None = None,
    track: KernelTracking | None = None,
    **plan: Any,  # noqa: ANN401
) -> Job:
    """Return the fit of a model to a signal.

    Args:
        signal: An image, a mesh or posed photographs.
        steps: Optimiser steps; the usual number if minutes are not given either.
        minutes: Wall time of training.
        holdout: Whether only every second pixel of an image along each axis is trained
            on.
        sampling: Which points of an image each step trains on.
        heldout_share: Share of an image's pixels, drawn at random, that is held out.
        track: When the tangent kernel is looked at; None for never.
        **plan: Model, budget, seed and single settings.

    Raises:
        ConfigError: If something is asked for that the signal does not have.
    """
    if not isinstance(signal, ImageSignal):
        has_share = heldout_share is not None
        _check_for_images(
            signal,
            holdout=holdout,
            heldout_share=has_share,
            sampling=sampling != "auto",
        )
    if isinstance(signal, ImageSignal):
        pixels = {"holdout": holdout, "heldout_share": heldout_share}
        pixels |= {"sampling": sampling}
        return _image_job(signal, steps, minutes, track, **pixels, **plan)
    if isinstance(signal, MeshSignal):
        return _mesh_job(signal, steps, minutes, track, plan)
    return _scene_job(signal, steps, minutes, track, plan)


def _image_job(
    signal: ImageSignal,
    steps: int | None,
    minutes: float | None,
    track: KernelTracking | None,
    **plan: Any,  # noqa: ANN401
) -> Job:
    experiment = plan_fit(
        signal,
        ImageSource(name=signal.name, colour=signal.colour),
        training=training_for(steps, minutes, optimizer=_optimizer_in(plan)),
        **plan,
    )
    experiment = with_tracking(experiment, track, signal.num_channels)

    def run(watcher: Watcher | None, **kept: Any) -> FittedRun:  # noqa: ANN401
        return run_fit(experiment, signal, on_step=watcher, **kept)

    return Job(experiment, run)


def _optimizer_in(plan: Mapping[str, Any]) -> str:
    """Return what moves the parameters, which decides the usual number of steps."""
    return (plan.get("settings") or {}).get("training.optimizer", "adam")


def _mesh_job(
    signal: MeshSignal,
    steps: int | None,
    minutes: float | None,
    track: KernelTracking | None,
    plan: Mapping[str, Any],
) -> Job:
    training = training_for(
        steps,
        minutes,
        batch_size=SDF_BATCH_SIZE,
        optimizer=_optimizer_in(plan),
    )
    source = MeshSource(name=signal.name)
    experiment = plan_sdf_fit(signal, source, training=training, **plan)
    experiment = with_tracking(experiment, track, 1)

    def run(watcher: Watcher | None, **kept: Any) -> FittedRun:  # noqa: ANN401
        on_points = watcher.prepare if watcher else None
        return run_sdf_fit(
            experiment, signal, on_step=watcher, on_points=on_points, **kept
        )

    return Job(experiment, run)


def _scene_job(
    signal: Scene,
    steps: int | None,
    minutes: float | None,
    track: KernelTracking | None,
    plan: Mapping[str, Any],
) -> Job:
    training = scene_training(steps, minutes)
    source = SceneSource(name=signal.name)
    experiment = plan_scene_fit(signal, source, training=training, **plan)
    experiment = with_tracking(experiment, track, 1)

    def run(watcher: Watcher | None, **kept: Any) -> FittedRun:  # noqa: ANN401
        on_view = watcher.judge if watcher else None
        return run_scene_fit(
            experiment, signal, on_step=watcher, on_view=on_view, **kept
        )

    return Job(experiment, run)


def _check_for_images(signal: Signal, **flags: bool) -> None:
    got = "a mesh" if isinstance(signal, MeshSignal) else "posed photographs"
    for name, is_given in flags.items():
        if is_given:
            raise ConfigError(
                f"fit({name}=...): expected an image to apply it to, got {got}. Leave "
                f"{name} out."
            )
