"""Arithmetic of loops: a product and a sum are rounded once, in one width."""

import platform

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import njit
from numba.core.errors import TypingError

from tangrid.ops.lanes import fill_four, fma, fnma, load_four, mul, store
from tangrid.ops.loops import pointer


@njit
def added(a, b, c):
    return fma(a, b, c)


@njit
def subtracted(a, b, c):
    return fnma(a, b, c)


@njit
def four_scaled(numbers, start, factor, found):
    scaled = mul(load_four(pointer(numbers, 0), start), fill_four(factor))
    store(pointer(found, 0), start, scaled)


HAS_FMA = platform.machine() in ("arm64", "aarch64") or bool(
    get_host_cpu_features().get("fma")
)


@pytest.mark.skipif(not HAS_FMA, reason="this processor has no fused product and sum")
@pytest.mark.parametrize(("kind", "bits"), [(np.float32, 14), (np.float64, 30)])
def test_a_product_and_a_sum_are_rounded_once(kind: type, bits: int):
    above, below = kind(1 + 2.0**-bits), kind(1 - 2.0**-bits)
    # The product alone is rounded to 1.
    assert above * below == 1
    assert added(above, below, kind(-1)) == -(2.0 ** (-2 * bits))
    assert subtracted(above, below, kind(1)) == 2.0 ** (-2 * bits)


@pytest.mark.parametrize("function", [added, subtracted])
@pytest.mark.parametrize("third", [np.float32(1), 1])
def test_other_widths_are_not_converted(function: object, third: object):
    with pytest.raises(TypingError, match="expected three floats of one width"):
        function(1.0, 1.0, third)


@pytest.mark.parametrize("start", [0, 1, 5])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_four_numbers_are_read_and_written_anywhere(kind: type, start: int):
    """Memory need not begin where a register would like it to."""
    numbers = np.arange(1, 10, dtype=kind)
    found = np.zeros(9, dtype=kind)
    four_scaled(numbers, start, kind(3), found)
    expected = np.zeros(9, dtype=kind)
    expected[start : start + 4] = 3 * numbers[start : start + 4]
    assert found.tolist() == expected.tolist()
