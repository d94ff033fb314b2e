from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError, DataError
from tangrid.signals.formats.scene_draft import Optics
from tangrid.signals.formats.transforms_frames import read_optics
from tangrid.signals.lens import Lens
from tangrid.signals.scene import Scene
from tests.signals.scene_files import read_json, small_scene, write_json
from tests.signals.scene_writers import save_transforms
from tests.signals.views import LENSES

VIEWS = small_scene(num_train=10, num_test=0).views


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_transforms(tmp_path / "garden", VIEWS, aabb_scale=4)


def change(folder: Path, **keys: object) -> None:
    path = folder / "transforms.json"
    write_json(path, read_json(path) | keys)


def test_the_cube_of_instant_ngp_is_mapped_back(folder: Path):
    scene = Scene.open(folder)
    assert (scene.source_format, scene.scope, scene.cascades) == (
        "transforms", "unbounded", 3,
    )  # fmt: skip
    for corner, end in ((scene.low, 0.0), (scene.high, 1.0)):
        np.testing.assert_allclose(np.array(corner) * 0.33 + 0.5, end, atol=1e-12)
    # Cameras stand within the outermost box, 4 from its middle.
    assert scene.near == pytest.approx(0.1 / 0.33)
    assert scene.far > 4 + 4 * scene.high[0]


def test_scale_and_offset_move_the_cube(folder: Path):
    change(folder, scale=0.5, offset=[0.5, 0.25, 0.0], aabb_scale=1)
    scene = Scene.open(folder)
    assert (scene.scope, scene.cascades) == ("object", 1)
    assert scene.low == (-1.0, -0.5, 0.0)
    assert scene.high == (1.0, 1.5, 2.0)
    change(folder, offset=0.5)
    assert Scene.open(folder).low == (-1.0, -1.0, -1.0)


def test_without_a_scale_the_cameras_say_where(folder: Path):
    path = folder / "transforms.json"
    content = read_json(path)
    del content["aabb_scale"]
    write_json(path, content)
    scene = Scene.open(folder)
    positions = np.stack([view.camera.position for view in VIEWS])
    assert (positions >= np.array(scene.low) - 1e-12).all()
    assert (positions <= np.array(scene.high) + 1e-12).all()
    assert any("no aabb_scale" in note for note in scene.notes)
    for frame in content["frames"]:
        frame["transform_matrix"] = np.eye(4).tolist()
    write_json(path, content)
    with pytest.raises(DataError, match="cameras at different places, got 10 at one"):
        Scene.open(folder)


@pytest.mark.parametrize("nth", [2, 3, 8])
def test_every_nth_view_is_held_out(folder: Path, nth: int):
    scene = Scene.open(folder, holdout=nth)
    wanted = [f"images/{number:03d}.png" for number in range(0, 10, nth)]
    assert [view.name for view in scene.of_split("test")] == wanted
    assert scene.split_rule == f"every {nth}th held out"
    told = any("has no splits" in note for note in Scene.open(folder).notes)
    assert told
    assert not any("has no splits" in note for note in scene.notes)
    for wrong in (1, 0, -3):
        with pytest.raises(ConfigError, match=rf"holdout: .* got {wrong}"):
            Scene.open(folder, holdout=wrong)
    with pytest.raises(ConfigError, match="skip: expected 1 for a scene without"):
        Scene.open(folder, skip=2)


def test_lists_of_names_are_splits(folder: Path):
    names = [f"images/{number:03d}.png" for number in range(10)]
    change(folder, train_filenames=names[:5], test_filenames=[f"./{names[7]}"])
    scene = Scene.open(folder)
    assert scene.counts == {"train": 5, "val": 0, "test": 1}
    assert scene.of_split("test")[0].name == names[7]
    assert any("4 of 10 photographs are in none" in note for note in scene.notes)
    with pytest.raises(ConfigError, match="holdout"):
        Scene.open(folder, holdout=8)
    change(folder, train_filenames=3)
    with pytest.raises(DataError, match="list of names for train_filenames, got 3"):
        Scene.open(folder)


