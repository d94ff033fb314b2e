import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from tangrid.metrics.psnr import SquaredError, psnr, psnr_8bit


def pair(*shape: int, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    target = random.integers(0, 256, shape).astype(np.float32) / np.float32(255)
    error = random.normal(0, noise, shape).astype(np.float32)
    return target + error, target


@pytest.mark.parametrize("shape", [(30, 20, 1), (33, 47, 3), (1100, 1000, 1)])
def test_equals_scikit_image(shape: tuple[int, ...]):
    found, target = pair(*shape)
    expected = peak_signal_noise_ratio(
        target.astype(np.float64), np.clip(found, 0, 1).astype(np.float64), data_range=1
    )
    assert psnr(found, target) == pytest.approx(expected, abs=1e-10)


def test_eight_bits_are_those_of_a_saved_picture():
    found, target = pair(40, 50, 3)
    saved = np.round(np.clip(found, 0, 1).astype(np.float64) * 255).astype(np.uint8)
    expected = peak_signal_noise_ratio(np.round(target * 255).astype(np.uint8), saved)
    assert psnr_8bit(found, target) == pytest.approx(expected, abs=1e-5)


def test_rounding_decides_at_sixty_decibels_and_not_at_thirty():
    found, target = pair(400, 400, 1, noise=10 ** (-62 / 20))
    assert psnr_8bit(found, target) > psnr(found, target) + 4
    found, target = pair(400, 400, 1, noise=10 ** (-30 / 20))
    assert abs(psnr_8bit(found, target) - psnr(found, target)) < 0.05


def test_values_beyond_the_screen_count_as_its_ends():
    target = np.ones((4, 4, 1), np.float32)
    assert psnr(target + 5, target) == pytest.approx(300)
    assert psnr(target - 5, target) == 0.0


def test_equal_images_have_a_finite_score_and_nan_is_nan():
    _, target = pair(4, 4, 3)
    assert psnr(target, target) == pytest.approx(300)
    broken = target.copy()
    broken[1, 1, 1] = np.nan
    assert math.isnan(psnr(broken, target))
    assert math.isnan(psnr_8bit(broken, target))


@given(st.lists(st.integers(1, 59), max_size=6, unique=True), st.booleans())
def test_strips_give_the_whole(cuts: list[int], eight_bits: bool):
    found, target = pair(60, 7, 3)
    error = SquaredError(eight_bits=eight_bits)
    edges = [0, *sorted(cuts), 60]
    for start, stop in pairwise(edges):
        error = error.with_strip(found[start:stop], target[start:stop])
    whole = psnr_8bit(found, target) if eight_bits else psnr(found, target)
    assert error.psnr == pytest.approx(whole, abs=1e-10)
    assert error.count == 60 * 7 * 3


def test_nothing_seen_is_no_number():
    assert math.isnan(SquaredError().psnr)
