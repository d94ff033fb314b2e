import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.signals.colour import linear_from_srgb
from tangrid.signals.downscale import area_average, shrunk_bytes


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


@given(st.integers(1, 5), st.integers(10, 700), st.sampled_from([1, 2, 3, 4]))
def test_bytes_over_a_background_are_its_mean(factor: int, width: int, channels: int):
    rng = np.random.default_rng(width)
    pixels = rng.integers(0, 256, (12, width, channels), np.uint8)
    small = shrunk_bytes(pixels, factor, stored="srgb")
    assert small.dtype == np.uint8
    for background in (0.0, 1.0):
        fine, coarse = over(pixels, background), over(small, background)
        height, columns = coarse.shape[:2]
        squares = fine[: height * factor, : columns * factor]
        squares = squares.reshape(height, factor, columns, factor, -1)
        # Two roundings to 8 bits: of the colour, and of alpha.
        np.testing.assert_allclose(coarse, squares.mean((1, 3)), atol=1.01 / 255)


def over(pixels: np.ndarray, background: float) -> np.ndarray:
    values = pixels / 255
    if pixels.shape[2] in (1, 3):
        return values
    colour, alpha = values[..., :-1], values[..., -1:]
    return colour * alpha + (1 - alpha) * background


def test_what_is_transparent_has_no_colour():
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 1] = 200
    pixels[::2, :, 3] = 255
    pixels[::2, :, 0] = 100
    pixels[:2, :2, 3] = 0
    small = shrunk_bytes(pixels, 2, stored="srgb")
    assert small[0, 0].tolist() == [0, 0, 0, 0]
    assert small[1, 1].tolist() == [100, 200, 0, 128]


def test_deep_pixels_become_bytes():
    deep = np.array([[[0], [257 * 7]], [[65535], [257 * 9 + 100]]], np.uint16)
    assert shrunk_bytes(deep, 1, stored="srgb").ravel().tolist() == [0, 7, 255, 9]
    linear = np.array([[[0.0], [0.21587]], [[1.0], [7.0]]], np.float32)
    assert shrunk_bytes(linear, 1, stored="linear").ravel().tolist() == [
        0,
        128,
        255,
        255,
    ]
