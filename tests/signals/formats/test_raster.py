import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.errors import DataError
from tangrid.signals.formats import raster
from tangrid.signals.formats.raster import read_raster
from tests.signals.formats.png_writer import write_png


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "tif"])
def test_rgb_is_exact(tmp_path: Path, ending: str):
    pixels = noise(6, 9, 3)
    Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
    picture = read_raster(tmp_path / f"a.{ending}")
    assert picture.pixels.dtype == np.uint8
    assert picture.stored == "srgb"
    assert np.array_equal(picture.pixels, pixels)


def test_grey_is_exact(tmp_path: Path):
    pixels = noise(6, 9)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").pixels, pixels[..., None])


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_kept_where_it_says_something(tmp_path: Path, channels: int):
    pixels = noise(6, 9, channels)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("channels", [2, 4])
def test_full_alpha_is_dropped(tmp_path: Path, channels: int):
    pixels = noise(6, 9, channels)
    pixels[..., -1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").pixels, pixels[..., :-1])


def test_sixteen_bit_grey_is_exact(tmp_path: Path):
    pixels = np.arange(60, dtype=np.uint16).reshape(6, 10) * 1000
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_raster(tmp_path / "a.png").pixels
    assert found.dtype == np.uint16
    assert np.array_equal(found[..., 0], pixels)


def test_palette_becomes_rgb(tmp_path: Path):
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = (10, 200, 30)
    image = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").pixels, pixels)


def test_palette_with_a_transparent_colour_becomes_rgba(tmp_path: Path):
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3, 4, 5, 6])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png", transparency=1)
    found = read_raster(tmp_path / "a.png").pixels
    assert found[0, 0].tolist() == [4, 5, 6, 0]
    assert found[1, 1].tolist() == [1, 2, 3, 255]


def test_bitmap_becomes_black_and_white(tmp_path: Path):
    pixels = noise(5, 5) > 127
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_raster(tmp_path / "a.png").pixels[..., 0], pixels * 255)


def test_print_colours_become_rgb(tmp_path: Path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    found = read_raster(tmp_path / "a.jpg").pixels
    assert found.shape == (8, 8, 3)
    assert np.abs(found[0, 0].astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_orientation_is_applied(tmp_path: Path, orientation: int):
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(turned.copy()).save(tmp_path / "a.jpg", exif=exif, quality=100)
    found = read_raster(tmp_path / "a.jpg").pixels[..., 0]
    assert np.array_equal(found > 127, upright > 127)


def test_animation_is_refused(tmp_path: Path):
    frames = [Image.fromarray(noise(4, 4, k + 1)[..., 0]) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="expected a single picture, got 3 frames"):
        read_raster(tmp_path / "a.gif")


def test_integers_beyond_sixteen_bits_are_refused(tmp_path: Path):
    deep = np.array([[0, 70000], [1, 2]], np.int32)
    Image.fromarray(deep).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="values from 0 to 70000"):
        read_raster(tmp_path / "a.tif")


def test_large_picture_gives_no_warning_and_leaves_the_limit(tmp_path: Path):
    limit = Image.MAX_IMAGE_PIXELS
    assert limit is not None
    side = int(limit**0.5) + 10
    Image.new("1", (side, side)).save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_raster(tmp_path / "a.png").pixels.shape == (side, side, 1)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_limit_is_put_back_after_a_failure(tmp_path: Path):
    limit = Image.MAX_IMAGE_PIXELS
    write_png(tmp_path / "a.png", noise(1, 3, 1))
    with pytest.raises(DataError, match="at least 2 pixels"):
        read_raster(tmp_path / "a.png")
    assert limit == Image.MAX_IMAGE_PIXELS


def test_several_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pixels = noise(4, 4, 3)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    decoded = threading.Barrier(2, timeout=60)
    limits = []

    def meet(values: np.ndarray) -> np.ndarray:
        decoded.wait()
        limits.append(Image.MAX_IMAGE_PIXELS)
        return values

    monkeypatch.setattr(raster, "without_opaque_alpha", meet)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(read_raster, [tmp_path / "a.png"] * 2))
    assert all(np.array_equal(picture.pixels, pixels) for picture in found)
    assert limits == [None, None]
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == filters
