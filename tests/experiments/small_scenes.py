"""Fits of scenes that take a moment, and closed forms as if they were fitted."""

from functools import cache
from pathlib import Path

from tangrid.experiments.demo_scene import analytic_radiance, demo_scene
from tangrid.experiments.fit_scene import (
    FitScene,
    FittedScene,
    SceneSource,
    plan_scene_fit,
    run_scene_fit,
)
from tangrid.rendering.views import RadianceScene
from tangrid.runs.store import RunFolder
from tangrid.signals.scene import Scene
from tangrid.training.settings import scene_training

SIDE = 24
SETTINGS = {
    "judge.probe_views": "0",
    "pictures.views": "2",
    "views.occupancy.resolution": "32",
    "field.encoding.num_levels": "4",
}
"""A look that is quick."""


@cache
def tiny_scene() -> Scene:
    """The closed-form scene in six photographs to learn from and two to judge by."""
    return demo_scene(size=SIDE, train_views=6, test_views=2)


@cache
def closed_form() -> RadianceScene:
    """The scene that these photographs show."""
    return analytic_radiance()


def plan_scene(scene: Scene | None = None, **settings: str) -> FitScene:
    scene = scene or tiny_scene()
    return plan_scene_fit(
        scene,
        SceneSource(name=scene.name),
        model="instant-ngp",
        params=20_000,
        training=scene_training(12, None, batch_size=2048, threads=2),
        settings={**SETTINGS, **settings},
    )


def fit_scene(folder: Path | None = None, scene: Scene | None = None) -> FittedScene:
    scene = scene or tiny_scene()
    kept = None if folder is None else RunFolder.create(folder)
    return run_scene_fit(plan_scene(scene), scene, folder=kept)


def as_fitted(radiance: RadianceScene) -> FittedScene:
    """A run that has fitted exactly this."""
    experiment = FitScene(space=radiance.space)
    return FittedScene(experiment, radiance.field, {}, None, None, radiance)
