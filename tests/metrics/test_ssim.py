import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from tangrid.errors import ShapeError
from tangrid.metrics.ssim import WINDOW, StructuralSimilarity, ssim


def golden(found: np.ndarray, target: np.ndarray) -> float:
    return structural_similarity(
        found.astype(np.float64),
        target.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=-1,
    )


def pair(height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(height)
    target = random.random((height, width, channels)).astype(np.float32)
    error = random.normal(0, 0.1, target.shape).astype(np.float32)
    return np.clip(target + error, 0, 1), target


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_photograph_equals_scikit_image(noise: float):
    target = (skimage.data.astronaut() / 255).astype(np.float32)
    error = np.random.default_rng(0).normal(0, noise, target.shape)
    found = np.clip(target + error, 0, 1).astype(np.float32)
    assert ssim(found, target) == pytest.approx(golden(found, target), abs=1e-10)


@pytest.mark.parametrize("shape", [(11, 11, 1), (11, 40, 3), (40, 11, 2), (64, 33, 4)])
def test_small_images_equal_scikit_image(shape: tuple[int, int, int]):
    found, target = pair(*shape)
    assert ssim(found, target) == pytest.approx(golden(found, target), abs=1e-10)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 59), max_size=20, unique=True))
def test_strips_give_the_whole(cuts: list[int]):
    found, target = pair(60, 13, 2)
    similarity = StructuralSimilarity()
    edges = [0, *sorted(cuts), 60]
    for start, stop in pairwise(edges):
        similarity = similarity.with_strip(found[start:stop], target[start:stop])
    assert similarity.count == 50 * 3 * 2
    assert similarity.ssim == pytest.approx(ssim(found, target), abs=1e-13)


def test_strips_inside_one_call_give_the_whole():
    found, target = pair(150, 30_000, 1)
    assert ssim(found, target) == pytest.approx(golden(found, target), abs=1e-10)


def test_large_image_takes_little_memory():
    found, target = pair(2000, 1000, 3)
    tracemalloc.start()
    try:
        ssim(found, target)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A dozen float64 copies of a strip of 2^20 values, not of 6e6 values.
    assert peak < 15 * 8 * 2**20


def test_equal_images_are_one_and_nan_is_nan():
    _, target = pair(20, 20, 3)
    assert ssim(target, target) == pytest.approx(1.0, abs=1e-12)
    broken = target.copy()
    broken[10, 10, 0] = np.nan
    assert math.isnan(ssim(broken, target))


def test_values_are_clipped():
    target = np.zeros((20, 20, 1), np.float32)
    target[:, 10:] = 1.0
    assert ssim(target * 9 - 4, target) == pytest.approx(1.0)


@pytest.mark.parametrize("shape", [(10, 40, 1), (40, 10, 1)])
def test_images_smaller_than_the_window_are_refused(shape: tuple[int, int, int]):
    found, target = pair(*shape)
    with pytest.raises(ShapeError, match=rf"at least {WINDOW} pixels .*, got 10\."):
        ssim(found, target)


def test_a_strip_of_another_image_is_refused():
    similarity = StructuralSimilarity().with_strip(*pair(20, 20, 3))
    with pytest.raises(ShapeError, match=r"\(20, 3\), got \(21, 3\)"):
        similarity.with_strip(*pair(20, 21, 3))
