import numpy as np
import pytest

from tangrid.reports.kernel_slices import relative_to_centre, slice_section
from tests.reports.fake_kernels import analysis_with, model_with, read_section


def test_maps_are_next_to_their_value_at_the_centre():
    values = np.arange(1.0, 17.0).reshape(4, 4)
    # From the left 0.6 of 4 columns, from the top 0.3 of 4 rows.
    relative = relative_to_centre(values, [0.6, 0.3])
    assert relative[1, 2] == 1.0
    np.testing.assert_allclose(relative, values / 7.0)


def test_a_line_has_its_centre_mid_of_the_map():
    values = np.tile(np.arange(1.0, 5.0), (4, 1))
    np.testing.assert_allclose(relative_to_centre(values, [0.3]), values / 2.0)


@pytest.mark.parametrize("centre", [None, [0.9], [1.0, 1.0]])
def test_without_a_value_at_the_centre_the_largest_counts(centre: list | None):
    values = np.array([[-4.0, 1.0], [2.0, 0.0]])
    np.testing.assert_allclose(relative_to_centre(values, centre), values / 4.0)
    np.testing.assert_array_equal(relative_to_centre(0 * values, centre), 0 * values)


def test_every_centre_has_its_ring_and_its_place():
    told = {"side": 4, "centres": [[0.5, 0.5], [0.25, 0.75]]}
    arrays = {"0/slice_map": np.ones((2, 4, 4)), "0/slice_map_grid": np.ones((1, 4, 4))}
    entry = {"model": "a", "kernels": {"all": {"x": 1}, "grid": {"x": 1}}}
    reader = read_section(
        slice_section(analysis_with(entry, arrays=arrays, slice=told))
    )
    rings = [it for it in reader.all("span") if it.get("class") == "ring"]
    assert [ring["style"] for ring in rings] == [
        "left:50.00%;top:50.00%",
        "left:25.00%;top:75.00%",
        "left:50.00%;top:50.00%",
    ]
    assert "(0.25, 0.75)" in reader.words()
    assert slice_section(analysis_with(entry)) is None


def test_it_says_which_plane_of_space_is_shown():
    arrays = {"0/slice_map": np.ones((1, 4, 4))}
    for dims, is_said in ((2, False), (3, True)):
        told = analysis_with(model_with(x=1), arrays=arrays, signal={"num_dims": dims})
        words = read_section(slice_section(told)).words()
        assert ("plane of the first two coordinates" in words) == is_said
