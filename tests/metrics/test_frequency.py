import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ShapeError
from tangrid.metrics.frequency import centre_of, power_spectra


def wave(height: int, width: int, down: float, right: float) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    values = 0.5 + 0.5 * np.cos(2 * np.pi * (down * y + right * x))
    return values[..., None].astype(np.float32)


@pytest.mark.parametrize(
    ("down", "right"), [(0.0, 0.1), (0.33, 0.0), (0.2, 0.2), (-0.1, 0.3)]
)
@pytest.mark.parametrize("size", [(200, 200), (120, 301)])
def test_a_wave_has_its_power_at_its_frequency(
    size: tuple[int, int], down: float, right: float
):
    target = wave(*size, down, right)
    spectra = power_spectra(target, target, num_rings=50)
    strongest = spectra.cycles_per_pixel[spectra.target_power.argmax()]
    assert strongest == pytest.approx(np.hypot(down, right), abs=0.0101)
    assert np.array_equal(spectra.error_power, np.zeros_like(spectra.target_power))


@pytest.mark.parametrize("size", [(256, 256), (255, 180), (130, 401)])
def test_white_noise_has_its_variance_everywhere(size: tuple[int, int]):
    noise = np.random.default_rng(0).normal(0.5, 0.2, (*size, 3)).astype(np.float32)
    spectra = power_spectra(np.zeros_like(noise), noise, num_rings=8)
    assert spectra.error_power == pytest.approx(np.full(8, 0.04), rel=0.15)
    np.testing.assert_allclose(spectra.error_power, spectra.target_power, rtol=1e-6)


def test_blur_lacks_what_is_fine():
    random = np.random.default_rng(0)
    target = random.random((128, 128, 1)).astype(np.float32)
    blurred = sum(np.roll(target, k, axis) for k in (-1, 0, 1) for axis in (0, 1)) / 6
    spectra = power_spectra(blurred.astype(np.float32), target, num_rings=16)
    share = spectra.error_power / spectra.target_power
    assert share[0] < 0.05
    assert share[-1] > 0.5


def test_a_constant_has_no_power():
    flat = np.full((40, 40, 3), 0.7, np.float32)
    assert power_spectra(flat, flat).target_power.max() < 1e-12


def test_only_the_centre_is_judged():
    target = wave(100, 140, 0.0, 0.25)
    centre = target[20:80, 40:100]
    whole = power_spectra(target * 0, target, max_side=60)
    part = power_spectra(centre * 0, centre)
    assert whole.centre == (40, 20, 60, 60)
    assert part.centre == (0, 0, 60, 60)
    assert np.array_equal(whole.target_power, part.target_power)


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 80))
def test_rings_ascend_and_are_never_empty(height: int, width: int, rings: int):
    target = np.random.default_rng(0).random((height, width, 1)).astype(np.float32)
    spectra = power_spectra(target * 0, target, num_rings=rings)
    frequencies = spectra.cycles_per_pixel
    assert 1 <= len(frequencies) <= min(rings, height // 2, width // 2)
    assert np.all(np.diff(frequencies) > 0)
    assert 0 < frequencies[0] <= frequencies[-1] < 0.5
    assert np.isfinite(spectra.target_power).all()
    assert spectra.target_power.min() > 0


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_centre_lies_inside(width: int, height: int):
    x, y, inner_width, inner_height = centre_of(width, height)
    assert (inner_width, inner_height) == (min(width, 2048), min(height, 2048))
    assert 0 <= width - inner_width - 2 * x <= 1
    assert 0 <= height - inner_height - 2 * y <= 1


def test_tiny_images_are_refused():
    tiny = np.zeros((7, 90, 1), np.float32)
    with pytest.raises(ShapeError, match="at least 8 pixels on each side, got 90 x 7"):
        power_spectra(tiny, tiny)
