from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tangrid.errors import ConfigError, DataError
from tangrid.signals.formats.blender_writing import write_blender
from tangrid.signals.scene import Scene
from tests.signals.scene_files import read_json, small_scene
from tests.signals.views import LENSES
from tests.tolerances import RAY_FLOAT32


def same(found: Scene, wanted: Scene) -> None:
    assert found.bounds == wanted.bounds
    assert found.counts == wanted.counts
    for one, other in zip(found.views, wanted.views, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.camera.pose, other.camera.pose)
        for a, b in zip(one.camera.rays(), other.camera.rays(), strict=True):
            torch.testing.assert_close(a, b, atol=RAY_FLOAT32, rtol=0)


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_written_is_read_again(tmp_path: Path, channels: int):
    scene = small_scene(channels=channels)
    write_blender(tmp_path / "toy", scene)
    same(Scene.open(tmp_path / "toy"), scene)
    content = read_json(tmp_path / "toy" / "transforms_train.json")
    assert list(content) == ["camera_angle_x", "frames"]
    assert list(content["frames"][0]) == ["file_path", "transform_matrix"]
    assert content["frames"][2]["file_path"] == "./train/r_2"
    names = {path.name for path in (tmp_path / "toy").iterdir()}
    assert names == {"train", "test", "transforms_train.json", "transforms_test.json"}


@pytest.mark.parametrize("name", LENSES)
def test_other_cameras_have_keys_of_their_own(tmp_path: Path, name: str):
    scene = small_scene()
    views = [
        replace(
            view,
            camera=replace(
                view.camera,
                focal=(7.0 + number, 6.5),
                centre=(2.5, 2.25),
                lens=LENSES[name],
            ),
        )
        for number, view in enumerate(scene.views)
    ]
    changed = replace(scene, views=tuple(views))
    write_blender(tmp_path / "toy", changed)
    found = Scene.open(tmp_path / "toy")
    same(found, changed)
    assert found.digest == changed.digest


def test_what_does_not_fit_is_refused(tmp_path: Path):
    scene = small_scene()
    with pytest.raises(
        ConfigError, match=r"expected an object in a box of -1.5 to 1.5"
    ):
        write_blender(tmp_path / "toy", replace(scene, scope="unbounded"))
    with pytest.raises(ConfigError, match=r"in \(-1.0, -1.5, -1.5\)"):
        write_blender(tmp_path / "toy", replace(scene, low=(-1.0, -1.5, -1.5)))
    assert not (tmp_path / "toy").exists()
    write_blender(tmp_path / "toy", scene)
    with pytest.raises(ConfigError, match="new or empty folder, got one that is taken"):
        write_blender(tmp_path / "toy", scene)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="expected to write it"):
        write_blender(tmp_path / "file" / "toy", scene)
