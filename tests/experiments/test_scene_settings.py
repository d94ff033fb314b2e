"""Settings that models bring to scenes, and scenes without an end."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tangrid.errors import ConfigError
from tangrid.experiments.demo_scene import demo_scene
from tangrid.experiments.fit_scene import (
    FitScene,
    FittedScene,
    plan_scene_fit,
    radiance_of,
    run_scene_fit,
)
from tangrid.experiments.loading import load
from tangrid.experiments.scene_source import SceneSource
from tangrid.fields.workers import Workers
from tangrid.presets import SCENE_PRESETS
from tangrid.rendering.views import render_view
from tangrid.runs.store import RunFolder
from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SplitName
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tangrid.signals.scene import Scene
from tangrid.signals.scene_bounds import SceneBounds
from tangrid.signals.view import View
from tangrid.training import Moment, TrainingSettings
from tangrid.training.settings import scene_training
from tests.ops.comparison import assert_same_bits

TRAINING = TrainingSettings(steps=4, batch_size=2048, piece_size=1024, threads=2)
SMALL_NERF = {
    "field.width": "24",
    "field.num-hidden": "3",
    "field.seen-again-after": "none",
    "judge.probe-views": "0",
}


@pytest.fixture(scope="module")
def demo() -> Scene:
    return demo_scene(size=12, train_views=4, test_views=1)


def planned(signal: Scene, model: str = "nerf", **given) -> FitScene:
    given.setdefault("training", TRAINING)
    given.setdefault("settings", SMALL_NERF)
    source = SceneSource(name=signal.name)
    return plan_scene_fit(signal, source, model=model, params=None, **given)


@pytest.mark.parametrize("model", ["nerf", "nerf-fourier"])
def test_deep_networks_bring_hierarchical_samples(demo: Scene, model: str):
    march = planned(demo, model).views.march
    assert (march.sampling, march.coarse, march.fine) == ("hierarchical", 32, 32)


def test_what_a_person_sets_comes_after_what_a_model_brings(demo: Scene):
    own = {"views.march.fine": "8", "views.march.sampling": "occupancy"}
    march = planned(demo, settings={**SMALL_NERF, **own}).views.march
    assert (march.sampling, march.coarse, march.fine) == ("occupancy", 32, 8)
    grid = planned(demo, "instant-ngp", settings={}).views
    assert grid.march.sampling == "occupancy"
    assert grid.loss_is_squared


@pytest.mark.parametrize("name", sorted(SCENE_PRESETS))
def test_models_set_nothing_that_flags_set(demo: Scene, name: str):
    """Their settings come after the flags, which must not be silently undone."""
    settings = SCENE_PRESETS[name].settings
    assert all(path.startswith("views.") for path in settings)
    training = dataclasses.replace(TRAINING, steps=7)
    found = planned(demo, name, settings={}, training=training)
    assert dataclasses.replace(found.training, rates=training.rates) == training


def test_regularisers_are_settings(demo: Scene):
    own = {"views.distortion": "0.01", "views.huber": "0.1"}
    views = planned(demo, settings={**SMALL_NERF, **own}).views
    assert (views.distortion, views.huber, views.opacity_entropy) == (0.01, 0.1, 0.0)
    with pytest.raises(ConfigError, match=r"views\.huber: expected an error above 0"):
        planned(demo, settings={**SMALL_NERF, "views.huber": "0"})


def test_a_hierarchical_fit_is_kept_and_loaded(demo: Scene, tmp_path: Path):
    experiment = planned(demo)
    folder = RunFolder.create(tmp_path / "run")
    fitted = run_scene_fit(experiment, demo, folder=folder)
    assert fitted.metrics["occupied"] is None
    assert np.isfinite(fitted.metrics["psnr"])
    loaded = load(folder.path)
    assert loaded.experiment == experiment
    camera = demo.views[-1].camera
    with Workers(2) as workers:
        pictures = [
            vars(render_view(radiance_of(run), camera, workers))
            for run in (fitted, loaded)
        ]
    assert_same_bits(pictures[0], pictures[1])


_DISTANCE, _SIDE = 3.0, 14


def surroundings(cascades: int = 4) -> Scene:
    """Cameras that look out from the middle of a painted ball, far outside the box."""
    source = np.random.default_rng(0)
    turns, _ = np.linalg.qr(source.normal(size=(14, 3, 3)))
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    views = []
    for number, turn in enumerate(turns):
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn, source.uniform(-0.4, 0.4, 3)
        camera = Camera(pose=pose, width=_SIDE, height=_SIDE, focal=(9.0, 9.0))
        origins, directions = (part.double().numpy() for part in camera.rays())
        along = (origins * directions).sum(1)
        past = _DISTANCE**2 - (origins**2).sum(1) + along**2
        places = (origins + (np.sqrt(past) - along)[:, None] * directions) / _DISTANCE
        values = 0.5 + 0.4 * np.sin(3 * places + np.arange(3))
        pixels = (values * 255).round().astype(np.uint8)
        split: SplitName = "test" if number < 2 else "train"
        views.append(
            View(
                name=f"{number}.png",
                camera=camera,
                pixels=pixels.reshape(_SIDE, _SIDE, 3),
                split=split,
            )
        )
    bounds = SceneBounds(
        scope="unbounded",
        low=(-0.5, -0.5, -0.5),
        high=(0.5, 0.5, 0.5),
        near=0.05,
        far=30.0,
        cascades=cascades,
    )
    return Scene.from_views(views, bounds, name="surroundings")


CONTRACTED = {
    "space.outside": "contracted",
    "views.occupancy.resolution": "32",
    "views.march.step": "0.03",
    "field.encoding.num-levels": "3",
    "field.encoding.base-resolution": "8",
    "field.encoding.growth": "2",
    "field.encoding.log2-table-size": "12",
    "judge.probe-views": "0",
}


@pytest.mark.parametrize("sampling", ["occupancy", "hierarchical"])
def test_a_scene_without_an_end_is_learned_in_contracted_space(sampling: str):
    signal = surroundings()
    more = {"views.march.sampling": sampling, "views.distortion": "0.001"}
    few = {"views.march.coarse": "16", "views.march.fine": "16"}
    experiment = planned(
        signal,
        "instant-ngp",
        training=dataclasses.replace(TRAINING, steps=40, batch_size=4096),
        settings={**CONTRACTED, **more, **few},
    )
    assert experiment.space.outside == "contracted"
    assert experiment.space.cascades == 4
    assert experiment.views.march.spacing == "disparity"
    losses: list[float] = []

    def follow(moment: Moment) -> None:
        losses.append(moment.loss)

    fitted = run_scene_fit(experiment, signal, on_step=follow)
    assert isinstance(fitted, FittedScene)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.1 * losses[0]
    # A mean colour has 11 dB.
    assert fitted.metrics["psnr"] > 18
    with Workers(2) as workers:
        view = render_view(radiance_of(fitted), signal.views[0].camera, workers)
    assert bool(view.depth.isfinite().all())


def test_nothing_is_contracted_where_there_is_one_box(demo: Scene):
    settings = {**SMALL_NERF, "space.outside": "contracted"}
    with pytest.raises(ConfigError, match=r"space\.outside: .* got space\.cascades=1"):
        planned(demo, settings=settings)
    both = planned(demo, settings={**settings, "space.cascades": "3"}).space
    assert (both.outside, both.cascades) == ("contracted", 3)


def test_a_box_that_no_camera_sees_is_refused(demo: Scene):
    away = {**SMALL_NERF, "space.low": "9,9,9", "space.high": "10,10,10"}
    with pytest.raises(ConfigError, match=r"space: expected a box that .* cameras see"):
        planned(demo, settings=away)
    # The box itself is there, but all of it is nearer, or farther.
    far = {**SMALL_NERF, "space.near": "40", "space.far": "50"}
    with pytest.raises(ConfigError, match=r"meets between near and far, 40 and 50"):
        planned(demo, settings=far)
    # One that is larger than its inner box may be seen outside that alone.
    wide = planned(demo, settings={**away, "space.cascades": "6"}).space
    assert wide.low == (9, 9, 9)


def test_a_small_box_in_a_corner_of_the_pictures_is_seen(demo: Scene):
    small = {**SMALL_NERF, "space.low": "0.9,0.9,0", "space.high": "1.2,1.2,0.2"}
    assert planned(demo, settings=small).space.high == (1.2, 1.2, 0.2)


def forward() -> Scene:
    """Cameras side by side that look along -z, in normalised device coordinates."""
    views = []
    for number in range(4):
        pose = np.eye(4)
        pose[0, 3] = 0.1 * number
        split: SplitName = "train" if number else "test"
        views.append(
            View(
                name=f"{number}.png",
                camera=Camera(pose=pose, width=8, height=6, focal=(8.0, 8.0)),
                pixels=np.zeros((6, 8, 3), np.uint8),
                split=split,
            )
        )
    bounds = SceneBounds(
        scope="forward-facing",
        low=NDC_LOW,
        high=NDC_HIGH,
        near=0.0,
        far=1.0,
        ndc=NdcFrame(x_scale=2.0, y_scale=8 / 3, near=1.0),
    )
    return Scene.from_views(views, bounds, name="forward")


def test_device_coordinates_have_planes_of_their_own():
    signal = forward()
    assert planned(signal).space.far == 1
    for name, text in (("near", "0.5"), ("far", "7")):
        settings = {**SMALL_NERF, f"space.{name}": text}
        with pytest.raises(ConfigError, match=r"space\.near and space\.far: .* none"):
            planned(signal, settings=settings)
    away = {**SMALL_NERF, "space.low": "4,4,-1", "space.high": "5,5,1"}
    with pytest.raises(ConfigError, match=r"which no ray of theirs meets\. Say"):
        planned(signal, settings=away)


def test_a_schedule_that_does_not_hold_is_not_told_to(demo: Scene):
    training = scene_training(4, None)
    cosine = {**SMALL_NERF, "training.schedule": "cosine"}
    with pytest.raises(ConfigError, match=r"0\.7 changes nothing\. Say .*hold=0 too"):
        planned(demo, training=training, settings=cosine)
    plain = planned(demo, training=training, settings={**cosine, "training.hold": "0"})
    assert (plain.training.schedule, plain.training.hold) == ("cosine", 0)
    for name in ("milestones", "step-factor"):
        settings = {**SMALL_NERF, f"training.{name}": "0.5"}
        with pytest.raises(ConfigError, match=r"expected the schedule steps, got exp"):
            planned(demo, training=training, settings=settings)
        planned(
            demo,
            training=training,
            settings={**cosine, **settings, "training.hold": "0"}
            | {"training.schedule": "steps"},
        )
