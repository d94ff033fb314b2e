import numpy as np
import pytest

from tangrid.signals.colour import linear_from_srgb, srgb_from_linear


@pytest.mark.parametrize(
    ("coded", "linear"),
    [
        (0.0, 0.0),
        (0.04045, 0.04045 / 12.92),
        (0.5, 0.21404114),
        (0.73535698, 0.5),
        (1.0, 1.0),
    ],
)
def test_known_values(coded: float, linear: float):
    assert linear_from_srgb(np.array(coded)) == pytest.approx(linear, abs=1e-8)
    assert srgb_from_linear(np.array(linear)) == pytest.approx(coded, abs=1e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-7)])
def test_functions_undo_each_other(dtype: str, tolerance: float):
    values = np.linspace(-0.5, 4.0, 10_001, dtype=dtype)
    there = linear_from_srgb(values)
    assert there.dtype == dtype
    assert np.all(np.diff(there) > 0)
    np.testing.assert_allclose(srgb_from_linear(there), values, atol=4 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_black_and_white_stay(dtype: str):
    ends = np.array([0.0, 1.0], dtype)
    assert srgb_from_linear(ends).tolist() == [0.0, 1.0]
    assert linear_from_srgb(ends).tolist() == [0.0, 1.0]


def test_every_eight_bit_value_survives():
    numbers = np.arange(256)
    coded = (numbers / 255).astype(np.float32)
    back = srgb_from_linear(linear_from_srgb(coded))
    assert np.array_equal(np.round(back * 255), numbers)
