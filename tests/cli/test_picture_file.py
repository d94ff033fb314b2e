"""Pictures written row by row are read back as they were."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.cli.picture_file import PictureFile
from tangrid.errors import ConfigError, DataError
from tangrid.signals.image import ImageSignal


def values(channels: int) -> np.ndarray:
    places = np.arange(7 * 5 * channels, dtype=np.float32)
    return (places / places.max()).reshape(7, 5, channels)


def picture(path: Path, channels: int, bits: int = 8, **more) -> PictureFile:
    kind = {"width": 5, "height": 7, "colour": "srgb", **more}
    return PictureFile(path=path, num_channels=channels, bits=bits, **kind)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_round_trip(suffix: str, bits: int, channels: int, tmp_path: Path):
    path = tmp_path / f"picture.{suffix}"
    whole = values(channels)
    picture(path, channels, bits).write(iter((whole[:3], whole[3:])))
    expected = np.round(whole * (2**bits - 1))
    assert np.array_equal(ImageSignal.open(path).pixels, expected)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pillow_reads_it_too(channels: int, tmp_path: Path):
    path = tmp_path / "picture.png"
    picture(path, channels).write(iter((values(channels),)))
    with Image.open(path) as image:
        image.load()
        assert image.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        shown = np.asarray(image).reshape(7, 5, channels)
    assert np.array_equal(shown, np.round(values(channels) * 255))


def test_linear_values_are_coded_but_for_alpha(tmp_path: Path):
    path = tmp_path / "picture.png"
    half = np.full((7, 5, 4), 0.5, np.float32)
    picture(path, 4, colour="linear").write(iter((half,)))
    with Image.open(path) as image:
        assert image.getpixel((0, 0)) == (188, 188, 188, 128)


def test_arrays_keep_their_values(tmp_path: Path):
    path = tmp_path / "values.npy"
    whole = values(6) * 5 - 2
    picture(path, 6, colour="linear").write(iter((whole[:1], whole[1:])))
    assert np.array_equal(np.load(path), whole)


def test_many_channels_are_no_picture(tmp_path: Path):
    with pytest.raises(ConfigError, match="1 to 4 channels, got 6"):
        picture(tmp_path / "picture.png", 6)


def test_failure_leaves_no_file(tmp_path: Path):
    def broken():
        yield values(3)[:2]
        raise DataError("gone")

    with pytest.raises(DataError, match="gone"):
        picture(tmp_path / "picture.png", 3).write(broken())
    assert list(tmp_path.iterdir()) == []
