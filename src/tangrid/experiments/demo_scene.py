"""A scene that needs no download: a closed-form field, photographed all around."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8

from tangrid.fields.workers import Workers
from tangrid.rendering.analytic_scene import AnalyticScene
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, render_view
from tangrid.rendering.volume import MarchSettings
from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SplitName
from tangrid.signals.scene import Scene
from tangrid.signals.scene_bounds import SceneBounds
from tangrid.signals.view import View

DEMO_PATH = "tangrid:demo"
"""What stands in the place of a folder where this scene is asked for."""

_BOX = 1.5
_DISTANCE, _ANGLE = 4.0, 0.69
_STEP = 1 / 512
_CELLS = 96
_GOLDEN = math.pi * (3 - math.sqrt(5))


def demo_scene(
    *,
    size: int = 100,
    train_views: int = 36,
    test_views: int = 6,
    on_image: Callable[[int, int], None] | None = None,
) -> Scene:
    """Return photographs of the closed-form scene, with a transparent background.

    Cameras look at the centre from the upper half of a sphere, as in NeRF-synthetic.

    Args:
        size: Pixels along each side.
        train_views: Photographs to train on.
        test_views: Photographs to judge by.
        on_image: Is told how many photographs are taken, and of how many.
    """
    scene = analytic_radiance()
    splits: list[SplitName] = [
        *["train"] * train_views,  # type: ignore[list-item]
        *["test"] * test_views,  # type: ignore[list-item]
    ]
    cameras = [
        *_around(train_views, size, shift=0.0),
        *_around(test_views, size, shift=1.0),
    ]
    views = []
    with Workers() as workers:
        for number, (camera, split) in enumerate(zip(cameras, splits, strict=True)):
            place = number if split == "train" else number - train_views
            views.append(
                View(
                    name=f"{split}/r_{place}.png",
                    camera=camera,
                    pixels=_photograph(scene, camera, workers),
                    split=split,
                )
            )
            if on_image is not None:
                on_image(number + 1, len(cameras))
    box = (_BOX, _BOX, _BOX)
    bounds = SceneBounds(
        scope="object", low=(-_BOX, -_BOX, -_BOX), high=box, near=2.0, far=6.0
    )
    return Scene.from_views(
        views, bounds, name="demo", split_rule="views of a sphere of their own"
    )


def analytic_radiance(step: float = _STEP) -> RadianceScene:
    """Return the closed-form scene with all that a picture of it needs.

    Args:
        step: Length of the integrator's steps, in sides of the box.
    """
    field = AnalyticScene()
    settings = OccupancySettings(resolution=_CELLS)
    occupancy = Occupancy(settings, (step,))
    side = torch.arange(_CELLS)
    z, y, x = torch.meshgrid(side, side, side, indexing="ij")
    centres = (torch.stack((x, y, z), dim=-1).reshape(-1, 3) + 0.5) / _CELLS
    # Half the diagonal of a cell.
    for bound in field.density_bounds(centres, math.sqrt(3) / 2 / _CELLS):
        occupancy.see(torch.arange(len(centres)), bound)
    occupancy.refresh()
    return RadianceScene(
        field=field,
        space=SceneSpace(
            low=(-_BOX, -_BOX, -_BOX), high=(_BOX, _BOX, _BOX), near=2.0, far=6.0
        ),
        occupancy=occupancy,
        march=MarchSettings(step=step, least_transmittance=1e-5, most_thickness=30.0),
    )


def _around(count: int, size: int, *, shift: float) -> list[Camera]:
    """Return cameras spread evenly over the upper half of a sphere."""
    focal = size / (2 * math.tan(_ANGLE / 2))
    cameras = []
    for number in range(count):
        height = 0.05 + 0.85 * (number + 0.5) / count
        turn = _GOLDEN * number + shift
        flat = math.sqrt(1 - height**2)
        back = np.array([flat * math.cos(turn), flat * math.sin(turn), height])
        right = np.array([-math.sin(turn), math.cos(turn), 0.0])
        pose = np.eye(4)
        pose[:3, :3] = np.stack((right, np.cross(back, right), back), axis=1)
        pose[:3, 3] = _DISTANCE * back
        cameras.append(Camera(pose=pose, width=size, height=size, focal=(focal, focal)))
    return cameras


def _photograph(
    scene: RadianceScene, camera: Camera, workers: Workers
) -> UInt8[np.ndarray, "h w 4"]:
    """Return a picture with straight opacity, as a PNG file has it."""
    values = render_view(scene, camera, workers).straight()
    return (values * 255).round().to(torch.uint8).numpy()
