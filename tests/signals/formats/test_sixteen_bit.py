from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tangrid.errors import DataError
from tangrid.signals.formats.raster import read_raster
from tangrid.signals.formats.sixteen_bit import raw_mode, read_sixteen_bits
from tests.signals.formats.png_writer import png_chunk, write_png


def noise(channels: int, dtype: str = "uint16") -> np.ndarray:
    largest = np.iinfo(dtype).max
    generator = np.random.default_rng(channels)
    return generator.integers(0, largest, (11, 13, channels), dtype, endpoint=True)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_every_bit(tmp_path: Path, channels: int, interlaced: bool):
    pixels = noise(channels)
    write_png(tmp_path / "deep.png", pixels, interlaced=interlaced)
    found = read_raster(tmp_path / "deep.png")
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.pixels, pixels)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_tiff_keeps_every_bit(
    tmp_path: Path, channels: int, byteorder: str, predictor: bool
):
    pixels = noise(channels)
    path = tmp_path / "deep.tif"
    tifffile.imwrite(
        path,
        pixels,
        photometric="rgb",
        extrasamples=["unassalpha"] if channels == 4 else None,
        compression="zlib",
        predictor=predictor,
        byteorder=byteorder,
    )
    assert np.array_equal(read_raster(path).pixels, pixels)


def test_orientation_turns_both_bytes(tmp_path: Path):
    pixels = noise(3)
    write_png(tmp_path / "turned.png", pixels, orientation=6)
    found = read_raster(tmp_path / "turned.png").pixels
    assert np.array_equal(found, np.rot90(pixels, -1))


def test_raw_mode_names_the_order(tmp_path: Path):
    write_png(tmp_path / "deep.png", noise(3))
    with Image.open(tmp_path / "deep.png") as image:
        assert raw_mode(image) == "RGB;16B"
        image.load()
        assert raw_mode(image) == ""


def test_unknown_order_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="got pixels of kind 'RGBa;16N'"):
        read_sixteen_bits(tmp_path / "deep.tif", "RGBa;16N")


@pytest.mark.parametrize(("channels", "key"), [(1, "0001"), (3, "000100020003")])
def test_a_transparent_colour_is_refused(tmp_path: Path, channels: int, key: str):
    path = tmp_path / "keyed.png"
    write_png(path, noise(channels))
    data = path.read_bytes()
    # The chunk goes behind the signature and the header.
    path.write_bytes(data[:33] + png_chunk(b"tRNS", bytes.fromhex(key)) + data[33:])
    with pytest.raises(DataError, match="got one with a transparent colour"):
        read_raster(path)
