from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tangrid import devices
from tangrid.errors import ConfigError, DataError, ResourceError, ShapeError
from tangrid.signals import scene_loading
from tangrid.signals.scene import Scene, View
from tangrid.signals.scene_bounds import distances_to_box
from tests.signals.scene_files import HEIGHT, OBJECT, WIDTH, save_blender, small_scene


def test_a_scene_made_by_a_program():
    scene = small_scene()
    assert scene.source_format == "arrays"
    assert scene.bounds == OBJECT
    assert scene.num_bytes == 5 * WIDTH * HEIGHT * 4
    assert [view.split for view in scene.of_split("test")] == ["test", "test"]
    with pytest.raises(ValueError, match="read-only"):
        scene.views[0].pixels[0, 0, 0] = 1


def test_the_digest_knows_what_matters():
    scene = small_scene()
    assert scene.digest == small_scene().digest
    first, *others = scene.views
    camera = first.camera
    pose = camera.pose.copy()
    pose[0, 3] += 1e-9
    brighter = first.pixels.copy()
    brighter[0, 0, 0] ^= 1
    changes = [
        replace(first, pixels=brighter),
        replace(first, split="test"),
        replace(first, camera=replace(camera, pose=pose)),
        replace(first, camera=replace(camera, centre=(1.0, 1.0))),
        replace(first, camera=replace(camera, focal=(9.0, 9.0))),
    ]
    digests = {replace(scene, views=(view, *others)).digest for view in changes}
    assert len(digests | {scene.digest}) == 6
    assert (
        replace(scene, views=(replace(first, name="b"), *others)).digest == scene.digest
    )


@pytest.mark.parametrize("kind", [int, np.float32, np.float64])
def test_the_digest_does_not_mind_kinds_of_numbers(kind: type, unchecked: None):
    scene = small_scene()
    first, *others = scene.views

    def digest(kind: type) -> str:
        sizes = {"focal": (kind(9), kind(8)), "centre": (kind(3), kind(2))}
        view = replace(first, camera=replace(first.camera, **sizes))
        return replace(scene, views=(view, *others)).digest

    assert digest(kind) == digest(float)


def test_images_are_counted(tmp_path: Path):
    folder = save_blender(tmp_path / "toy", small_scene())
    told = []
    Scene.open(folder, on_image=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


def test_too_much_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = save_blender(tmp_path / "toy", small_scene())
    monkeypatch.setattr(devices, "available_memory_mb", lambda: 1e-4)
    with pytest.raises(ResourceError, match=r"pixels of 5 photographs.*downscale"):
        Scene.open(folder)


def test_the_copy_that_training_makes_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = save_blender(tmp_path / "toy", small_scene())
    monkeypatch.setattr(scene_loading, "available_threads", lambda: 1)
    # Five photographs, three of them once more, and two in the making.
    needed = (5 + 3 + 2) * WIDTH * HEIGHT * 4
    monkeypatch.setattr(devices, "room_bytes", lambda: needed)
    assert len(Scene.open(folder).views) == 5
    monkeypatch.setattr(devices, "room_bytes", lambda: needed - 1)
    with pytest.raises(ResourceError, match="5 photographs, those for training twice"):
        Scene.open(folder)


def test_what_is_no_scene_is_explained(tmp_path: Path):
    with pytest.raises(DataError, match="posed photographs, got a path where there is"):
        Scene.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="got an empty folder"):
        Scene.open(tmp_path)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(
        DataError, match=r"transforms_train.json .* got one with letter"
    ):
        Scene.open(tmp_path)
    with pytest.raises(DataError, match="photographs, got a file"):
        Scene.open(tmp_path / "letter.txt")


def test_downscaling(tmp_path: Path):
    folder = save_blender(tmp_path / "toy", small_scene())
    scene = Scene.open(folder, downscale=2)
    assert scene.views[0].pixels.shape == (2, 3, 4)
    assert (scene.views[0].camera.width, scene.views[0].camera.height) == (3, 2)
    for factor, words in ((0, "whole number >= 1"), (3, "at least 2 pixels")):
        with pytest.raises((ConfigError, DataError), match=words):
            Scene.open(folder, downscale=factor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"low": (2.0, -1.0, -1.0)}, "low < high"),
        ({"near": 6.0}, "near < far"),
        ({"near": -1.0}, "near < far"),
        ({"far": np.inf}, "near < far"),
        ({"cascades": 0}, "at least one box"),
        ({"views": ()}, "2 training views, got 0"),
    ],
)
def test_wrong_scenes_are_refused(change: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        replace(small_scene(), **change)


def test_wrong_views_are_refused(unchecked: None):
    view = small_scene().views[0]
    for pixels in (
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH, 2), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3)),
        np.zeros((HEIGHT, WIDTH), np.uint8),
    ):
        with pytest.raises(ShapeError, match="expected uint8 pixels of 4 x 6 x 3 or 4"):
            replace(view, pixels=pixels)
    with pytest.raises(ConfigError, match="'train', 'val', 'test', got 'dev'"):
        View(name="a", camera=view.camera, pixels=view.pixels, split="dev")


def test_distances_to_a_box_hold_for_every_point_of_it():
    rng = np.random.default_rng(0)
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([1.0, 0.5, 5.0])
    inside = rng.uniform(low, high, (20_000, 3))
    for positions in (rng.normal(size=(6, 3)) * 9, np.array([[4.0, 0.2, 3.0]])):
        away = np.linalg.norm(inside[:, None] - positions, axis=2)
        near, far = distances_to_box(positions, low, high, least=0.0)
        assert near <= away.min() <= near + 0.3
        assert far - 0.3 <= away.max() <= far
    near, _ = distances_to_box(np.array([[0.0, 0.1, 3.0]]), low, high, least=0.2)
    assert near == 0.2
