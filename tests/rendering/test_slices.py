import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.rendering.slices import slice_picture, slice_points
from tests.rendering.shapes import sphere


def test_rows_come_from_the_top_of_the_second_axis():
    for axis, (fixed, right, up) in {
        "x": (0, 2, 1),
        "y": (1, 0, 2),
        "z": (2, 0, 1),
    }.items():
        points = slice_points(axis, 0.25, 4).reshape(4, 4, 3)
        assert points.dtype == torch.float32
        assert bool((points[..., fixed] == 0.25).all())
        assert points[2, :, right].tolist() == [0.125, 0.375, 0.625, 0.875]
        assert points[:, 1, up].tolist() == [0.875, 0.625, 0.375, 0.125]


def ball(size: int) -> np.ndarray:
    points = slice_points("z", 0.5, size)
    return sphere(points, radius=0.31).reshape(size, size).numpy()


def test_outside_is_warm_and_inside_is_blue():
    values = ball(200)
    picture = slice_picture(values).astype(int)
    warmth = picture[..., 0] - picture[..., 2]
    assert warmth[values > 0.02].min() > 0
    assert warmth[values < -0.02].max() < 0


@pytest.mark.parametrize("size", [100, 400])
def test_the_surface_is_a_dark_line(size: int):
    values = ball(size)
    brightness = slice_picture(values).mean(-1)
    assert brightness[np.abs(values) < 0.3 / size].max() < 60
    # Three pixels on, it is over.
    near = np.abs(np.abs(values) - 3.5 / size) < 0.5 / size
    assert brightness[near].min() > 150


def test_lines_stand_at_multiples_of_the_spacing():
    x = (np.arange(400) + 0.5) / 400
    values = np.broadcast_to(x, (20, 400)) + 0.021
    row = slice_picture(values, spacing=0.1)[10].mean(-1)
    is_dip = (row[1:-1] <= row[:-2]) & (row[1:-1] < row[2:])
    is_dip &= (
        np.minimum(row[:-2] - row[1:-1], 40) + np.minimum(row[2:] - row[1:-1], 40) > 10
    )
    found = values[10, 1:-1][is_dip]
    np.testing.assert_allclose(found, np.arange(1, 11) / 10, atol=1.5 / 400)


def test_lines_are_as_wide_where_the_slope_is_another():
    x = (np.arange(400) + 0.5) / 400 - 0.5
    widths = []
    for slope in (0.5, 1.0, 2.0):
        row = slice_picture(np.broadcast_to(slope * x, (20, 400)))[10].mean(-1)
        widths.append(int((row < 100).sum()))
    assert widths[0] == widths[1] == widths[2] > 0


def test_close_lines_fade():
    x = (np.arange(100) + 0.5) / 100 + 1
    values = np.broadcast_to(x, (20, 100))
    plain = slice_picture(values, spacing=0.023)
    assert np.abs(np.diff(plain.astype(int), axis=1)).max() <= 3


def test_a_flat_distance_has_no_lines():
    picture = slice_picture(np.full((8, 8), 0.12, dtype=np.float32))
    assert (picture == picture[0, 0]).all()


def test_wrong_slices_are_refused():
    with pytest.raises((ConfigError, TypeCheckError), match="axis"):
        slice_points("w", 0.5, 4)
    with pytest.raises(ConfigError, match="position"):
        slice_points("x", 1.5, 4)
    with pytest.raises((ShapeError, TypeCheckError), match="values"):
        slice_picture(np.zeros(16))
    with pytest.raises(ConfigError, match="spacing"):
        slice_picture(np.zeros((4, 4)), spacing=0.0)
    with pytest.raises(NumericalError, match="finite"):
        slice_picture(np.full((4, 4), np.nan))