@pytest.mark.parametrize("ending", ["", ".png"])
def test_lists_may_leave_out_endings(folder: Path, ending: str):
    path = folder / "transforms.json"
    content = read_json(path)
    for frame in content["frames"]:
        frame["file_path"] = frame["file_path"].removesuffix(".png") + ending
    names = [f"images/{number:03d}" for number in range(10)]
    content |= {"train_filenames": names[:7], "test_filenames": [f"./{names[9]}"]}
    write_json(path, content)
    scene = Scene.open(folder)
    assert scene.counts == {"train": 7, "val": 0, "test": 1}
    assert scene.of_split("test")[0].name == "images/009.png"


def test_a_list_of_training_views_alone_is_divided(folder: Path):
    change(folder, train_filenames=[f"images/{number:03d}.png" for number in range(9)])
    scene = Scene.open(folder)
    assert scene.counts == {"train": 7, "val": 0, "test": 2}
    assert any("only training views: every 8th view" in note for note in scene.notes)
    assert Scene.open(folder, holdout=3).counts["test"] == 3


def test_missing_photographs_are_skipped_and_told(folder: Path):
    for number in (3, 4):
        (folder / "images" / f"{number:03d}.png").unlink()
    scene = Scene.open(folder)
    assert len(scene.views) == 8
    assert scene.notes[0].startswith("2 of 10 listed photographs are missing")
    assert "images/003.png" in scene.notes[0]


def test_a_smaller_copy_has_a_smaller_camera(folder: Path):
    path = folder / "transforms.json"
    content = read_json(path)
    for frame in content["frames"]:
        for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
            frame[key] *= 4
    write_json(path, content)
    for view, wanted in zip(Scene.open(folder).views, VIEWS, strict=True):
        assert view.camera.focal == pytest.approx(wanted.camera.focal)
        assert view.camera.principal_point == (3, 2)
    content["frames"][6]["h"] = 999
    write_json(path, content)
    with pytest.raises(DataError, match=r"006.png: expected a photograph of 24 x 999"):
        Scene.open(folder)


def test_a_file_may_have_any_name(folder: Path):
    (folder / "transforms.json").rename(folder / "mine.json")
    assert len(Scene.open(folder / "mine.json").views) == 10
    with pytest.raises(DataError, match=r"transforms.json"):
        Scene.open(folder)


def test_keys_without_effect_are_told(folder: Path):
    change(folder, applied_transform=[[1, 0, 0, 0]])
    notes = Scene.open(folder).notes
    assert (
        "The key applied_transform is not used: the frame of the file is kept." in notes
    )


def test_halves_of_pairs_are_told(folder: Path):
    path = folder / "transforms.json"
    content = read_json(path)
    for frame in content["frames"]:
        del frame["cy"], frame["w"]
    write_json(path, content)
    scene = Scene.open(folder)
    assert [note for note in scene.notes if "without" in note] == [
        "The key cx is not used without cy: the principal point is in the middle.",
        "The key h is not used without w: the photograph says how large it is.",
    ]
    # Whoever says the other half for the whole file has said both.
    change(folder, cy=1.5, w=6)
    scene = Scene.open(folder)
    assert not [note for note in scene.notes if "without" in note]
    assert scene.views[0].camera.principal_point == (3.0, 1.5)


def test_a_rolling_shutter_is_told(folder: Path):
    change(folder, rolling_shutter=[0.0, 0.0, 1.0])
    (note,) = Scene.open(folder).notes[:1]
    assert note.startswith("The key rolling_shutter is not used: all of a photograph")


@pytest.mark.parametrize(
    "key", ["ftheta_p0", "latlong", "equirectangular", "orthographic"]
)
def test_other_lenses_of_instant_ngp_are_refused(folder: Path, key: str):
    path = folder / "transforms.json"
    content = read_json(path)
    content["frames"][3][key] = 1
    write_json(path, content)
    words = rf"frame 3 .*: expected a lens of OpenCV's models, got {key}\. Undistort"
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ({"aabb_scale": 3}, r"aabb_scale of 1, 2, 4 .* got 0.33 and 3"),
        ({"aabb_scale": 256}, "up to 128, got 0.33 and 256"),
        ({"aabb_scale": -2}, "and -2"),
        ({"aabb_scale": 0}, "and 0"),
        ({"scale": 0.0}, "positive scale"),
        ({"offset": "half"}, "finite number for offset, got 'half'"),
        ({"from_mitsuba": True}, "got from_mitsuba"),
        ({"normal_mts_args": {"x": 1}}, "got normal_mts_args"),
        ({"from_na": True}, "axes of OpenGL, got from_na. Turn their axes"),
        ({"ftheta_p0": 0.1}, "frame 0 .* got ftheta_p0"),
    ],
)
def test_wrong_files_are_explained(folder: Path, damage: dict, words: str):
    change(folder, **damage)
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


