import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from tangrid.errors import DataError
from tangrid.signals.formats.colmap_files import read_model
from tangrid.signals.formats.colmap_scene import opengl_pose
from tangrid.signals.lens import Lens
from tangrid.signals.scene import Scene
from tests.signals.scene_files import small_scene
from tests.signals.scene_writers import (
    COLMAP_MODELS,
    colmap_pose,
    save_colmap,
    save_transforms,
    write_colmap_binary,
    write_colmap_text,
)
from tests.signals.views import random_camera

VIEWS = small_scene(num_train=10, num_test=0).views
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-1.2, 1.2, (400, 3))

LENSES = {
    "SIMPLE_PINHOLE": Lens(),
    "PINHOLE": Lens(),
    "SIMPLE_RADIAL": Lens(k1=0.1),
    "RADIAL": Lens(k1=0.1, k2=-0.05),
    "OPENCV": Lens(k1=0.1, k2=-0.05, p1=0.003, p2=-0.002),
    "OPENCV_FISHEYE": Lens(k1=0.1, k2=-0.05, k3=0.01, k4=0.003, is_fisheye=True),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_colmap(tmp_path / "garden", VIEWS, points=POINTS)


@pytest.mark.parametrize("is_text", [False, True])
@pytest.mark.parametrize("model", COLMAP_MODELS)
def test_cameras_of_every_model(tmp_path: Path, model: str, is_text: bool):
    views = [
        replace(view, camera=replace(view.camera, lens=LENSES[model]))
        for view in VIEWS[:4]
    ]
    folder = save_colmap(tmp_path / "toy", views, model=model, is_text=is_text)
    scene = Scene.open(folder)
    assert scene.source_format == "colmap"
    for view, wanted in zip(scene.views, views, strict=True):
        camera = view.camera
        np.testing.assert_allclose(camera.pose, wanted.camera.pose, atol=1e-12)
        assert camera.lens == wanted.camera.lens
        assert camera.focal == pytest.approx(wanted.camera.focal)
        assert camera.principal_point == wanted.camera.principal_point
        assert np.array_equal(view.pixels, wanted.pixels)


def test_bounds_come_from_points(folder: Path):
    scene = Scene.open(folder)
    assert (scene.scope, scene.counts["test"]) == ("unbounded", 2)
    positions = np.stack([view.camera.position for view in VIEWS])
    away = np.linalg.norm(POINTS[:, None] - positions, axis=2)
    inside = ((away >= scene.near) & (away <= scene.far)).mean()
    assert inside > 0.997
    assert away.min() * 0.8 < scene.near
    assert scene.far < away.max() * 1.2
    low, high = np.array(scene.low), np.array(scene.high)
    assert ((positions >= low - 1e-9) & (positions <= high + 1e-9)).all()
    assert scene.cascades == 1
    assert any("400 points" in note for note in scene.notes)


def test_far_points_take_more_boxes(tmp_path: Path):
    far = np.concatenate((POINTS, POINTS[:100] * 40))
    scene = Scene.open(save_colmap(tmp_path / "garden", VIEWS, points=far))
    centre = (np.array(scene.low) + scene.high) / 2
    reach = (np.array(scene.high) - centre)[0] * 2 ** (scene.cascades - 1)
    away = np.abs(far - centre).max(1)
    assert (away <= reach).mean() > 0.997
    assert reach / 2 < away.max()


def test_one_wrong_point_of_many_does_not_count(tmp_path: Path):
    many = np.concatenate((POINTS[:1] * 1e4, *[POINTS] * 3))
    scene = Scene.open(save_colmap(tmp_path / "garden", VIEWS, points=many))
    assert scene.far < 20
    assert scene.cascades == 1


def test_without_points_the_cameras_say_where(tmp_path: Path):
    folder = save_colmap(tmp_path / "garden", VIEWS)
    scene = Scene.open(folder)
    assert any("has no points" in note for note in scene.notes)
    (folder / "sparse" / "0" / "points3D.bin").unlink()
    assert Scene.open(folder).bounds == scene.bounds


def test_a_model_may_lie_in_sparse(folder: Path):
    whole = Scene.open(folder)
    for file in (folder / "sparse" / "0").iterdir():
        file.rename(folder / "sparse" / file.name)
    (folder / "sparse" / "0").rmdir()
    assert Scene.open(folder).digest == whole.digest


def test_two_formats_in_a_folder_are_told(folder: Path):
    save_transforms(folder, VIEWS, aabb_scale=1)
    scene = Scene.open(folder)
    assert scene.source_format == "transforms"
    assert "formats transforms, colmap: transforms was read" in scene.notes[0]
    assert Scene.open(folder, scene_format="colmap").source_format == "colmap"


@given(
    number=st.integers(0, 1000),
    model=st.sampled_from(COLMAP_MODELS),
    count=st.integers(1, 4),
    num_points=st.integers(0, 5),
)
def test_both_kinds_of_files_are_read_alike(
    tmp_path_factory: pytest.TempPathFactory,
    number: int, model: str, count: int, num_points: int,
):  # fmt: skip
    cameras = [random_camera(number + index, LENSES[model]) for index in range(count)]
    names = [f"Bild {chr(97 + index)} ä.jpg" for index in range(count)]
    points = np.random.default_rng(number).normal(size=(num_points, 3))
    models = []
    for write in (write_colmap_binary, write_colmap_text):
        place = tmp_path_factory.mktemp("model")
        write(place, names, cameras, model, points)
        models.append(read_model(place))
    for found in models:
        assert [image.name for image in found.images] == names
        assert found.numbers.tolist() == [7 + index for index in range(num_points)]
        np.testing.assert_allclose(found.points, points, rtol=1e-15)
        for image, camera in zip(found.images, cameras, strict=True):
            assert image.seen.tolist() == found.numbers.tolist()
            pose = opengl_pose(image.quaternion, image.translation)
            np.testing.assert_allclose(pose, camera.pose, atol=1e-12)
    assert models[0].cameras == models[1].cameras


@given(st.integers(0, 2000))
def test_quaternions_are_rotations(number: int):
    turn = Rotation.random(rng=np.random.default_rng(number))
    x, y, z, w = turn.as_quat() * 3.0
    pose = opengl_pose(np.array([w, x, y, z]), np.array([1.0, 2.0, 3.0]))
    right, up, back = pose[:3, :3].T
    to_world = turn.inv()
    np.testing.assert_allclose(right, to_world.apply([1, 0, 0]), atol=1e-12)
    np.testing.assert_allclose(up, to_world.apply([0, -1, 0]), atol=1e-12)
    np.testing.assert_allclose(back, to_world.apply([0, 0, -1]), atol=1e-12)
    # The camera's own place is the origin of its coordinates.
    np.testing.assert_allclose(turn.apply(pose[:3, 3]), [-1, -2, -3], atol=1e-12)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin", "points3D.bin"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_files_that_break_off_are_explained(folder: Path, name: str, share: float):
    path = folder / "sparse" / "0" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=rf"{name}: expected a file of a COLMAP model"):
        Scene.open(folder)


