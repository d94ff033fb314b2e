"""A scene without any symmetry, cameras around it, and a fit of one."""

import numpy as np
import torch
from torch import Tensor

from tangrid.experiments.demo_scene import demo_scene
from tangrid.experiments.fit_scene import (
    FittedScene,
    SceneSource,
    plan_scene_fit,
    run_scene_fit,
)
from tangrid.fields.workers import Workers
from tangrid.rendering.camera_paths import orbit
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, RenderedView, render_view
from tangrid.rendering.volume import MarchSettings
from tangrid.runs.store import RunFolder
from tangrid.signals.camera import Camera
from tangrid.training import TrainingSettings
from tests.rendering.media import EvenMedium

SIZES = (0.4, 0.25, 0.15)
"""Sides of a brick that lies in a corner of the box."""
CENTRE = (1.0, -2.0, 3.0)
SPACE = SceneSpace(low=(0.0, -3.0, 2.0), high=(2.0, -1.0, 4.0), near=1.0, far=9.0)
MARCH = MarchSettings(step=1 / 128, least_transmittance=1e-4)


def in_brick(coords: Tensor) -> Tensor:
    shift = coords - 0.45
    return ((shift > 0) & (shift < torch.tensor(SIZES))).all(1)


def brick_scene(space: SceneSpace = SPACE) -> RadianceScene:
    return RadianceScene(
        field=EvenMedium(in_brick, 60.0),
        space=space,
        occupancy=Occupancy(OccupancySettings(resolution=32), (MARCH.step,)),
        march=MARCH,
    )


def camera_around(
    azimuth: float = 35.0, elevation: float = 20.0, width: int = 32, height: int = 24
) -> Camera:
    return orbit(
        azimuth, elevation, centre=CENTRE, distance=4.0, width=width, height=height
    )


def tilted(camera: Camera, degrees: float) -> Camera:
    """The camera, turned about its own axis."""
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Camera(
        pose=camera.pose @ turn,
        width=camera.width,
        height=camera.height,
        focal=camera.focal,
    )


def truth(scene: RadianceScene, camera: Camera) -> RenderedView:
    with Workers(1) as workers:
        return render_view(scene, camera, workers)


def fit_demo(folder: RunFolder) -> FittedScene:
    """Fit a scene that tangrid makes, well enough to be told from nothing."""
    signal = demo_scene(size=24, train_views=6, test_views=2)
    experiment = plan_scene_fit(
        signal,
        SceneSource(name="demo"),
        model="instant-ngp",
        params=20_000,
        training=TrainingSettings(steps=60, batch_size=4096, threads=2),
        settings={"judge.probe_views": "0", "pictures.views": "0"},
    )
    return run_scene_fit(experiment, signal, folder=folder)
