from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tangrid.errors import DataError
from tangrid.signals.formats.tiff import read_tiff


def noise(dtype: str, *shape: int) -> np.ndarray:
    generator = np.random.default_rng(len(shape))
    if np.dtype(dtype).kind == "f":
        return generator.random(shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_round_trip_is_exact(
    tmp_path: Path, dtype: str, channels: int, compression: str | None
):
    pixels = noise(dtype, 7, 9, channels)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels if channels == 3 else pixels[..., 0],
        photometric="rgb" if channels == 3 else "minisblack",
        compression=compression,
    )
    picture = read_tiff(tmp_path / "a.tif")
    is_float = np.dtype(dtype).kind == "f"
    assert picture.pixels.dtype == (np.float32 if is_float else dtype)
    assert picture.stored == ("linear" if is_float else "srgb")
    assert np.array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_planes_and_alpha_are_exact(tmp_path: Path, dtype: str):
    pixels = noise(dtype, 7, 9, 4)
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(pixels, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        extrasamples=["unassalpha"],
    )
    assert np.array_equal(read_tiff(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_lzw_is_exact(tmp_path: Path, mode: str):
    pixels = noise("uint16" if mode == "I;16" else "uint8", 8, 9, 3)
    pixels = pixels if mode == "RGB" else pixels[..., 0]
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    found = read_tiff(tmp_path / "a.tif").pixels
    assert np.array_equal(found.squeeze(), pixels)


def test_print_colours_and_palettes_become_rgb(tmp_path: Path):
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "cmyk.tif")
    assert read_tiff(tmp_path / "cmyk.tif").pixels[0, 0].tolist() == [255, 0, 0]
    palette = Image.new("P", (4, 4))
    palette.putpalette([7, 8, 9])
    palette.save(tmp_path / "palette.tif")
    assert read_tiff(tmp_path / "palette.tif").pixels[0, 0].tolist() == [7, 8, 9]


def test_white_is_zero_is_inverted(tmp_path: Path):
    pixels = noise("uint16", 5, 6)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    found = read_tiff(tmp_path / "a.tif").pixels[..., 0]
    assert np.array_equal(found, 65535 - pixels)


def test_packed_deep_white_is_zero_is_refused(tmp_path: Path):
    image = Image.fromarray(noise("uint16", 5, 6))
    image.save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: 0})
    with pytest.raises(DataError, match="white is zero"):
        read_tiff(tmp_path / "a.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_that_of_pillow(tmp_path: Path, orientation: int):
    pixels = noise("uint8", 5, 7, 3)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / "plain.tif", exif=exif)
    Image.fromarray(pixels).save(
        tmp_path / "lzw.tif", exif=exif, compression="tiff_lzw"
    )
    found = read_tiff(tmp_path / "plain.tif").pixels
    assert found.shape == ((5, 7, 3) if orientation < 5 else (7, 5, 3))
    assert np.array_equal(found, read_tiff(tmp_path / "lzw.tif").pixels)


def test_premultiplied_alpha_is_refused_unless_full(tmp_path: Path):
    pixels = noise("uint16", 5, 6, 4)
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(DataError, match="expected straight alpha"):
        read_tiff(tmp_path / "a.tif")
    pixels[..., 3] = 65535
    tifffile.imwrite(tmp_path / "b.tif", pixels, **options)
    assert np.array_equal(read_tiff(tmp_path / "b.tif").pixels, pixels[..., :3])


def test_unnamed_extra_channel_is_dropped(tmp_path: Path):
    pixels = noise("uint8", 5, 6, 4)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"]
    )
    assert np.array_equal(read_tiff(tmp_path / "a.tif").pixels, pixels[..., :3])


def test_several_pages_are_refused(tmp_path: Path):
    tifffile.imwrite(
        tmp_path / "a.tif", noise("uint8", 3, 5, 6), photometric="minisblack"
    )
    with pytest.raises(DataError, match="expected a single picture, got 3 pages"):
        read_tiff(tmp_path / "a.tif")


def test_signed_integers_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.int16))
    with pytest.raises(DataError, match="got int16"):
        read_tiff(tmp_path / "a.tif")


def test_not_finite_is_refused(tmp_path: Path):
    pixels = noise("float32", 4, 5)
    pixels[2, 3] = np.inf
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(DataError, match=r"got 1 of 20 .* column 3, row 2"):
        read_tiff(tmp_path / "a.tif")
