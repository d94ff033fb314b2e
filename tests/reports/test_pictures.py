import base64
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tangrid.reports.pictures import (
    THUMBNAIL,
    Place,
    colour_bar,
    embed,
    embed_crop,
    embed_small,
    place_mark,
    worst_places,
)

MODES = ["RGB", "RGBA", "L", "P", "1", "I;16"]


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (30, 20)) -> Path:
    Image.new(mode, size).save(path)
    return path


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def place(left: int, top: int, width: int, height: int, error: float = 0.1) -> Place:
    return Place(
        left=left,
        top=top,
        width=width,
        height=height,
        signal_size=(30, 20),
        error=error,
    )


@pytest.mark.parametrize("mode", MODES)
def test_pictures_of_every_mode_are_shown(tmp_path: Path, mode: str):
    path = save(tmp_path / "x.png", mode, (700, 300))
    whole, small = embed(path), embed_small(path)
    assert (whole.width, whole.height) == (700, 300)
    assert (
        whole.uri
        == f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    )
    assert max(small.width, small.height) == THUMBNAIL
    assert decoded(small.uri).size == (small.width, small.height)
    assert decoded(embed_crop(path, place(0, 0, 30, 20)).uri).size == (700, 300)


def test_small_pictures_are_embedded_as_they_are(tmp_path: Path):
    path = save(tmp_path / "x.png")
    assert embed_small(path) == embed(path)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", None])
def test_a_damaged_picture_is_left_out(tmp_path: Path, data: bytes | None):
    path = tmp_path / "x.png"
    if data is not None:
        path.write_bytes(data)
    assert embed(path) is None
    assert embed_small(path) is None
    assert embed_crop(path, place(0, 0, 3, 3)) is None


def test_half_a_picture_is_left_out(tmp_path: Path):
    path = save(tmp_path / "x.png", size=(300, 200))
    path.write_bytes(path.read_bytes()[:-40])
    assert embed(path) is None


def test_a_picture_that_changed_is_read_again(tmp_path: Path):
    path = save(tmp_path / "x.png")
    assert embed(path).width == 30
    save(path, size=(40, 20))
    assert embed(path).width == 40


def test_a_crop_shows_the_pixels_of_its_place(tmp_path: Path):
    pixels = np.arange(30 * 20 * 3).reshape(20, 30, 3) % 256
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "x.png")
    crop = embed_crop(tmp_path / "x.png", place(4, 5, 6, 7))
    assert np.array_equal(np.asarray(decoded(crop.uri)), pixels[5:12, 4:10])


@given(st.integers(0, 29), st.integers(0, 19), st.integers(1, 30), st.integers(1, 20))
def test_crops_of_smaller_pictures_are_never_empty(
    tmp_path_factory: pytest.TempPathFactory,
    left: int,
    top: int,
    width: int,
    height: int,
):
    path = tmp_path_factory.getbasetemp() / "small.png"
    if not path.exists():
        save(path, size=(3, 2))
    crop = embed_crop(path, place(left, top, width, height))
    assert crop.width >= 1
    assert crop.height >= 1


def test_small_pictures_show_their_pixels(tmp_path: Path):
    small = embed(save(tmp_path / "a.png")).img("words")
    large = embed(save(tmp_path / "b.png", size=(300, 20))).img("words")
    assert "pixelated" in small
    assert "pixelated" not in large
    assert 'alt="words"' in large


def test_the_colour_bar_says_its_scale():
    bar = colour_bar({"error_scale": 0.25})
    assert "≥ 0.25" in bar
    assert "#000004" in bar
    assert "#440154" in colour_bar({"error_scale": 1, "error_colormap": "viridis"})
    assert "#000004" in colour_bar({"error_scale": 1, "error_colormap": "<b>"})
    assert colour_bar({}) is None
    assert colour_bar({"error_scale": None}) is None


def test_places_are_read_with_their_signal():
    box = {"x": 1, "y": 2, "width": 3, "height": 4, "mae": 0.5}
    pictures = {"width": 30, "height": 20, "crops": [box]}
    assert worst_places(pictures) == [place(1, 2, 3, 4, 0.5)]
    assert worst_places({"crops": [box]}) == []
    assert worst_places({"width": 30, "height": 20}) == []


def test_places_overlap_where_they_share_a_pixel():
    assert place(0, 0, 4, 4).overlaps(place(3, 3, 4, 4))
    assert not place(0, 0, 4, 4).overlaps(place(4, 0, 4, 4))
    assert not place(0, 0, 4, 4).overlaps(place(0, 4, 4, 4))


def test_a_mark_lies_over_its_place():
    mark = place_mark(place(15, 5, 3, 4), "1")
    assert "left:50.000%;top:25.000%;width:10.000%;height:20.000%" in mark
    assert "inside" in place_mark(place(0, 0, 3, 4), "1")


@pytest.mark.parametrize("size", [(100, 100), (600, 300)])
def test_a_smaller_copy_stays_transparent(tmp_path: Path, size: tuple[int, int]):
    image = Image.new("RGBA", size, (200, 40, 20, 0))
    image.paste((200, 40, 20, 255), (0, 0, size[0] // 2, size[1]))
    image.save(tmp_path / "a.png")
    picture = embed_small(tmp_path / "a.png")
    assert picture is not None
    copy = Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1])))
    assert copy.size == (picture.width, picture.height)
    assert max(copy.size) <= 480
    alpha = np.asarray(copy.convert("RGBA"))[..., 3]
    assert alpha[:, 0].min() == 255
    assert alpha[:, -1].max() == 0
