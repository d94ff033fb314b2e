"""A scene says the same in every format it can be written in."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tangrid.signals.camera_stack import CameraStack
from tangrid.signals.scene import Scene, View
from tests.signals.scene_files import save_blender, small_scene
from tests.signals.scene_writers import (
    save_colmap,
    save_llff,
    save_nsvf,
    save_transforms,
)
from tests.tolerances import RAY_FLOAT32

DEPTHS = (2.0, 8.0)

WRITERS: dict[str, Callable[[Path, tuple[View, ...]], Path]] = {
    "blender": lambda folder, views: save_blender(
        folder, replace(small_scene(), views=views)
    ),
    "transforms": save_transforms,
    "llff": lambda folder, views: save_llff(folder, views, DEPTHS),
    "colmap": save_colmap,
    "nsvf": lambda folder, views: save_nsvf(folder, views, [-1, -1, -1, 1, 1, 1]),
}


def arc() -> tuple[View, ...]:
    """A part of a ring, so that LLFF's average camera exists."""
    return small_scene(num_train=5, num_test=4).views[:7]


def all_rays(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    rays = [view.camera.rays() for view in scene.views]
    return torch.cat([one for one, _ in rays]), torch.cat([two for _, two in rays])


@pytest.mark.parametrize("name", WRITERS)
def test_rays_and_pixels_are_those_that_were_written(name: str, tmp_path: Path):
    views = arc()
    scene = Scene.open(WRITERS[name](tmp_path / "toy", views))
    assert scene.source_format == name
    assert len(scene.views) == len(views)
    pixels = [view.pixels for view in scene.views]
    assert all(np.array_equal(a, b.pixels) for a, b in zip(pixels, views, strict=True))
    origins, directions = all_rays(scene)
    wanted_origins, wanted_directions = all_rays(replace(scene, views=views))
    if name == "llff":
        origins, directions = back_from_llff(scene, views, origins, directions)
    for found, wanted in ((origins, wanted_origins), (directions, wanted_directions)):
        torch.testing.assert_close(found, wanted, atol=5 * RAY_FLOAT32, rtol=0)


def back_from_llff(
    scene: Scene,
    views: tuple[View, ...],
    origins: torch.Tensor,
    directions: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo the protocol's rotation, shift and scale, as the first camera tells them."""
    new, old = scene.views[0].camera.pose, views[0].camera.pose
    turn = torch.from_numpy(old[:3, :3] @ new[:3, :3].T).float()
    shifted = origins - torch.tensor(new[:3, 3]).float()
    moved = shifted * (0.75 * DEPTHS[0]) @ turn.T
    return moved + torch.tensor(old[:3, 3]).float(), directions @ turn.T


@pytest.mark.parametrize("name", WRITERS)
def test_smaller_photographs_see_the_same(name: str, tmp_path: Path):
    scene = Scene.open(WRITERS[name](tmp_path / "toy", arc()), use_ndc=False)
    small = Scene.open(tmp_path / "toy", downscale=2, use_ndc=False)
    assert small.bounds == scene.bounds
    for view, coarse in zip(scene.views, small.views, strict=True):
        fine, rough = view.camera, coarse.camera
        assert (rough.width, rough.height) == (fine.width // 2, fine.height // 2)
        np.testing.assert_allclose(rough.corners, fine.corners, atol=1e-12)


@pytest.mark.parametrize("name", WRITERS)
def test_a_stack_of_its_cameras_has_its_rays(name: str, tmp_path: Path):
    scene = Scene.open(WRITERS[name](tmp_path / "toy", arc()))
    stack = CameraStack.of([view.camera for view in scene.views])
    middles = stack.sizes / 2
    _, directions = stack.rays(torch.arange(stack.num_cameras), middles.float())
    for view, direction in zip(scene.views, directions, strict=True):
        forward = -view.camera.pose[:3, 2]
        np.testing.assert_allclose(direction, forward, atol=RAY_FLOAT32)
