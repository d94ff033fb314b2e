from pathlib import Path

import numpy as np
import pytest

from tangrid.errors import DataError
from tangrid.signals.scene import Scene
from tests.signals.scene_files import small_scene
from tests.signals.scene_writers import save_nsvf

BOX = (-1.0, -0.5, -0.8, 1.0, 0.5, 1.2)
VIEWS = small_scene().views


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_nsvf(tmp_path / "toy", VIEWS, BOX)


@pytest.mark.parametrize("is_matrix", [False, True])
def test_a_scene_is_read_as_it_was_written(tmp_path: Path, is_matrix: bool):
    folder = save_nsvf(tmp_path / "toy", VIEWS, BOX, is_matrix=is_matrix)
    scene = Scene.open(folder)
    assert (scene.source_format, scene.scope) == ("nsvf", "object")
    assert scene.counts == {"train": 3, "val": 0, "test": 2}
    for view, wanted in zip(scene.views, VIEWS, strict=True):
        np.testing.assert_allclose(view.camera.pose, wanted.camera.pose, atol=1e-15)
        assert view.camera.focal == pytest.approx(wanted.camera.focal)
        assert view.camera.principal_point == wanted.camera.principal_point
        assert np.array_equal(view.pixels, wanted.pixels)


def test_the_box_is_that_of_the_file_and_a_little_more(folder: Path):
    scene = Scene.open(folder)
    np.testing.assert_allclose(scene.low, [-1.05, -0.525, -0.85])
    np.testing.assert_allclose(scene.high, [1.05, 0.525, 1.25])
    assert any("larger by 1.05" in note for note in scene.notes)
    for view in scene.views:
        away = np.linalg.norm(view.camera.position)
        assert scene.near < away - 0.5
        assert scene.far > away


@pytest.mark.parametrize(
    ("beginnings", "counts"),
    [
        (("0_", "1_", "2_"), {"train": 3, "val": 0, "test": 2}),
        (("0_", "2_", "1_"), {"train": 3, "val": 0, "test": 2}),
        (("a_", "b_", "c_"), {"train": 4, "val": 0, "test": 1}),
    ],
)
def test_names_begin_with_what_they_are_for(tmp_path: Path, beginnings, counts):
    folder = save_nsvf(tmp_path / "toy", VIEWS, BOX, beginnings=beginnings)
    assert Scene.open(folder).counts == counts


def test_validation_has_a_name_of_its_own_where_there_is_a_test(tmp_path: Path):
    views = small_scene(num_train=4).views
    folder = save_nsvf(tmp_path / "toy", views, BOX)
    for place, ending in (("rgb", "png"), ("pose", "txt")):
        (folder / place / f"0_000.{ending}").rename(folder / place / f"1_000.{ending}")
    assert Scene.open(folder).counts == {"train": 3, "val": 1, "test": 2}


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("bbox.txt", "1 2 3", "two corners of a box, got 3 numbers"),
        ("bbox.txt", "1 1 1 0 0 0 0.1", r"low < high, got \[1.0, 1.0, 1.0\]"),
        ("bbox.txt", "0 0 0 1 1 nan 0.1", "two corners of a box"),
        ("intrinsics.txt", "", "line with the focal length .* got 0 lines"),
        ("intrinsics.txt", "-4 2 2 0", "positive focal lengths, got -4"),
        ("intrinsics.txt", "wide", "expected numbers, got something else"),
        ("pose/0_001.txt", "1 2 3", r"0_001.txt: expected a pose of 4 x 4 numbers"),
        ("pose/0_001.txt", "1 0\n0 1 0\n0", "expected a pose of 4 x 4 numbers"),
    ],
)
def test_wrong_files_are_explained(folder: Path, file: str, text: str, words: str):
    (folder / file).write_text(text)
    with pytest.raises(DataError, match=words):
        Scene.open(folder)


def test_missing_files_are_explained(folder: Path):
    (folder / "pose" / "0_001.txt").unlink()
    with pytest.raises(DataError, match=r"0_001.txt: expected a file that can be read"):
        Scene.open(folder)
    for file in (folder / "rgb").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="rgb: expected photographs, got none"):
        Scene.open(folder)
