"""Fit one field to the signed distance of one mesh, judge it, and keep everything."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.experiments.choice import Choice, choice_metrics, keep_choice
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fitting import Fit, FittedRun, all_metrics, begin, resolved
from tangrid.experiments.track_kernel import drawn_points, fit_tracked
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.ops import forget_implementations
from tangrid.presets import find_model
from tangrid.runs.store import RunFolder
from tangrid.signals.mesh import Frame, MeshSignal
from tangrid.signals.point_pool import PointPool, PoolSettings, SamplingRule, point_pool
from tangrid.signals.site import Site
from tangrid.tasks.sdf_evaluation import (
    FittedShape,
    JudgeSettings,
    evaluate_sdf,
)
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.tasks.sdf_pictures import (
    PictureSizes,
    ShapeFraming,
    describe_shape,
    draw_shape,
    frame_shape,
)
from tangrid.tasks.sdf_regression import SdfRegression
from tangrid.training import Moment, TrainingSettings

SETTINGS = ("field", "training", "loss", "pool", "judge", "pictures")
"""Parts of the experiment whose single settings can be changed."""

_SMALLEST_POOL = 2**16


@dataclass(frozen=True, kw_only=True)
class MeshSource:
    """Where a mesh comes from."""

    path: str | None = None
    """File, or name of a mesh that tangrid makes; None for arrays."""
    name: str = "mesh"
    """Name in tables."""

    def open(self) -> MeshSignal:
        """Return the mesh, read from its file.

        Raises:
            ConfigError: If it was made of arrays, which no file keeps.
        """
        if self.path is None:
            raise ConfigError(
                f"signal '{self.name}': expected the path of a file, got arrays that "
                "only the program that made them had. Give the signal itself."
            )
        return MeshSignal.open(self.path)


@EXPERIMENTS.register("fit-sdf")
@dataclass(frozen=True, kw_only=True)
class FitSdf(Fit):
    """All that decides the bits of a fit to a signed distance."""

    signal: MeshSource = field(default_factory=MeshSource)
    """The mesh."""
    frame: Frame = field(default_factory=Frame)
    """Where the unit box lies in the mesh's own space."""
    digest: str = ""
    """Hash of its triangles: a file may change while its name stays."""
    pool: PoolSettings = field(default_factory=PoolSettings)
    """Which points are trained on."""
    loss: SdfLoss = field(default_factory=SdfLoss)
    """How an error is counted."""
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    """How closely the fitted field is looked at."""
    pictures: PictureSizes = field(default_factory=PictureSizes)
    """How large its pictures are."""

    @property
    def site(self) -> Site:
        """What the field knows of the mesh, but for a sampler."""
        return Site(num_dims=3, num_channels=1)

    @property
    def is_least_squares(self) -> bool:
        """Whether the loss is the mean square of values' errors."""
        return self.loss.is_least_squares

    @property
    def source(self) -> MeshSource:
        """Where the mesh comes from."""
        return self.signal


def plan_sdf_fit(
    signal: MeshSignal,
    source: MeshSource,
    *,
    model: str,
    params: int | None,
    training: TrainingSettings,
    loss: SdfLoss | None = None,
    rule: SamplingRule = "instant-ngp",
    points: int | None = None,
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
) -> FitSdf:
    """Return the experiment with every setting resolved.

    Args:
        signal: The mesh.
        source: Where it came from.
        model: Name of a preset, an encoding or a field.
        params: Budget of trainable parameters; None for the model's own size.
        training: How to train; the model's own rates are put in.
        loss: How an error is counted; None for the default.
        rule: How far from the surface near points are drawn.
        points: Points that are drawn; None for 4.2 million, or as many as a short
            training sees.
        seed: Source of all randomness.
        settings: Single settings to change, by dotted path, such as
            ``{"loss.eikonal": "0.1"}``.
    """
    experiment = FitSdf(
        model=model,
        signal=source,
        digest=signal.digest,
        frame=signal.frame,
        training=training,
        loss=loss or SdfLoss(),
        pool=PoolSettings(rule=rule, size=points or PoolSettings().size),
        seed=seed,
    )
    settings = settings or {}
    experiment = resolved(
        experiment,
        find_model(model, "sdf"),
        params=params,
        settings=settings,
        parts=SETTINGS,
    )
    named = {path.strip(" -").replace("-", "_") for path in settings}
    if points is None and "pool.size" not in named:
        experiment = _with_usual_pool(experiment)
    # A batch has every point at most once.
    batch_size = min(experiment.training.batch_size, experiment.pool.size)
    return dataclasses.replace(
        experiment,
        training=dataclasses.replace(experiment.training, batch_size=batch_size),
        loss=experiment.loss.with_weights(),
    )


