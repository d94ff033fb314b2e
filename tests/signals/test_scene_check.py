from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tangrid.signals.formats.scene_reading import read_draft
from tangrid.signals.lens import Lens
from tangrid.signals.scene_check import is_lens_undone, looked_at
from tangrid.signals.scene_findings import SceneFindings
from tests.signals.scene_files import cameras_around
from tests.signals.views import LENSES, pixels_of, random_camera


def test_all_cameras_see_the_ball_and_no_larger_one():
    cameras = cameras_around(7)
    ball = looked_at(cameras)
    assert ball is not None
    centre, radius = ball
    np.testing.assert_allclose(centre, 0, atol=1e-9)
    rng = np.random.default_rng(0)
    shell = rng.normal(size=(40_000, 3))
    shell /= np.linalg.norm(shell, axis=1, keepdims=True)

    def share_seen(size: float) -> float:
        seen = [pixels_of(camera, centre + size * shell) for camera in cameras]
        size_of = np.array([cameras[0].width, cameras[0].height])
        return min(((s >= 0) & (s <= size_of)).all(1).mean() for s in seen)

    assert share_seen(0.999 * radius) == 1.0
    assert share_seen(1.01 * radius) < 1.0


def test_parallel_axes_meet_nowhere():
    camera = cameras_around(1)[0]
    poses = [camera.pose + np.eye(4)[:, [3]] * 0 for _ in range(3)]
    for step, pose in enumerate(poses):
        pose[:3, 3] += step * camera.pose[:3, 0]
    assert looked_at([replace(camera, pose=pose) for pose in poses]) is None


def test_cameras_that_look_away_see_nothing_together():
    turned = [
        replace(camera, pose=camera.pose * np.array([1, -1, -1, 1]))
        for camera in cameras_around(5)
    ]
    assert looked_at(turned) is None


@pytest.mark.parametrize("name", LENSES)
def test_lenses_of_photographs_can_be_undone(name: str):
    assert is_lens_undone(random_camera(0, LENSES[name]))


@pytest.mark.parametrize("k1", [-0.8, -2.0, -5.0])
def test_a_lens_that_folds_the_picture_cannot(k1: float):
    assert not is_lens_undone(random_camera(0, Lens(k1=k1)))


def test_photographers_look_at_what_they_photograph(data_folder: Path):
    for name, size in (("lego_400", (400, 400)), ("fox", (1080, 1920))):
        folder = data_folder / "nerf" / name
        draft = read_draft(folder, SceneFindings(folder=folder))
        cameras = [f.optics.camera(f.pose, *size) for f in draft.frames]
        ball = looked_at(cameras)
        assert ball is not None
        assert (np.abs(ball[0]) < 0.2).all()
        assert 0.8 < ball[1] < 1.5
        assert all(is_lens_undone(camera) for camera in cameras)
