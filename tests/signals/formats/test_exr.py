import sys
from pathlib import Path

import numpy as np
import pytest

from tangrid.errors import DataError
from tangrid.signals.formats.exr import read_exr


def write(path: Path, **channels: np.ndarray) -> None:
    openexr = pytest.importorskip("OpenEXR")
    header = {
        "compression": openexr.ZIP_COMPRESSION,
        "type": openexr.scanlineimage,
    }
    with openexr.File(header, channels) as file:
        file.write(str(path))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape).astype(np.float32) * 3


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rgb_is_exact(tmp_path: Path, dtype: type):
    pixels = noise(6, 9, 3).astype(dtype)
    r, g, b = (np.ascontiguousarray(pixels[..., k]) for k in range(3))
    write(tmp_path / "a.exr", R=r, G=g, B=b)
    picture = read_exr(tmp_path / "a.exr")
    assert picture.stored == "linear"
    assert picture.pixels.dtype == np.float32
    assert np.array_equal(picture.pixels, pixels)


def test_grey_is_exact(tmp_path: Path):
    pixels = noise(6, 9)
    write(tmp_path / "a.exr", Y=pixels)
    assert np.array_equal(read_exr(tmp_path / "a.exr").pixels[..., 0], pixels)


def test_full_alpha_is_dropped_and_other_alpha_divided_out(tmp_path: Path):
    grey, alpha = noise(6, 9), np.ones((6, 9), np.float32)
    write(tmp_path / "full.exr", R=grey, G=grey, B=grey, A=alpha)
    assert read_exr(tmp_path / "full.exr").pixels.shape == (6, 9, 3)
    alpha = np.full((6, 9), 0.5, np.float32)
    alpha[0, 0] = 0.0
    write(tmp_path / "half.exr", R=grey, G=grey, B=grey, A=alpha)
    found = read_exr(tmp_path / "half.exr").pixels
    assert np.array_equal(found[1:, :, 0], 2 * grey[1:])
    assert found[0, 0].tolist() == [grey[0, 0]] * 3 + [0.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_with_place(tmp_path: Path, value: float):
    pixels = noise(6, 9)
    pixels[4, 7] = pixels[5, 1] = value
    write(tmp_path / "a.exr", Y=pixels)
    with pytest.raises(DataError, match=r"got 2 of 54 .* column 7, row 4, channel 0"):
        read_exr(tmp_path / "a.exr")


def test_other_channels_are_refused(tmp_path: Path):
    write(tmp_path / "a.exr", Z=noise(4, 4))
    with pytest.raises(DataError, match=r"got \['Z'\]"):
        read_exr(tmp_path / "a.exr")


def test_missing_package_is_explained(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(DataError, match=r'pip install "tangrid\[exr\]"'):
        read_exr(tmp_path / "a.exr")


def test_real_file_is_read(data_folder: Path):
    pytest.importorskip("OpenEXR")
    picture = read_exr(data_folder / "images" / "large" / "albert_1024x1024.exr")
    assert picture.pixels.shape == (1024, 1024, 3)
    assert 0.0 <= picture.pixels.min() < picture.pixels.max() <= 1.0