def _with_usual_pool(experiment: FitSdf) -> FitSdf:
    """Return an experiment with no more points than its training will see."""
    training, pool = experiment.training, experiment.pool
    if training.steps is None:
        return experiment
    seen = max(training.steps * training.batch_size, _SMALLEST_POOL)
    sized = dataclasses.replace(pool, size=min(pool.size, seen))
    return dataclasses.replace(experiment, pool=sized)


def run_sdf_fit(
    experiment: FitSdf,
    signal: MeshSignal,
    *,
    folder: RunFolder | None = None,
    resume: bool = False,
    device: torch.device = HOST,
    framing: ShapeFraming | None = None,
    command: Sequence[str] = (),
    choice: Choice | None = None,
    on_step: Callable[[Moment], None] | None = None,
    on_points: Callable[[int, int], None] | None = None,
) -> FittedRun:
    """Return the trained and judged field of an experiment.

    Args:
        experiment: What to do.
        signal: The mesh.
        folder: Where to keep everything; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        device: Where to compute.
        framing: Error scale of another run, to be comparable with it.
        command: The words that began the run, for the record.
        choice: How its settings were chosen, for the record; None if they were given.
        on_step: Called after every step.
        on_points: Called with the points of the pool that are drawn, and all of them.
    """
    built = experiment.build(signal.site).to(device)
    begin(folder, experiment, built, resume=resume, command=command)
    keep_choice(choice, folder)
    forget_implementations()
    pool = point_pool(signal, experiment.pool, experiment.seed, on_part=on_points)
    task = _task(experiment, signal, pool, device)
    fitted, finish = fit_tracked(
        experiment,
        task,
        built,
        lambda asked: drawn_points(task, asked, "points of the pool"),
        folder=folder,
        resume=resume,
        on_step=on_step,
    )
    start = time.monotonic()
    with fitted_shape(fitted.field, experiment.training.threads) as shape:
        evaluation = evaluate_sdf(signal, shape, experiment.judge)
        has_surface = evaluation.surface is not None
        if has_surface and framing is None:
            framing = frame_shape(signal, shape)
        shown = framing if has_surface else None
        if folder is not None:
            _keep_pictures(folder, signal, shape, shown, experiment.pictures)
    costs = {
        "pool_points": len(pool),
        "sampling_seconds": pool.seconds,
        "pool_from_disk": pool.is_from_disk,
        "judging_seconds": time.monotonic() - start,
    }
    scores = {**evaluation.metrics, **costs, **choice_metrics(choice)}
    metrics = all_metrics(experiment, fitted, scores)
    finish()
    if folder is not None:
        folder.write_json("metrics.json", metrics)
    return FittedRun(experiment, fitted.field, metrics, folder, framing)


def _keep_pictures(
    folder: RunFolder,
    signal: MeshSignal,
    shape: FittedShape,
    shown: ShapeFraming | None,
    sizes: PictureSizes,
) -> None:
    for name, data in draw_shape(signal, shape, shown, sizes):
        folder.write_bytes(name, data)
    folder.write_json("pictures.json", describe_shape(shown))


def _task(
    experiment: FitSdf, signal: MeshSignal, pool: PointPool, device: torch.device
) -> SdfRegression:
    return SdfRegression(
        signal,
        pool,
        loss=experiment.loss,
        batch_size=experiment.training.batch_size,
        seed=experiment.seed,
        device=device,
    )


@contextmanager
def fitted_shape(field: Field, threads: int | None = None) -> Iterator[FittedShape]:
    """Open a pool of threads that answer for a field.

    Args:
        field: A field with one channel.
        threads: Threads to use; None for all that the process may.

    Yields:
        The field as a shape.
    """
    with Workers(threads, field.device) as workers:
        yield FittedShape.of(field, workers)
