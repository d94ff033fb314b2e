"""Fit one radiance field to one scene, judge it by views it has not seen, keep all."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from tangrid.devices import HOST
from tangrid.errors import DataError
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fitting import Fit, FittedRun, all_metrics, begin, resolved
from tangrid.experiments.scene_cameras import keep_cameras
from tangrid.experiments.scene_judging import ViewJudge, heldout_views, judge_scene
from tangrid.experiments.scene_source import SceneSource
from tangrid.experiments.scene_space_checks import check_space
from tangrid.experiments.track_kernel import box_points, fit_tracked
from tangrid.fields import Field, FieldConfig
from tangrid.fields.radiance import EncodedRadianceConfig, RadianceField
from tangrid.fields.workers import Workers
from tangrid.metrics.lpips import Lpips
from tangrid.ops import forget_implementations
from tangrid.presets import find_model
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene
from tangrid.runs.store import RunFolder
from tangrid.signals.scene import Scene
from tangrid.signals.site import Site
from tangrid.signals.view import View
from tangrid.tasks.view_evaluation import JudgedView, evaluate_views
from tangrid.tasks.view_pictures import (
    ViewFraming,
    ViewPictures,
    describe_views,
    draw_views,
    frame_views,
)
from tangrid.tasks.view_protocols import find_protocol, usual_protocol
from tangrid.tasks.view_synthesis import ViewSettings, ViewSynthesis
from tangrid.training import Moment, Probe, TrainingSettings
from tangrid.training.checkpoint import load_learned, load_tensors, save_tensors

SETTINGS = ("field", "training", "views", "space", "judge", "pictures")
"""Parts of the experiment whose single settings can be changed."""

OCCUPANCY_FILE = "occupancy.safetensors"
_USUAL_SLOPE = 1 / 256


@EXPERIMENTS.register("fit-scene")
@dataclass(frozen=True, kw_only=True)
class FitScene(Fit):
    """All that decides the bits of a fit to posed photographs."""

    model: str = "instant-ngp"
    """Name of the model that the field's settings started from."""
    field: FieldConfig = dataclasses.field(default_factory=EncodedRadianceConfig)
    """What is fitted."""
    signal: SceneSource = dataclasses.field(default_factory=SceneSource)
    """The scene."""
    digest: str = ""
    """Hash of cameras and pixels: files may change while their names stay."""
    space: SceneSpace = dataclasses.field(default_factory=SceneSpace)
    """Where the unit box lies in the world."""
    views: ViewSettings = dataclasses.field(default_factory=ViewSettings)
    """How rays are drawn and looked along."""
    judge: ViewJudge = dataclasses.field(default_factory=ViewJudge)
    """By what the field is judged."""
    pictures: ViewPictures = dataclasses.field(default_factory=ViewPictures)
    """Which views are drawn."""

    @property
    def site(self) -> Site:
        """What the field knows of the scene."""
        return Site(num_dims=3, num_channels=3)

    @property
    def source(self) -> SceneSource:
        """Where the scene comes from."""
        return self.signal


@dataclass(frozen=True)
class FittedScene(FittedRun):
    """A fitted scene with its scores.

    Attributes:
        radiance: The field with all that a picture of it needs.
    """

    radiance: RadianceScene | None = None


