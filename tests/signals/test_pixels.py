import numpy as np
import pytest

from tangrid.signals.colour import linear_from_srgb, srgb_from_linear
from tangrid.signals.pixels import num_colours, values_of


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_become_the_nearest_float(dtype: str):
    largest = np.iinfo(dtype).max
    numbers = np.arange(largest + 1, dtype=dtype)[:, None]
    values = values_of(numbers, stored="srgb", wanted="srgb")
    assert values.dtype == np.float32
    exact = np.arange(largest + 1) / largest
    assert np.abs(values[:, 0] - exact).max() <= np.finfo(np.float32).eps / 4
    assert np.array_equal(np.round(values * largest), numbers)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_linear_integers_follow_the_curve(dtype: str):
    numbers = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[:, None]
    values = values_of(numbers, stored="srgb", wanted="linear")
    exact = linear_from_srgb(numbers / np.iinfo(dtype).max)
    np.testing.assert_allclose(values, exact, rtol=1e-7)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_alpha_is_not_bent(channels: int, dtype: str):
    pixels = np.full((3, channels), 51, np.uint8)
    if dtype == "float32":
        pixels = (pixels / 255).astype(np.float32)
    values = values_of(pixels, stored="srgb", wanted="linear")
    assert values[:, -1] == pytest.approx(0.2)
    assert values[:, :-1] == pytest.approx(float(linear_from_srgb(np.array(0.2))))


def test_linear_floats_are_clipped_for_srgb():
    pixels = np.array([[-1.0], [0.5], [7.0]], np.float32)
    values = values_of(pixels, stored="linear", wanted="srgb").ravel()
    coded = float(srgb_from_linear(np.array(0.5)))
    assert values.tolist() == pytest.approx([0.0, coded, 1.0])
    assert pixels[0, 0] == -1.0


@pytest.mark.parametrize("wanted", ["srgb", "linear"])
def test_floats_as_wanted_are_copied(wanted: str):
    pixels = np.array([[-1.0], [7.0]], np.float32)
    values = values_of(pixels, stored=wanted, wanted=wanted)
    assert np.array_equal(values, pixels)
    assert not np.shares_memory(values, pixels)


def test_alpha_is_the_last_of_two_or_four():
    assert [num_colours(k) for k in range(1, 7)] == [1, 1, 3, 3, 5, 6]