NUMBERS = {
    "w": st.integers(2, 4000), "h": st.integers(2, 4000),
    "fl_x": st.floats(1, 1e4), "fl_y": st.floats(1, 1e4),
    "cx": st.floats(0, 4000), "cy": st.floats(0, 4000),
    "camera_angle_x": st.floats(0.1, 3.0), "camera_angle_y": st.floats(0.1, 3.0),
    "x_fov": st.floats(5, 170), "y_fov": st.floats(5, 170),
    **{name: st.floats(-0.1, 0.1) for name in ("k1", "k2", "k3", "k4", "p1", "p2")},
    "is_fisheye": st.booleans(),
    "camera_model": st.sampled_from(["OPENCV", "OPENCV_FISHEYE", "PINHOLE"]),
    "aabb_scale": st.just(16), "sharpness": st.floats(0, 99),
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=NUMBERS))
def test_any_set_of_keys_is_read(keys: dict):
    optics = read_optics("here", keys)
    assert isinstance(optics, Optics)
    width, height = keys.get("w", 8), keys.get("h", 6)
    known = keys.keys() & {"fl_x", "fl_y", "camera_angle_x", "x_fov"}
    size = (width, height) if {"w", "h"} <= keys.keys() else (8, 6)
    if not known:
        with pytest.raises(DataError, match="focal length or an angle"):
            optics.camera(np.eye(4), *size)
        return
    camera = optics.camera(np.eye(4), *size)
    is_fisheye = keys.get("is_fisheye") or keys.get("camera_model") == "OPENCV_FISHEYE"
    assert camera.lens.is_fisheye == bool(is_fisheye)
    assert camera.lens.k3 == keys.get("k3", 0.0)
    if known & {"fl_x", "fl_y"}:
        x = keys.get("fl_x", keys.get("fl_y"))
        assert camera.focal == pytest.approx((x, keys.get("fl_y", x)))
    else:
        angle = keys.get("camera_angle_x") or np.radians(keys["x_fov"])
        assert camera.focal[0] == pytest.approx(size[0] / 2 / np.tan(angle / 2))
    if {"cx", "cy"} <= keys.keys():
        assert camera.principal_point == (keys["cx"], keys["cy"])


@pytest.mark.parametrize("name", LENSES)
def test_lenses_are_read(name: str):
    lens = LENSES[name]
    keys = {"fl_x": 9.0, **vars(lens)}
    assert read_optics("here", keys).lens == lens


def test_a_fisheye_has_no_tangential_terms():
    keys = {"fl_x": 9.0, "camera_model": "OPENCV_FISHEYE", "p1": 0.1, "k1": 0.2}
    assert read_optics("here", keys).lens == Lens(k1=0.2, is_fisheye=True)


def test_fox(data_folder: Path):
    scene = Scene.open(data_folder / "nerf" / "fox", downscale=8)
    assert scene.counts == {"train": 43, "val": 0, "test": 7}
    assert scene.notes[0].startswith("17 of 67 listed photographs are missing")
    camera = scene.views[0].camera
    assert (camera.width, camera.height) == (135, 240)
    assert camera.focal == pytest.approx((1375.52 / 8, 1374.49 / 8))
    assert camera.principal_point == pytest.approx((554.558 / 8, 965.268 / 8))
    assert camera.lens.k1 == 0.0578421
    assert scene.cascades == 3
    positions = np.stack([view.camera.position for view in scene.views])
    assert (np.abs(positions) < 4 * np.array(scene.high)).all()
    assert 0.1 < scene.near < 1
    assert 10 < scene.far < 20
