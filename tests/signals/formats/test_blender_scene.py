import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.errors import ConfigError, DataError
from tangrid.signals.scene import Scene
from tests.signals.scene_files import (
    HEIGHT,
    WIDTH,
    read_json,
    save_blender,
    small_scene,
    write_json,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_blender(tmp_path / "toy", small_scene())


def change(folder: Path, **keys: object) -> None:
    path = folder / "transforms_train.json"
    write_json(path, read_json(path) | keys)


def change_frame(folder: Path, **keys: object) -> None:
    path = folder / "transforms_train.json"
    content = read_json(path)
    content["frames"][1] |= keys
    write_json(path, content)


def test_a_scene_is_read_as_it_was_written(folder: Path):
    wanted, found = small_scene(), Scene.open(folder)
    assert (found.name, found.source_format, found.scope) == (
        "toy",
        "blender",
        "object",
    )
    assert found.counts == {"train": 3, "val": 0, "test": 2}
    assert (found.near, found.far, found.low, found.high) == (
        2,
        6,
        (-1.5,) * 3,
        (1.5,) * 3,
    )
    assert found.split_rule == "files of the data set"
    for one, other in zip(wanted.views, found.views, strict=True):
        assert (one.name, one.split) == (other.name, other.split)
        assert np.array_equal(one.camera.pose, other.camera.pose)
        assert np.array_equal(one.pixels, other.pixels)
        assert one.camera.focal == pytest.approx(other.camera.focal, rel=1e-12)
        assert other.camera.principal_point == (WIDTH / 2, HEIGHT / 2)


def test_a_file_of_cameras_names_its_scene(folder: Path):
    whole = Scene.open(folder)
    assert Scene.open(folder / "transforms_train.json").digest == whole.digest


def test_held_out_views_can_be_skipped(tmp_path: Path):
    scene = small_scene(num_test=5)
    folder = save_blender(tmp_path / "toy", scene)
    found = Scene.open(folder, skip=2)
    names = [view.name for view in found.of_split("test")]
    assert names == ["test/r_3.png", "test/r_5.png", "test/r_7.png"]
    assert len(found.of_split("train")) == 3
    assert "every 2th" in found.split_rule
    with pytest.raises(ConfigError, match="skip: expected a whole number >= 1, got 0"):
        Scene.open(folder, skip=0)


def test_a_data_set_keeps_its_splits(folder: Path):
    with pytest.raises(ConfigError, match=r"holdout: expected none .* got 8"):
        Scene.open(folder, holdout=8)


def test_views_of_training_alone_are_divided(tmp_path: Path):
    folder = save_blender(tmp_path / "toy", small_scene(num_train=5), "train")
    scene = Scene.open(folder)
    assert [view.name for view in scene.of_split("test")] == ["train/r_0.png"]
    assert scene.split_rule == "every 8th held out"
    assert any("only training views: every 8th view" in note for note in scene.notes)
    scene = Scene.open(folder, holdout=2)
    assert scene.counts == {"train": 2, "val": 0, "test": 3}
    assert scene.notes == ()
    with pytest.raises(ConfigError, match=r"in the split val, got none; .* train 2"):
        scene.of_split("val")


def test_a_missing_test_split_is_noted(folder: Path):
    (folder / "transforms_test.json").rename(folder / "transforms_val.json")
    scene = Scene.open(folder)
    assert scene.counts == {"train": 3, "val": 2, "test": 0}
    assert any("no test views" in note for note in scene.notes)
    with pytest.raises(ConfigError, match=r"in the split test, got none; .* train 3"):
        scene.of_split("test")


def test_few_missing_photographs_are_skipped_and_told(folder: Path):
    (folder / "train" / "r_1.png").unlink()
    scene = Scene.open(folder)
    assert scene.counts["train"] == 2
    (note,) = scene.notes
    assert note.startswith("1 of 5 listed photographs are missing")
    assert "train/r_1.png" in note


def test_many_missing_photographs_are_an_error(folder: Path):
    for path in (folder / "train").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"3 of 5 listed .* first train/r_0.png"):
        Scene.open(folder)


def test_other_distances_have_bounds_of_their_own(folder: Path):
    for split in ("train", "test"):
        path = folder / f"transforms_{split}.json"
        content = read_json(path)
        for frame in content["frames"]:
            pose = np.array(frame["transform_matrix"])
            pose[:3, 3] *= 5
            frame["transform_matrix"] = pose.tolist()
        write_json(path, content)
    scene = Scene.open(folder)
    for view in scene.views:
        away = np.linalg.norm(view.camera.position)
        assert scene.near < away - 1.5
        assert scene.far > away + 1.5
    assert "20" in scene.notes[0]


