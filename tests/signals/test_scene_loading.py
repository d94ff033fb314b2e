"""Photographs of every depth and kind become bytes of three or four channels."""

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image

from tangrid.errors import DataError
from tangrid.signals.scene import Scene
from tests.signals.formats.png_writer import write_png
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
    return save_blender(tmp_path / "toy", small_scene(channels=3))


def first(folder: Path) -> np.ndarray:
    return Scene.open(folder).views[0].pixels


def test_grey_becomes_three_colours(folder: Path):
    grey = np.arange(WIDTH * HEIGHT, dtype=np.uint8).reshape(HEIGHT, WIDTH)
    Image.fromarray(grey).save(folder / "train" / "r_0.png")
    assert np.array_equal(first(folder), np.stack([grey] * 3, axis=-1))
    both = np.stack((grey, 255 - grey), axis=-1)
    Image.fromarray(both, "LA").save(folder / "train" / "r_0.png")
    assert np.array_equal(first(folder), both[..., [0, 0, 0, 1]])


def test_full_alpha_is_dropped(folder: Path):
    pixels = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    Image.fromarray(pixels).save(folder / "train" / "r_0.png")
    assert first(folder).shape == (HEIGHT, WIDTH, 3)


def test_deep_photographs_become_bytes(folder: Path):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, 3), np.uint16)
    for ending in ("png", "tiff"):
        file = folder / "train" / "r_0.png"
        if ending == "png":
            write_png(file, deep)
        else:
            tifffile.imwrite(file, deep, photometric="rgb")
        assert np.array_equal(first(folder), np.rint(deep / 257).astype(np.uint8))


def test_linear_photographs_are_coded(folder: Path):
    values = np.full((HEIGHT, WIDTH, 3), 0.2158, np.float32)
    file = folder / "train" / "r_0.png"
    file.unlink()
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"RGB": values}).write(str(file))
    assert (first(folder) == 128).all()


def test_damaged_photographs_are_explained(folder: Path):
    file = folder / "train" / "r_0.png"
    data = file.read_bytes()
    for damage in (data[: len(data) // 2], b"", b"hello"):
        file.write_bytes(damage)
        with pytest.raises(DataError, match=r"train/r_0.png: expected"):
            Scene.open(folder)


def test_views_keep_the_order_of_the_list(tmp_path: Path):
    scene = small_scene(num_train=23, num_test=2)
    found = Scene.open(save_blender(tmp_path / "toy", scene))
    assert [v.name for v in found.views] == [v.name for v in scene.views]
    for one, other in zip(found.views, scene.views, strict=True):
        assert np.array_equal(one.pixels, other.pixels)


def save_turned(file: Path, pixels: np.ndarray, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(pixels)
    if kind == "deep":
        write_png(file, pixels.astype(np.uint16) * 257, orientation=orientation)
    elif kind == "packed":
        image.save(file, "TIFF", exif=exif, compression="tiff_lzw")
    else:
        image.save(file, kind, exif=exif)


@pytest.mark.parametrize("kind", ["PNG", "deep", "TIFF", "packed"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_left_as_they_are_stored(
    folder: Path, kind: str, orientation: int
):
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    save_turned(folder / "train" / "r_0.png", pixels, kind, orientation)
    scene = Scene.open(folder)
    assert np.array_equal(scene.views[0].pixels, pixels)
    told = [note for note in scene.notes if "EXIF" in note]
    assert len(told) == (orientation > 1)
    for note in told:
        assert note.startswith("1 of 5 photographs have an EXIF tag that says to turn")
        assert "the first train/r_0.png" in note


def test_a_turned_photograph_that_does_not_fit_is_explained(folder: Path):
    path = folder / "transforms_train.json"
    content = read_json(path)
    content["frames"][0] |= {"w": HEIGHT, "h": WIDTH}
    write_json(path, content)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for orientation, is_told in ((1, False), (6, True)):
        save_turned(folder / "train" / "r_0.png", pixels, "PNG", orientation)
        with pytest.raises(DataError, match=r"of 4 x 6 pixels .* got 6 x 4") as told:
            Scene.open(folder)
        assert ("EXIF tag that says to turn it" in str(told.value)) == is_told
