from pathlib import Path

import numpy as np
import pytest

from tangrid.errors import DataError
from tangrid.signals.formats.picture import (
    MAX_FILE_PIXELS,
    check_finite,
    check_size,
    without_opaque_alpha,
)

FILE = Path("photo.png")


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (20, 1), (0, 5)])
def test_too_small_is_refused(size: tuple[int, int]):
    with pytest.raises(DataError, match=rf"photo.png: .* got {size[0]} x {size[1]}\."):
        check_size(FILE, *size)


@pytest.mark.parametrize("size", [(2, 2), (20000, 3), (56718, 21450)])
def test_odd_sizes_are_accepted(size: tuple[int, int]):
    check_size(FILE, *size)


def test_too_large_is_refused():
    with pytest.raises(DataError, match="expected at most 1,250,000,000 pixels"):
        check_size(FILE, MAX_FILE_PIXELS // 2 + 1, 2)


def test_first_bad_value_is_named_beyond_the_first_rows():
    pixels = np.zeros((600, 4, 3), np.float32)
    check_finite(FILE, pixels)
    pixels[517, 2, 1] = np.nan
    pixels[599, 0, 0] = np.inf
    with pytest.raises(
        DataError, match=r"got 2 of 7200 .* nan at column 2, row 517, channel 1"
    ):
        check_finite(FILE, pixels)


def test_alpha_is_only_in_two_and_four_channels():
    full = np.full((3, 3, 5), 255, np.uint8)
    shapes = [without_opaque_alpha(full[..., :k]).shape[2] for k in range(1, 6)]
    assert shapes == [1, 1, 3, 3, 5]


@pytest.mark.parametrize(("dtype", "full"), [("uint16", 65535), ("float32", 1.0)])
def test_full_alpha_depends_on_the_depth(dtype: str, full: float):
    pixels = np.full((3, 3, 4), full, dtype)
    assert without_opaque_alpha(pixels).shape == (3, 3, 3)
    pixels[1, 1, 3] /= 257
    assert without_opaque_alpha(pixels).shape == (3, 3, 4)