@pytest.mark.parametrize("number", [11, 99, -1])
def test_unknown_models_are_explained(folder: Path, number: int):
    path = folder / "sparse" / "0" / "cameras.bin"
    data = bytearray(path.read_bytes())
    # Behind the count of cameras and the number of the first one.
    struct.pack_into("<i", data, 12, number)
    path.write_bytes(data)
    words = rf"cameras.bin: expected camera models .* 0 to 10, got {number}\. Undistort"
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


@pytest.mark.parametrize("name", ["cameras.txt", "images.txt", "points3D.txt"])
def test_wrong_text_is_explained(tmp_path: Path, name: str):
    folder = save_colmap(tmp_path / "toy", VIEWS, points=POINTS[:2], is_text=True)
    (folder / "sparse" / "0" / name).write_text("1 hello\n2 world\n")
    with pytest.raises(DataError, match=rf"{name}: expected a file of a COLMAP model"):
        Scene.open(folder)


def edit_text(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "sparse" / "0" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_does_not_fit_together_is_explained(tmp_path: Path):
    folder = save_colmap(tmp_path / "toy", VIEWS, is_text=True)
    edit_text(folder, "cameras.txt", "3 PINHOLE", "3 FOV")
    with pytest.raises(DataError, match=r"002.png: expected a camera of .* got FOV"):
        Scene.open(folder)
    edit_text(folder, "cameras.txt", "3 FOV", "3 RADIAL")
    with pytest.raises(DataError, match="parameters as a camera RADIAL has, got 4"):
        Scene.open(folder)
    edit_text(folder, "cameras.txt", "3 RADIAL", "99 PINHOLE")
    with pytest.raises(DataError, match="one of 10 cameras, got number 3"):
        Scene.open(folder)


def test_wrong_poses_are_explained(tmp_path: Path):
    camera = VIEWS[0].camera
    turn, shift = colmap_pose(camera)
    folder = save_colmap(tmp_path / "toy", VIEWS, is_text=True)
    edit_text(folder, "images.txt", " ".join(map(str, turn)), "0 0 0 0")
    with pytest.raises(DataError, match=r"image 000.png: expected a pose of finite"):
        Scene.open(folder)
    assert shift[2] == pytest.approx(4.0)


def test_a_focal_length_of_zero_is_explained(tmp_path: Path):
    folder = save_colmap(tmp_path / "toy", VIEWS, is_text=True)
    focal = str(VIEWS[0].camera.focal[0])
    edit_text(folder, "cameras.txt", focal, "0.0")
    with pytest.raises(DataError, match=r"images/000.png: .* positive focal length"):
        Scene.open(folder)


def test_an_image_without_points_at_the_end(tmp_path: Path):
    cameras = [random_camera(0), random_camera(1)]
    write_colmap_text(tmp_path, ["a.png", "b.png"], cameras, "PINHOLE", POINTS[:0])
    path = tmp_path / "images.txt"
    path.write_text(path.read_text().rstrip())
    assert len(read_model(tmp_path).images) == 2
