"""Cameras that are kept with a fit, and cameras that somebody wrote down."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from tangrid.errors import DataError
from tangrid.experiments.scene_cameras import (
    CAMERAS_FILE,
    keep_cameras,
    kept_cameras,
    read_cameras,
)
from tangrid.runs.store import RunFolder
from tangrid.signals.camera import Camera
from tangrid.signals.scene import Scene
from tests.signals.scene_files import OBJECT, small_scene
from tests.signals.views import LENSES, random_camera, random_pose


def bent_scene() -> Scene:
    """A scene whose every camera has another lens and another size."""
    views = []
    for number, lens in enumerate(LENSES.values()):
        camera = random_camera(number, lens)
        if number % 2:
            camera = dataclasses.replace(camera, centre=None)
        pixels = np.zeros((camera.height, camera.width, 3), np.uint8)
        like = small_scene().views[number]
        views.append(dataclasses.replace(like, camera=camera, pixels=pixels))
    return Scene.from_views(views, OBJECT)


@pytest.mark.parametrize("scene", [small_scene(), bent_scene()], ids=["small", "bent"])
def test_cameras_come_back_to_the_last_bit(scene: Scene, tmp_path: Path):
    folder = RunFolder(tmp_path)
    keep_cameras(folder, scene)
    kept = kept_cameras(folder)
    assert kept.scope == scene.scope
    assert kept.has_alpha == any(view.has_alpha for view in scene.views)
    for found, view in zip(kept.views, scene.views, strict=True):
        assert (found.name, found.split) == (view.name, view.split)
        assert np.array_equal(found.camera.pose, view.camera.pose)
        for name in ("width", "height", "focal", "principal_point", "lens"):
            assert getattr(found.camera, name) == getattr(view.camera, name)
    names = [view.name for view in scene.views if view.split == "train"]
    assert [view.name for view in kept.training] == names
    assert len(kept.heldout) == scene.counts["test"]


def test_views_for_validation_are_held_out_where_there_are_no_others(tmp_path: Path):
    scene = small_scene()
    views = [
        dataclasses.replace(view, split="val" if view.split == "test" else view.split)
        for view in scene.views
    ]
    keep_cameras(RunFolder(tmp_path), Scene.from_views(views, OBJECT))
    kept = kept_cameras(RunFolder(tmp_path))
    assert [view.split for view in kept.heldout] == ["val", "val"]


def test_runs_without_cameras_are_told_apart(tmp_path: Path):
    with pytest.raises(DataError, match=r"this run: expected .* Fit the scene again:"):
        kept_cameras(None)
    folder = RunFolder(tmp_path)
    with pytest.raises(DataError, match=r"without this file\. Repeat .* --resume:"):
        kept_cameras(folder)
    folder.write_json("metrics.json", {})
    with pytest.raises(DataError, match=r"without this file\. Fit the scene again:"):
        kept_cameras(folder)
    keep_cameras(RunFolder(tmp_path), small_scene())
    file = tmp_path / CAMERAS_FILE
    whole = json.loads(file.read_text())
    for change in ({"scope": "moon"}, {"has_alpha": None}):
        file.write_text(json.dumps(whole | change))
        with pytest.raises(DataError, match=r"cameras.json: expected the scope"):
            kept_cameras(RunFolder(tmp_path))
    del whole["frames"][0]["split"]
    file.write_text(json.dumps(whole))
    with pytest.raises(DataError, match="a split for each camera"):
        kept_cameras(RunFolder(tmp_path))


POSE = random_pose(3).tolist()
PLAIN = {"transform_matrix": POSE, "width": 40, "height": 20, "fl_x": 50.0}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    return path


def only(path: Path, **more) -> Camera:
    (found,) = read_cameras(path, **more)
    return found.camera


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        [PLAIN],
        {"frames": [PLAIN]},
        {"frames": [{"transform_matrix": POSE}], "w": 40, "h": 20, "fl_x": 50.0},
        {"transform_matrix": POSE[:3], "w": 40, "h": 20, "fl_x": 50.0, "fl_y": 50.0},
        PLAIN | {"cx": 20.0, "cy": 10.0},
        {
            "transform_matrix": POSE,
            "width": 40,
            "height": 20,
            "camera_angle_x": 2 * math.atan(20 / 50),
        },
    ],
    ids=["one", "list", "frames", "shared", "rows", "centre", "angle"],
)
def test_ways_to_write_the_same_camera(content: object, tmp_path: Path):
    camera = only(written(tmp_path, content))
    assert np.array_equal(camera.pose, np.array(POSE))
    assert (camera.width, camera.height) == (40, 20)
    assert camera.focal == pytest.approx((50.0, 50.0), rel=1e-14)
    assert camera.principal_point == (20.0, 10.0)


def test_an_angle_takes_the_usual_size(tmp_path: Path):
    path = written(tmp_path, {"transform_matrix": POSE, "camera_angle_x": math.pi / 2})
    camera = only(path, usual_size=(30, 10))
    assert (camera.width, camera.height) == (30, 10)
    assert camera.focal == pytest.approx((15.0, 15.0))
    with pytest.raises(DataError, match="expected width and height"):
        only(path)


def test_names_are_those_of_the_file_or_numbers(tmp_path: Path):
    named = PLAIN | {"file_path": "images/0.jpg", "split": "test"}
    found = read_cameras(written(tmp_path, [PLAIN, named, PLAIN | {"split": "?"}]))
    assert [(view.name, view.split) for view in found] == [
        ("camera_0000", None),
        ("images/0.jpg", "test"),
        ("camera_0002", None),
    ]


MIRRORED = np.diag([-1.0, 1.0, 1.0, 1.0]).tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "expected a camera or a list of cameras, got none"),
        (3, "expected a camera or a list of cameras, got 3"),
        ({"frames": {}}, "expected a camera or a list of cameras"),
        ([PLAIN, 3], "camera 1: expected an object with a transform_matrix, got 3"),
        ({"width": 4, "height": 4}, "camera 0: expected a pose of 4 x 4 numbers"),
        (PLAIN | {"transform_matrix": MIRRORED}, "a pose that turns and moves only"),
        (PLAIN | {"width": None}, "camera 0: expected width and height"),
        (PLAIN | {"width": -4}, "camera 0: expected a positive width and height"),
        (PLAIN | {"fl_x": 0}, "camera 0: expected a positive focal length"),
        (PLAIN | {"fl_x": None}, "camera 0: expected a focal length or an angle"),
        (PLAIN | {"fl_x": "wide"}, "camera 0: expected a finite number for fl_x"),
    ],
)
def test_what_is_no_camera(content: object, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"mine.json.*{message}"):
        read_cameras(written(tmp_path, content))


def test_files_that_are_no_cameras(tmp_path: Path):
    with pytest.raises(DataError, match="expected a file that can be read"):
        read_cameras(tmp_path / "missing.json")
    path = tmp_path / "text.json"
    path.write_text("hello")
    with pytest.raises(DataError, match="expected JSON, got text that is none"):
        read_cameras(path)
