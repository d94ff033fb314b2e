from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tangrid.errors import DataError
from tangrid.signals.formats.reading import read_picture
from tests.signals.formats.png_writer import header_only_png


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_missing_file(tmp_path: Path):
    with pytest.raises(DataError, match="got a path where there is none"):
        read_picture(tmp_path / "no.png")


def test_folder(tmp_path: Path):
    with pytest.raises(DataError, match="got a folder"):
        read_picture(tmp_path)


def test_device():
    with pytest.raises(DataError, match="got a device"):
        read_picture(Path("/dev/null"))


def test_empty_file(tmp_path: Path):
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="got an empty file"):
        read_picture(tmp_path / "a.png")


def test_other_file(tmp_path: Path):
    (tmp_path / "a.png").write_text("version https://git-lfs")
    with pytest.raises(DataError, match="starts with b'version https:"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "tif", "gif"])
def test_damaged_file(tmp_path: Path, ending: str, share: float):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise()).save(path)
    with pytest.raises(DataError, match=r"a\.\w+: expected"):
        read_picture(cut(path, share))


@pytest.mark.parametrize("size", [6, 200, 3000])
def test_damaged_deep_tiff(tmp_path: Path, size: int):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise().astype(np.uint16), photometric="rgb")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"a.tif: expected a whole picture"):
        read_picture(path)


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_damaged_exr(tmp_path: Path, share: float):
    openexr = pytest.importorskip("OpenEXR")
    path = tmp_path / "a.exr"
    pixels = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    with openexr.File({}, {"Y": pixels}) as file:
        file.write(str(path))
    with pytest.raises(DataError, match=r"a.exr: expected a whole picture"):
        read_picture(cut(path, share))


def test_huge_size_is_refused_before_decoding(tmp_path: Path):
    header_only_png(tmp_path / "a.png", 50_000, 50_000)
    with pytest.raises(DataError, match="got 50000 x 50000 = 2,500,000,000"):
        read_picture(tmp_path / "a.png")


def test_gigapixel_is_not_taken_for_a_bomb(tmp_path: Path):
    header_only_png(tmp_path / "a.png", 20_000, 10_000)
    with pytest.raises(DataError, match="expected a whole picture"):
        read_picture(tmp_path / "a.png")


def test_ending_does_not_matter(tmp_path: Path):
    pixels = noise()
    Image.fromarray(pixels).save(tmp_path / "a.tif", format="PNG")
    assert np.array_equal(read_picture(tmp_path / "a.tif").pixels, pixels)


def test_wide_picture(tmp_path: Path):
    pixels = np.zeros((3, 20_000), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").pixels.shape == (3, 20_000, 1)
