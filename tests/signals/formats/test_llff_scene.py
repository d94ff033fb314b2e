from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from tangrid.errors import DataError
from tangrid.signals.camera import Camera
from tangrid.signals.formats.llff_scene import average_pose
from tangrid.signals.scene import Scene, View
from tests.signals.scene_files import HEIGHT, WIDTH, pixels_of_view, small_scene
from tests.signals.scene_writers import save_llff
from tests.tolerances import RAY_FLOAT32

DEPTHS = (3.0, 30.0)


def window_views(count: int = 10) -> list[View]:
    """Cameras side by side that look at something some five away from them."""
    rng = np.random.default_rng(0)
    world = Rotation.random(rng=rng).as_matrix()
    views = []
    for number in range(count):
        pose = np.eye(4)
        turn = Rotation.from_rotvec(rng.normal(size=3) * 0.05).as_matrix()
        pose[:3, :3] = world @ turn
        pose[:3, 3] = world @ (rng.normal(size=3) * 0.3 + [4.0, -2.0, 1.0])
        views.append(
            View(
                name=f"images/{number:03d}.png",
                camera=Camera(pose=pose, width=WIDTH, height=HEIGHT, focal=(7.0, 7.0)),
                pixels=pixels_of_view(number, 3),
                split="train" if number % 8 else "test",
            )
        )
    return views


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_llff(tmp_path / "room", window_views(), DEPTHS)


def test_cameras_are_moved_and_scaled_together(folder: Path):
    views = window_views()
    scene = Scene.open(folder)
    assert (scene.source_format, scene.scope) == ("llff", "forward-facing")
    assert scene.counts == {"train": 8, "val": 0, "test": 2}
    old = np.stack([view.camera.pose for view in views])
    new = np.stack([view.camera.pose for view in scene.views])
    np.testing.assert_allclose(new[:, :3, 3].mean(0), 0, atol=1e-12)
    mean = new[:, :3, 2].sum(0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), [0, 0, 1], atol=1e-12)
    assert abs(new[:, 0, 1].sum()) < 1e-12, "the mean of up has no part to the right"
    # One rotation, one shift and one scale take all the old cameras to the new ones.
    turn = new[0, :3, :3] @ old[0, :3, :3].T
    np.testing.assert_allclose(new[:, :3, :3], turn @ old[:, :3, :3], atol=1e-12)
    steps = (old[:, :3, 3] - old[0, :3, 3]) / (0.75 * DEPTHS[0])
    moved = (turn @ steps.T).T + new[0, :3, 3]
    np.testing.assert_allclose(new[:, :3, 3], moved, atol=1e-12)
    for view, wanted in zip(scene.views, views, strict=True):
        assert np.array_equal(view.pixels, wanted.pixels)
        assert view.camera.focal == wanted.camera.focal
        assert view.split == wanted.split


def test_the_average_of_one_pose_is_that_pose():
    pose = window_views()[0].camera.pose
    np.testing.assert_allclose(average_pose(pose[None]), pose, atol=1e-12)


def test_device_coordinates_keep_rays_straight(folder: Path):
    scene = Scene.open(folder)
    assert scene.ndc is not None
    assert (scene.near, scene.far) == (0.0, 1.0)
    assert scene.ndc.x_scale == pytest.approx(2 * 7 / WIDTH)
    assert scene.ndc.y_scale == pytest.approx(2 * 7 / HEIGHT)
    origins, directions = scene.views[3].camera.rays()
    starts, along = scene.ndc.warp(origins, directions)
    torch.testing.assert_close(
        starts[:, 2], -torch.ones(len(starts)), atol=1e-5, rtol=0
    )
    for distance in (2.0, 9.0, 1e4):
        points = scene.ndc.points(origins + distance * directions)
        times = (points[:, 2:] - starts[:, 2:]) / along[:, 2:]
        assert ((times > 0) & (times <= 1 + RAY_FLOAT32)).all()
        torch.testing.assert_close(points, starts + times * along, atol=2e-5, rtol=0)


def test_without_device_coordinates_the_box_holds_the_frusta(folder: Path):
    scene = Scene.open(folder, use_ndc=False)
    assert scene.ndc is None
    assert scene.near == pytest.approx(0.9 / 0.75)
    assert scene.far >= DEPTHS[1] / (0.75 * DEPTHS[0])
    low, high = torch.tensor(scene.low), torch.tensor(scene.high)
    for view in scene.views:
        origins, directions = view.camera.rays()
        cosine = -directions @ torch.tensor(view.camera.pose[:3, 2]).float()
        for depth in (scene.near, DEPTHS[1] / (0.75 * DEPTHS[0])):
            assert float((depth / cosine).max()) <= scene.far
            points = origins + (depth / cosine)[:, None] * directions
            assert ((points > low) & (points < high)).all()


