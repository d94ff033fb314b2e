import math

import numpy as np
import pytest

from tangrid.metrics.mae import AbsoluteError, mae


def test_is_the_mean_of_clipped_differences():
    target = np.array([[[0.0], [1.0]], [[0.5], [0.5]]], np.float32)
    found = np.array([[[0.5], [9.0]], [[0.25], [-9.0]]], np.float32)
    assert mae(found, target) == pytest.approx((0.5 + 0.0 + 0.25 + 0.5) / 4)


def test_strips_give_the_whole():
    random = np.random.default_rng(0)
    found, target = random.random((2, 1100, 1000, 1)).astype(np.float32)
    error = AbsoluteError()
    for start in range(0, 1100, 300):
        rows = slice(start, start + 300)
        error = error.with_strip(found[rows], target[rows])
    expected = np.abs(found.astype(np.float64) - target).mean()
    assert error.mae == pytest.approx(expected, rel=1e-12)
    assert mae(found, target) == pytest.approx(expected, rel=1e-12)


def test_nothing_seen_is_no_number():
    assert math.isnan(AbsoluteError().mae)
