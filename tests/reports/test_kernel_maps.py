import base64
import io

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tangrid.reports.kernel_maps import (
    Scale,
    border,
    diverging_scale,
    framed_map,
    point_mark,
    positive_scale,
)
from tangrid.reports.pictures import Picture

INFINITY = float("inf")


def pixels(picture: Picture) -> np.ndarray:
    data = base64.b64decode(picture.uri.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def test_a_map_has_the_colours_of_its_numbers():
    values = np.array([[0.0, 0.5, 1.0], [-3.0, 9.0, 0.25]])
    shown = pixels(Scale(low=0.0, high=1.0, colours="viridis").picture(values))
    assert shown.shape == (2, 3, 4)
    expected = mpl.colormaps["viridis"](np.clip(values, 0, 1))[..., :3] * 255
    np.testing.assert_allclose(shown[..., :3], expected, atol=2)
    assert (shown[..., 3] == 255).all()


def test_what_is_not_finite_stays_empty():
    values = np.array([[np.nan, INFINITY, -INFINITY, 1.0]])
    shown = pixels(Scale(low=0.0, high=1.0, colours="viridis").picture(values))
    assert shown[0, :, 3].tolist() == [0, 0, 0, 255]


def test_equal_numbers_have_equal_colours_on_a_shared_scale():
    maps = [np.array([[1.0, 4.0]]), np.array([[2.0, 1.0]])]
    scale = positive_scale(maps)
    assert (scale.low, scale.high) == (0.0, 4.0)
    first, second = (pixels(scale.picture(values)) for values in maps)
    np.testing.assert_array_equal(first[0, 0], second[0, 1])
    assert (first[0, 0] != first[0, 1]).any()


def test_zero_is_the_middle_of_a_diverging_scale():
    scale = diverging_scale([np.array([[-1.0, INFINITY]]), np.array([[3.0, np.nan]])])
    assert (scale.low, scale.high) == (-3.0, 3.0)
    middle, below, above = pixels(scale.picture(np.array([[0.0, -2.0, 2.0]])))[0, :, :3]
    assert middle.min() > 235
    assert below[2] > below[0] + 60
    assert above[0] > above[2] + 60


@pytest.mark.parametrize("values", [[], [[0.0]], [[np.nan]]])
def test_scales_of_nothing_can_be_drawn(values: list):
    maps = [np.array([row]) for row in values]
    for scale in (positive_scale(maps), diverging_scale(maps)):
        assert scale.high > scale.low
        assert scale.picture(np.zeros((1, 1))).width == 1


def test_the_bar_says_what_its_ends_are():
    scale = Scale(low=-2.0, high=6.0, colours="RdBu_r", is_cut=True)
    bar = scale.bar("difference")
    assert "≤ \N{MINUS SIGN}2" in bar
    assert "≥ 6" in bar
    assert "left:25.0%" in bar
    assert "difference: colours from \N{MINUS SIGN}2 to 6" in bar
    assert "zero" not in positive_scale([]).bar("size")


def test_the_border_lies_where_the_sign_changes():
    # Zero halfway between the second and the third of four columns.
    values = np.tile(np.array([-3.0, -1.0, 1.0, 3.0]), (4, 1))
    line = border(values)
    assert line is not None
    assert 'viewBox="0 0 4 4"' in line
    points = line.split('d="M')[1].split('"')[0].split("L")
    assert {point.split()[0] for point in points} == {"2.00"}


@pytest.mark.parametrize(
    "values",
    [np.ones((3, 3)), np.zeros((1, 5)), np.full((3, 3), np.nan), np.zeros((3, 3))],
)
def test_without_a_change_of_sign_there_is_no_border(values: np.ndarray):
    assert border(values) is None


def test_axes_are_named_from_the_left_and_from_below():
    picture = positive_scale([]).picture(np.zeros((2, 2)))
    axes = {"across": ("x", "0", "1"), "up": ("y", "2", "3")}
    drawn = framed_map("caption", picture, "words", **axes)
    assert drawn.index(">x<") > drawn.index("<img")
    assert drawn.index(">y<") < drawn.index("<img")
    # From the top down, then from the left to the right.
    assert [drawn.index(f"<i>{tick}</i>") for tick in "3201"] == sorted(
        drawn.index(f"<i>{tick}</i>") for tick in "3201"
    )
    assert "plot" not in framed_map("caption", picture, "words")


def test_a_ring_stands_at_its_point():
    assert "left:25.00%;top:50.00%" in point_mark(0.25, 0.5)
