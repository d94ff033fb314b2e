import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.signals.crop import Box, parse_crop

SIDES = st.integers(2, 5000)


@given(SIDES, SIDES, SIDES, SIDES)
def test_rectangle_at_a_corner_is_read_back(width: int, height: int, x: int, y: int):
    crop = parse_crop(f"{width}x{height}+{x}+{y}")
    box = crop.box(x + width, y + height)
    assert box == Box(x=x, y=y, width=width, height=height)


@given(SIDES, SIDES, st.integers(0, 100), st.integers(0, 100))
def test_centre_leaves_equal_margins(width: int, height: int, right: int, down: int):
    box = parse_crop(f"{width}x{height}").box(width + right, height + down)
    assert (box.width, box.height) == (width, height)
    assert 0 <= right - 2 * box.x <= 1
    assert 0 <= down - 2 * box.y <= 1


def test_one_number_is_a_square():
    assert parse_crop("256") == parse_crop("256x256")
    assert parse_crop("256+1+2") == parse_crop("256x256+1+2")


@given(st.text(max_size=20))
def test_any_text_is_read_or_explained(text: str):
    try:
        crop = parse_crop(text)
    except ConfigError as error:
        assert str(error).startswith("crop: expected")  # noqa: PT017
    else:
        assert min(crop.width, crop.height) >= 2


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "256x", "x192", "256X192", "-256", "2.5", "256x192+1"),
        *("256x192+1+-2", "256 x 192", "256x192x3", "٢٥٦", "9" * 10),
    ],
)
def test_other_forms_are_explained(text: str):
    with pytest.raises(ConfigError, match=r"Write for example 256, 256x192") as caught:
        parse_crop(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0", "1", "1x5", "5x1", "0x0+3+3"])
def test_too_small_is_explained(text: str):
    with pytest.raises(ConfigError, match="at least 2 pixels"):
        parse_crop(text)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("101x10", "got 101 x 10. "),
        ("10x51", "got 10 x 51. "),
        ("10x10+91+0", "got 10 x 10 at column 91, row 0. "),
        ("10x10+0+41", "got 10 x 10 at column 0, row 41. "),
    ],
)
def test_outside_is_explained(text: str, got: str):
    with pytest.raises(ConfigError, match="100 x 50 pixels") as caught:
        parse_crop(text).box(100, 50)
    assert got in str(caught.value)
