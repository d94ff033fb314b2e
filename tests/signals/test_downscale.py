import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.signals.colour import linear_from_srgb
from tangrid.signals.downscale import area_average


@given(st.integers(1, 5), st.integers(10, 40), st.integers(10, 40))
def test_every_pixel_is_the_mean_of_its_square(factor: int, height: int, width: int):
    pixels = np.random.default_rng(height).integers(
        0, 256, (height, width, 3), np.uint8
    )
    small = area_average(pixels, factor, stored="srgb", wanted="srgb")
    assert small.dtype == np.float32
    assert small.shape == (height // factor, width // factor, 3)
    y, x = small.shape[0] - 1, small.shape[1] - 1
    square = pixels[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
    np.testing.assert_allclose(small[y, x], square.mean((0, 1)) / 255, rtol=1e-6)


def test_averaging_is_done_in_the_wanted_space():
    pixels = np.tile(np.array([[[0], [188]]], np.uint8), (4, 2, 1))
    small = area_average(pixels, 2, stored="srgb", wanted="linear")
    light = linear_from_srgb(np.array(188 / 255))
    assert small == pytest.approx(light / 2, abs=1e-6)


@pytest.mark.parametrize("factor", [0, -2])
def test_factor_below_one_is_explained(factor: int):
    pixels = np.zeros((8, 8, 1), np.uint8)
    with pytest.raises(
        ConfigError, match=f"expected a whole number >= 1, got {factor}"
    ):
        area_average(pixels, factor, stored="srgb", wanted="srgb")


def test_too_large_a_factor_is_explained():
    pixels = np.zeros((7, 100, 1), np.uint8)
    with pytest.raises(ConfigError, match="got 25 x 1 from 100 x 7 with factor 4"):
        area_average(pixels, 4, stored="srgb", wanted="srgb")