def test_cameras_all_around_have_no_device_coordinates(tmp_path: Path):
    folder = save_llff(tmp_path / "place", small_scene(7, 2).views[:7], (2.0, 9.0))
    scene = Scene.open(folder)
    assert (scene.scope, scene.ndc) == ("unbounded", None)
    assert any("do not look the same way" in note for note in scene.notes)
    centres = np.stack([view.camera.position for view in scene.views])
    assert (centres >= np.array(scene.low) - 1e-9).all()
    assert (centres <= np.array(scene.high) + 1e-9).all()
    whole = save_llff(tmp_path / "ring", small_scene(7, 2).views, (2.0, 9.0))
    with pytest.raises(DataError, match="expected cameras with a direction in common"):
        Scene.open(whole)


def test_smaller_copies_are_preferred(tmp_path: Path):
    views = window_views()
    folder = save_llff(tmp_path / "room", views, DEPTHS, factor=4)
    for factor, size in ((4, (WIDTH, HEIGHT)), (8, (WIDTH // 2, HEIGHT // 2))):
        scene = Scene.open(folder, downscale=factor)
        camera = scene.views[0].camera
        assert scene.views[0].name == "images_4/000.png"
        assert "Photographs are those in images_4." in scene.notes
        assert (camera.width, camera.height) == size
        assert camera.focal[0] == pytest.approx(7.0 * 4 / factor)
    with pytest.raises(DataError, match=r"got images_4. Say downscale 4."):
        Scene.open(folder, downscale=2)
    larger = [
        replace(
            view,
            camera=view.camera.finer(4),
            pixels=view.pixels.repeat(4, axis=0).repeat(4, axis=1),
        )
        for view in views
    ]
    save_llff(folder, larger, DEPTHS)
    small, averaged = Scene.open(folder, downscale=4), Scene.open(folder, downscale=2)
    assert small.views[0].name == "images_4/000.png"
    assert averaged.views[0].name == "images/000.png"
    assert averaged.views[0].camera.focal[0] == pytest.approx(14.0)


def spoil(folder: Path, row: int, column: int, value: float) -> None:
    rows = np.load(folder / "poses_bounds.npy")
    rows[row, column] = value
    np.save(folder / "poses_bounds.npy", rows)


@pytest.mark.parametrize(
    ("row", "column", "value", "words"),
    [
        (2, 0, np.nan, r"row 2: expected a pose of finite numbers, got 1"),
        (2, 0, 3.0, r"row 2: expected a pose that turns and moves only"),
        (4, 14, -1.0, r"row 4: expected positive height, width and focal .* -1"),
        (5, 15, 0.0, r"depths with 0 < near < far, got 0 and 30 in row 5"),
        (5, 16, np.inf, r"depths with 0 < near < far, got 3 and inf in row 5"),
        (5, 15, np.nan, r"depths with 0 < near < far, got nan and 30 in row 5"),
    ],
)
def test_wrong_rows_are_explained(folder: Path, row, column, value, words: str):
    spoil(folder, row, column, value)
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


def test_wrong_files_are_explained(folder: Path):
    path = folder / "poses_bounds.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    with pytest.raises(DataError, match="got a file that is none"):
        Scene.open(folder)
    np.save(path, np.zeros((10, 15)))
    with pytest.raises(DataError, match=r"shape \[n, 17\], got float64 of shape"):
        Scene.open(folder)
    path.write_bytes(whole)
    (folder / "images" / "003.png").unlink()
    with pytest.raises(DataError, match="each of the 10 poses, got 9 in images"):
        Scene.open(folder)
    for file in (folder / "images").iterdir():
        file.unlink()
    (folder / "images").rmdir()
    with pytest.raises(
        DataError, match="a folder of photographs that is called images"
    ):
        Scene.open(folder)


def test_fern(data_folder: Path):
    scene = Scene.open(data_folder / "nerf" / "fern", downscale=8)
    assert scene.counts == {"train": 17, "val": 0, "test": 3}
    names = [view.name[-7:-4] for view in scene.of_split("test")]
    assert names == ["000", "008", "016"]
    camera = scene.views[0].camera
    assert (camera.width, camera.height) == (504, 378)
    assert camera.focal[0] == pytest.approx(3260.526 / 8, rel=1e-5)
    assert scene.ndc is not None
    plain = Scene.open(data_folder / "nerf" / "fern", downscale=8, use_ndc=False)
    assert plain.near == pytest.approx(1.2)
    assert 4.5 < plain.far < 10
