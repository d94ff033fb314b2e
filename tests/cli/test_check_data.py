"""``tangrid check data``: everything about a scene, also about a broken one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Type
from tests.cli.messages import MESSAGES
from tests.signals.scene_files import read_json, save_blender, small_scene, write_json
from tests.signals.scene_writers import save_llff, save_transforms

POSE = "transform_matrix"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return save_blender(Path("toy"), small_scene())


def test_a_usable_scene(toy: Path, tangrid: Type):
    outcome = tangrid("check", "data", "toy")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0] == "toy: blender, usable"
    told = {line[2:14].strip(): line[14:] for line in lines[1:-2]}
    assert told["views"] == "train 3, test 2"
    assert told["splits"] == "files of the data set"
    assert told["size"] == "6 x 4"
    assert told["centre"] == "the middle"
    assert told["lens"] == "none"
    assert told["alpha"] == "5 of 5 photographs"
    assert told["box"] == "-1.5, -1.5, -1.5 to 1.5, 1.5, 1.5"
    assert told["near, far"] == "2, 6"
    assert told["look at"] == "0, 0, 0, from 4 to 4 away"
    assert told["memory"] == "0.00048 MB of pixels"
    assert lines[-2:] == ["runs/check/toy/cameras.png", "runs/check/toy/scene.json"]
    with Image.open(lines[-2]) as picture:
        assert picture.width > 2 * picture.height * 0.8
    record = json.loads(Path(lines[-1]).read_text())
    assert (record["usable"], record["format"], record["errors"]) == (
        True,
        "blender",
        {},
    )
    assert record["bounds"]["near"] == 2.0
    assert len(record["views"]) == 5
    view = small_scene().views[0]
    np.testing.assert_array_equal(record["views"][0]["pose"], view.camera.pose)


def test_everything_wrong_is_told_at_once(toy: Path, tangrid: Type):
    path = toy / "transforms_train.json"
    content = read_json(path)
    spare = content["frames"][0]
    more = {**spare, "file_path": "./train/r_9"}
    content["frames"][0][POSE] = np.full((4, 4), 2.0).tolist()
    content["frames"] += [more, {**spare, "file_path": None}]
    write_json(path, content)
    (toy / "train" / "r_1.png").write_text("hello")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(toy / "train" / "r_2.png")
    content["frames"][2] |= {"w": 6, "h": 4}
    write_json(path, content)
    outcome = tangrid("check", "data", "toy", "--out", "found")
    assert outcome.code == 1
    assert outcome.err == ""
    assert outcome.out.startswith("toy: blender, not usable, errors: 4\n")
    for words in (
        "frame 0 (./train/r_0): expected a pose that turns and moves only",
        "frame 4: expected a file_path, got None",
        "toy/train/r_1.png: expected PNG",
        "toy/train/r_2.png: expected a photograph of 6 x 4 pixels",
        "photographs are missing and were skipped, the first train/r_9.png",
    ):
        assert words in outcome.out, words
    record = json.loads(Path("found/scene.json").read_text())
    assert not record["usable"]
    assert sum(map(len, record["errors"].values())) == 4
    assert [view["name"] for view in record["views"]] == [
        "test/r_3.png", "test/r_4.png",
    ]  # fmt: skip
    assert Path("found/cameras.png").exists()


def test_a_broken_file_of_cameras(toy: Path, tangrid: Type):
    (toy / "transforms_train.json").write_text("{")
    outcome = tangrid("check", "data", "toy")
    assert outcome.code == 1
    assert "transforms_train.json: expected JSON" in outcome.out
    assert Path("runs/check/toy/scene.json").exists()
    assert not Path("runs/check/toy/cameras.png").exists()


def test_a_broken_file_is_told_beside_other_errors(toy: Path, tangrid: Type):
    path = toy / "transforms_train.json"
    content = read_json(path)
    content["frames"][0][POSE] = np.full((4, 4), 2.0).tolist()
    write_json(path, content)
    (toy / "transforms_test.json").write_text("{")
    outcome = tangrid("check", "data", "toy")
    assert outcome.code == 1
    assert outcome.out.startswith("toy: blender, not usable, errors: 2\n")
    assert "frame 0 (./train/r_0): expected a pose that turns" in outcome.out
    assert "transforms_test.json: expected JSON" in outcome.out


def test_an_error_is_told_once_where_nothing_is_left(toy: Path, tangrid: Type):
    for split in ("train", "test"):
        content = read_json(toy / f"transforms_{split}.json")
        for frame in content["frames"]:
            frame[POSE] = None
        write_json(toy / f"transforms_{split}.json", content)
    outcome = tangrid("check", "data", "toy")
    assert outcome.out.startswith("toy: blender, not usable, errors: 5\n")
    assert "Errors besides this one" not in outcome.out


@pytest.mark.parametrize("name", ["garden/mine.json", "toy/transforms_train.json"])
def test_a_broken_file_has_a_format(toy: Path, tangrid: Type, name: str):
    Path("garden").mkdir()
    Path(name).write_text("{")
    outcome = tangrid("check", "data", name, "--out", "found")
    assert outcome.code == 1
    folder = Path(name).parent.name
    known = {"garden": "transforms", "toy": "blender"}[folder]
    assert outcome.out.startswith(f"{folder}: {known}, not usable, errors: 1\n")
    assert json.loads(Path("found/scene.json").read_text())["format"] == known


def test_files_are_replaced_only_where_it_is_asked_for(toy: Path, tangrid: Type):
    words = ("check", "data", "toy", "--out", "found")
    assert tangrid(*words).code == 0
    before = Path("found/scene.json").read_bytes()
    (toy / "transforms_train.json").write_text("{")
    for name, case in MESSAGES["checked data"].items():
        again = tangrid(*case.command.split())
        assert (again.code, again.out) == (2, "")
        assert case.matches(again.message), name
        (Path("found") / "cameras.png").unlink(missing_ok=True)
    assert Path("found/scene.json").read_bytes() == before
    Path("found/cameras.png").touch()
    assert tangrid(*words, "--overwrite").code == 1
    assert Path("found/scene.json").read_bytes() != before
    assert not Path("found/cameras.png").exists(), "expected no drawing of what was"


def test_a_folder_of_its_own_is_used_again(toy: Path, tangrid: Type):
    for _ in range(2):
        assert tangrid("check", "data", "toy").code == 0


def test_views_of_training_alone_can_be_divided(tmp_path: Path, tangrid: Type):
    folder = save_blender(tmp_path / "some", small_scene(num_train=6), "train")
    outcome = tangrid("check", "data", folder, "--out", tmp_path / "found")
    assert "There are only training views: every 8th view" in outcome.out
    outcome = tangrid(
        "check", "data", folder, "--holdout", 3, "--out", tmp_path / "other"
    )
    assert outcome.code == 0
    assert "train 4, test 2" in outcome.out


def test_cameras_in_other_axes_are_noticed(toy: Path, tangrid: Type):
    for split in ("train", "test"):
        path = toy / f"transforms_{split}.json"
        content = read_json(path)
        for frame in content["frames"]:
            frame[POSE] = (np.array(frame[POSE]) * [1, -1, -1, 1]).tolist()
        write_json(path, content)
    outcome = tangrid("check", "data", "toy")
    assert outcome.code == 0
    assert "5 of 5 cameras look away from the middle of the box" in outcome.out
    assert "no place that all of them see" in outcome.out


def test_different_cameras_are_counted(toy: Path, tangrid: Type):
    views = small_scene(6, 0).views
    folder = save_transforms(Path("garden"), views, aabb_scale=4)
    path = folder / "transforms.json"
    content = read_json(path)
    for number, frame in enumerate(content["frames"]):
        frame["fl_x"] = frame["fl_y"] = 7.0 + (number == 5)
        frame |= {"cx": 2.5, "k1": 0.1}
    write_json(path, content)
    outcome = tangrid("check", "data", "garden", "--holdout", 3)
    assert outcome.code == 0
    for words in (
        "7 (5), 8 (1)", "2.5, 2", "perspective, k1 0.1", "every 3th held out",
        "train 4, test 2", "3, the outermost 4 times the inner one",
    ):  # fmt: skip
        assert words in outcome.out, words


def test_a_lens_that_folds_the_picture_is_noticed(toy: Path, tangrid: Type):
    views = small_scene(4, 0).views
    save_transforms(Path("garden"), views, aabb_scale=1)
    path = Path("garden/transforms.json")
    content = read_json(path)
    for frame in content["frames"]:
        frame["k1"] = -5.0
    write_json(path, content)
    outcome = tangrid("check", "data", "garden")
    assert "lens of 4 photographs cannot be undone at their corners" in outcome.out


def test_twins_are_noticed(toy: Path, tangrid: Type):
    path = toy / "transforms_train.json"
    content = read_json(path)
    content["frames"][1][POSE] = content["frames"][0][POSE]
    write_json(path, content)
    outcome = tangrid("check", "data", "toy")
    assert "1 of 5 photographs have the pose of another one" in outcome.out


def test_device_coordinates_can_be_left_out(toy: Path, tangrid: Type):
    views = small_scene(9, 0).views[:2]
    save_llff(Path("room"), [*views, views[0]], (2.0, 9.0))
    for flags, words in (((), "in device coordinates"), (("--no-ndc",), "near, far")):
        outcome = tangrid("check", "data", "room", *flags)
        assert outcome.code == 0, outcome.out
        assert words in outcome.out
    assert "in device coordinates" not in outcome.out


def test_a_file_of_cameras_may_be_named(toy: Path, tangrid: Type):
    outcome = tangrid("check", "data", "toy/transforms_train.json")
    assert outcome.out.startswith("toy: blender, usable\n")
    views = small_scene(4, 0).views
    save_transforms(Path("garden"), views, aabb_scale=1)
    Path("garden/transforms.json").rename("garden/mine.json")
    outcome = tangrid("check", "data", "garden/mine.json")
    assert outcome.out.startswith("garden: transforms, usable\n")


def test_an_unwritable_folder_is_explained(toy: Path, tangrid: Type):
    Path("taken").touch()
    outcome = tangrid("check", "data", "toy", "--out", "taken/here")
    assert outcome.code == 2
    assert "taken/here: expected to write it" in outcome.message
