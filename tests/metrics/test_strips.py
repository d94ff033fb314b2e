import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ShapeError
from tangrid.metrics.strips import check_same_shape, clipped, strips


@given(st.integers(1, 10_000), st.integers(1, 60_000), st.integers(1, 4))
def test_strips_are_the_whole_image(height: int, width: int, channels: int):
    found = list(strips((height, width, channels)))
    assert [strip.start for strip in found] == [0, *(s.stop for s in found[:-1])]
    assert found[-1].stop == height
    for strip in found:
        rows = strip.stop - strip.start
        assert rows == 1 or rows * width * channels <= 2**20


def test_clipped_is_a_copy_that_keeps_nan():
    image = np.array([[[-1.0, 0.25, 3.0, np.nan]]], np.float32)
    found = clipped(image)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[[0.0, 0.25, 1.0, np.nan]]])
    assert image[0, 0, 0] == -1.0


@pytest.mark.parametrize("shapes", [((4, 5, 3), (4, 5, 1)), ((4, 5), (4, 5))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], ...]):
    with pytest.raises(ShapeError, match=r"psnr: expected two images of one shape"):
        check_same_shape("psnr", np.zeros(shapes[0]), np.zeros(shapes[1]))
