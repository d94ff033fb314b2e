"""Whatever stands in a file of cameras, it is read or explained, never a traceback."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tangrid.errors import TangridError
from tangrid.signals.scene import Scene
from tests.signals.scene_files import save_blender, small_scene
from tests.signals.scene_writers import (
    save_colmap,
    save_llff,
    save_nsvf,
    save_transforms,
)

VIEWS = small_scene(6, 3).views[:7]
FEW, MANY = 12, 60
"""Examples of each test, few for the sake of time; 300 find no traceback either."""
POINTS = np.random.default_rng(0).normal(size=(5, 3))

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 3, 10**400, 1e308, -1e-308, float("nan"), float("inf")]),
    st.sampled_from(["", "x", "images/" + "a" * 5000, "a\0b", "..", "\ud800"]),
    st.lists(st.integers(-2, 2), max_size=4),
    st.just([[1e300] * 4] * 4),
    st.just({}),
)
KEYS = (
    "file_path", "transform_matrix", "w", "h", "fl_x", "fl_y", "cx", "cy", "k1", "p1",
    "camera_angle_x", "camera_angle_y", "x_fov", "y_fov", "camera_model", "is_fisheye",
    "aabb_scale", "scale", "offset", "from_mitsuba", "from_na", "ftheta_p0", "latlong",
    "train_filenames", "test_filenames", "mask_path", "rolling_shutter",
)  # fmt: skip


def opened(folder: Path) -> None:
    """Open a scene; an error that tangrid explains is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            Scene.open(folder)
        except TangridError as error:
            text = str(error)
            assert ": expected " in text, text
            assert "\n" not in text


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    save_blender(folder / "blender", small_scene())
    save_transforms(folder / "transforms", VIEWS, aabb_scale=4)
    save_llff(folder / "llff", VIEWS, (2.0, 9.0))
    save_colmap(folder / "colmap", VIEWS, points=POINTS)
    save_colmap(folder / "text", VIEWS, points=POINTS, is_text=True)
    save_nsvf(folder / "nsvf", VIEWS, [-1, -1, -1, 1, 1, 1])
    return folder


FILES = {
    "blender": "blender/transforms_train.json",
    "transforms": "transforms/transforms.json",
}


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=MANY)
@given(st.dictionaries(st.sampled_from(KEYS), ODD, max_size=3), st.booleans())
def test_odd_values(scenes: Path, name: str, odd: dict, is_shared: bool):
    path = scenes / FILES[name]
    whole = path.read_text()
    content = json.loads(whole)
    if is_shared:
        content |= odd
    else:
        content["frames"][1] |= odd
    try:
        path.write_text(json.dumps(content))
        opened(path.parent)
    finally:
        path.write_text(whole)


@pytest.mark.parametrize("frames", [[], {}, 7, "frames", [7], [None], [[]], [{}]])
def test_odd_frames(scenes: Path, frames: object):
    path = scenes / FILES["transforms"]
    whole = path.read_text()
    try:
        path.write_text(json.dumps({"frames": frames}))
        opened(path.parent)
    finally:
        path.write_text(whole)


BYTES = (
    "colmap/sparse/0/cameras.bin", "colmap/sparse/0/images.bin",
    "colmap/sparse/0/points3D.bin", "text/sparse/0/cameras.txt",
    "text/sparse/0/images.txt", "text/sparse/0/points3D.txt",
    "llff/poses_bounds.npy", "nsvf/intrinsics.txt", "nsvf/bbox.txt",
    "nsvf/pose/0_001.txt", "transforms/transforms.json",
)  # fmt: skip


def flip(data: bytes, place: float, value: int) -> bytes:
    index = int(place * (len(data) - 1))
    return data[:index] + bytes([value]) + data[index + 1 :]


def cut(data: bytes, place: float, value: int) -> bytes:
    return data[: int(place * len(data))] + bytes([value])


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize("damage", [flip, cut])
@settings(max_examples=FEW)
@given(st.floats(0, 1), st.integers(0, 255))
def test_damaged_bytes(
    scenes: Path, name: str, damage: Callable, place: float, value: int
):
    path = scenes / name
    whole = path.read_bytes()
    top = scenes / name.split("/", maxsplit=1)[0]
    try:
        path.write_bytes(damage(whole, place, value))
        opened(top)
    finally:
        path.write_bytes(whole)