def check_scene_settings(
    model: str,
    training: TrainingSettings,
    *,
    protocol: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> None:
    """Refuse what no scene could be fitted with, before one is read.

    Args:
        model: Name of a preset, an encoding or a radiance field.
        training: How to train.
        protocol: Rules of evaluation.
        settings: Single settings to change, by dotted path; those of space wait for the
            scene's own.

    Raises:
        ConfigError: If a name is unknown or a setting cannot be honoured.
    """
    if protocol is not None:
        find_protocol(protocol)
    own = {
        path: text
        for path, text in (settings or {}).items()
        if path.strip(" -").split(".")[0] != "space"
    }
    resolved(
        FitScene(model=model, training=training),
        find_model(model, "scene"),
        params=None,
        settings=own,
        parts=SETTINGS,
    )


def plan_scene_fit(
    signal: Scene,
    source: SceneSource,
    *,
    model: str,
    params: int | None,
    training: TrainingSettings,
    protocol: str | None = None,
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
) -> FitScene:
    """Return the experiment with every setting resolved.

    Args:
        signal: The scene.
        source: Where it came from.
        model: Name of a preset, an encoding or a radiance field.
        params: Budget of trainable parameters; None for the model's own size.
        training: How to train; the model's own rates are put in.
        protocol: Rules of evaluation; None for those that suit the scene.
        seed: Source of all randomness.
        settings: Single settings to change, by dotted path, such as
            ``{"views.march.step": "0.004"}``.

    Raises:
        ConfigError: If a setting cannot be honoured.
    """
    name = find_protocol(protocol or usual_protocol(signal)).name
    views = ViewSettings()
    if signal.cascades > 1:
        march = dataclasses.replace(
            views.march, slope=_USUAL_SLOPE, spacing="disparity"
        )
        views = dataclasses.replace(views, march=march)
    experiment = FitScene(
        model=model,
        signal=source,
        digest=signal.digest,
        space=SceneSpace(
            low=signal.low,
            high=signal.high,
            near=signal.near,
            far=signal.far,
            cascades=signal.cascades,
            ndc=signal.ndc,
        ),
        training=training,
        views=views,
        judge=ViewJudge(protocol=name),
        seed=seed,
    )
    experiment = resolved(
        experiment,
        find_model(model, "scene"),
        params=params,
        settings=settings or {},
        parts=SETTINGS,
    )
    find_protocol(experiment.judge.protocol)
    check_space(experiment.space, signal)
    return experiment


def run_scene_fit(
    experiment: FitScene,
    signal: Scene,
    *,
    folder: RunFolder | None = None,
    resume: bool = False,
    device: torch.device = HOST,
    framing: ViewFraming | None = None,
    lpips: Lpips | None = None,
    command: Sequence[str] = (),
    on_step: Callable[[Moment], None] | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> FittedScene:
    """Return the trained and judged field of an experiment.

    Args:
        experiment: What to do.
        signal: The scene.
        folder: Where to keep everything; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        device: Where to compute.
        framing: Error scale of another run, to be comparable with it.
        lpips: A learned metric to judge its views by too.
        command: The words that began the run, for the record.
        on_step: Called after every step.
        on_view: Called with the views that are judged, and all of them.
    """
    built = experiment.build(experiment.site).to(device)
    begin(folder, experiment, built, resume=resume, command=command)
    if folder is not None:
        # Before training: a run that goes on can be looked at.
        keep_cameras(folder, signal)
    forget_implementations()
    task = _task(experiment, signal, device)
    fitted, finish = fit_tracked(
        experiment,
        task,
        built,
        lambda asked: box_points(3, asked, device, "the density"),
        folder=folder,
        resume=resume,
        on_step=on_step,
        probe=_probe(experiment, task, heldout_views(signal)),
    )
    scene = _radiance(experiment, fitted.field, task.occupancy)
    if folder is not None:
        save_tensors(folder, OCCUPANCY_FILE, task.occupancy.state, {})
    scores, judged = judge_scene(
        scene,
        signal,
        experiment.judge,
        pictures=experiment.pictures,
        threads=experiment.training.threads,
        lpips=lpips,
        on_view=on_view,
    )
    scores |= task.speeds(fitted.progress.seconds)
    metrics = all_metrics(experiment, fitted, scores)
    finish()
    framing = framing or frame_views(judged)
    if folder is not None:
        _keep_pictures(folder, judged, framing)
        folder.write_json("metrics.json", metrics)
    return FittedScene(experiment, fitted.field, metrics, folder, framing, scene)


def _task(experiment: FitScene, signal: Scene, device: torch.device) -> ViewSynthesis:
    return ViewSynthesis(
        signal.of_split("train"),
        experiment.space,
        settings=experiment.views,
        batch_size=experiment.training.batch_size,
        seed=experiment.seed,
        device=device,
    )


def _keep_pictures(
    folder: RunFolder, judged: Sequence[JudgedView], framing: ViewFraming
) -> None:
    for name, data in draw_views(judged, framing):
        folder.write_bytes(name, data)
    folder.write_json("pictures.json", describe_views(judged, framing))


def radiance_of(run: FittedRun) -> RadianceScene:
    """Return the fitted field of a run with all that a picture of it needs.

    Args:
        run: A fit to a scene, fresh or loaded.

    Raises:
        DataError: If it fitted something else, or its folder lacks a file.
    """
    if isinstance(run, FittedScene) and run.radiance is not None:
        return run.radiance
    experiment = fit_of_scene(run)
    occupancy = _new_occupancy(experiment, run.field.device)
    if run.folder is None:
        raise DataError(
            "run: expected the folder of a fit to a scene, got a run without one. Load "
            "it from the folder where it was kept."
        )
    if run.folder.has(OCCUPANCY_FILE):
        load_tensors(run.folder.path / OCCUPANCY_FILE, occupancy.state)
    else:
        # Training goes on, or was stopped: the file is written at its end.
        load_learned(run.folder, occupancy.state)
    return _radiance(experiment, run.field, occupancy)


def fit_of_scene(run: FittedRun) -> FitScene:
    """Return the experiment of a run, if it fitted a scene.

    Args:
        run: Any fitted run.

    Raises:
        DataError: If it fitted something else.
    """
    if not isinstance(run.experiment, FitScene):
        where = run.folder.path if run.folder else "this run"
        raise DataError(
            f"{where}: expected a fit to posed photographs, got one to something else. "
            "Name the folder of a `tangrid fit scene`."
        )
    return run.experiment


def _new_occupancy(experiment: FitScene, device: torch.device) -> Occupancy:
    views = experiment.views
    steps = views.march.longest_steps(experiment.space.cascades)
    return Occupancy(views.occupancy, steps, device)


def _radiance(
    experiment: FitScene, field: Field, occupancy: Occupancy
) -> RadianceScene:
    assert isinstance(field, RadianceField)
    march = dataclasses.replace(
        experiment.views.march,
        least_transmittance=experiment.judge.least_transmittance,
        # What cells hold is known of the field that is trained, not of its mean.
        most_thickness=None,
    )
    return RadianceScene(
        field=field, space=experiment.space, occupancy=occupancy, march=march
    )


def _probe(
    experiment: FitScene, task: ViewSynthesis, views: Sequence[View]
) -> Probe | None:
    """Return what looks at some test views while training goes on."""
    judge = experiment.judge
    chosen = [
        views[k] for k in ViewPictures(views=judge.probe_views).numbers(len(views))
    ]
    if not chosen:
        return None
    protocol = find_protocol(judge.protocol)

    def measure(field: Field, workers: Workers) -> dict[str, float]:
        scene = _radiance(experiment, field, task.occupancy)
        found = evaluate_views(
            scene, chosen, protocol, workers, supersampling=judge.supersampling
        )
        return {"test_psnr": found["psnr"]}

    return Probe(judge.probe_seconds, measure)