def test_a_box_of_another_format_is_told(folder: Path):
    change(folder, aabb_scale=4, offset=[0, 0, 0])
    scene = Scene.open(folder)
    assert scene.high == (1.5, 1.5, 1.5)
    assert scene.notes[0].startswith("aabb_scale, offset in transforms_train.json: not")


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_endings_are_found(folder: Path, ending: str):
    file = folder / "train" / "r_0.png"
    with Image.open(file) as picture:
        picture.convert("RGB").save(file.with_suffix(f".{ending}"))
    file.unlink()
    assert Scene.open(folder).views[0].name == f"train/r_0.{ending}"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"frames": []}, "expected an object with a list of frames, got none"),
        ({"frames": 3}, "got frames of int"),
        ({"camera_angle_x": 0.0}, r"between 0 and pi radians, got 0 and"),
        ({"camera_angle_y": 0}, r"between 0 and pi radians, got [0-9.]+ and 0\.0\."),
        ({"camera_angle_x": "wide"}, "finite number for camera_angle_x, got 'wide'"),
        ({"camera_angle_x": None}, "expected a focal length or an angle of view"),
        ({"fl_x": -3.0}, "expected a positive focal length, got fl_x -3"),
        ({"w": 60, "h": 60}, "photograph of 60 x 60 pixels .* got 6 x 4"),
        ({"w": 0, "h": 0}, "positive width and height, got 0 x 0"),
        ({"camera_model": "EQUIRECTANGULAR"}, "got 'EQUIRECTANGULAR'. Undistort"),
        ({"from_na": True}, "axes of OpenGL, got from_na"),
        ({"latlong": True}, r"frame 0 .* a lens of OpenCV's models, got latlong"),
    ],
)
def test_wrong_files_are_explained(folder: Path, damage: dict, words: str):
    change(folder, **damage)
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"file_path": None}, "frame 1: expected a file_path, got None"),
        ({"transform_matrix": None}, r"frame 1 .*: expected a pose of 4 x 4 numbers"),
        ({"transform_matrix": [[1, 2], [3]]}, "pose of 4 x 4 numbers, got"),
        ({"transform_matrix": np.full((4, 4), np.nan).tolist()}, "got 16 of 16 that"),
        ({"transform_matrix": np.diag([2, 2, 2, 1]).tolist()}, "lengths 2, 2, 2"),
    ],
)
def test_wrong_frames_are_explained(folder: Path, damage: dict, words: str):
    change_frame(folder, **damage)
    with pytest.raises(DataError, match=words) as caught:
        Scene.open(folder)
    assert "transforms_train.json, frame 1" in str(caught.value)


def test_broken_json_is_explained(folder: Path):
    path = folder / "transforms_train.json"
    path.write_text(path.read_text()[:-10])
    with pytest.raises(DataError, match="expected JSON, got text that is none"):
        Scene.open(folder)


def test_wrong_photographs_are_explained(folder: Path):
    (folder / "train" / "r_1.png").write_text("hello")
    with pytest.raises(DataError, match=r"r_1.png: expected PNG.*Convert it to PNG\.$"):
        Scene.open(folder)
    (folder / "train" / "r_0.png").write_text("hello")
    with pytest.raises(DataError, match=r"r_0.png.* Errors besides this one: 1; "):
        Scene.open(folder)


def test_transparent_photographs(folder: Path):
    nothing = Image.fromarray(np.zeros((HEIGHT, WIDTH, 4), np.uint8))
    nothing.save(folder / "train" / "r_1.png")
    assert "1 of 5 photographs are wholly transparent" in Scene.open(folder).notes[0]
    for path in folder.glob("*/*.png"):
        nothing.save(path)
    with pytest.raises(DataError, match="got 5 that are wholly transparent"):
        Scene.open(folder)


def test_one_training_view_is_too_few(tmp_path: Path):
    scene = small_scene(num_train=2)
    folder = save_blender(tmp_path / "toy", scene)
    content = read_json(folder / "transforms_train.json")
    change(folder, frames=content["frames"][:1])
    with pytest.raises(DataError, match="at least 2 training views, got 1"):
        Scene.open(folder)


def test_a_named_format_must_be_there(folder: Path, tmp_path: Path):
    assert Scene.open(folder, scene_format="blender").counts["train"] == 3
    with pytest.raises(ConfigError, match="scene_format: expected one of blender,"):
        Scene.open(folder, scene_format="nerf")


def test_lego(data_folder: Path):
    scene = Scene.open(data_folder / "nerf" / "lego_400", downscale=4, skip=10)
    assert scene.counts == {"train": 100, "val": 0, "test": 5}
    assert scene.notes == ()
    view = scene.views[0]
    assert view.pixels.shape == (100, 100, 4)
    content = json.loads(
        (data_folder / "nerf" / "lego_400" / "transforms_train.json").read_text()
    )
    angle = content["camera_angle_x"]
    assert view.camera.focal[0] == pytest.approx(50 / np.tan(angle / 2))
    away = [np.linalg.norm(view.camera.position) for view in scene.views]
    assert min(away) - 1.5 * 3**0.5 < scene.near < min(away) - 1
    assert max(away) + 1 < scene.far < max(away) + 1.5 * 3**0.5
