import pytest

from tangrid.reports.shape_words import how_to_read_slices, is_shape, unit_of_lengths


def test_only_shapes_are_shapes():
    assert is_shape({"kind": "shape"})
    assert not is_shape({})


def test_lines_of_slices_have_their_spacing():
    assert "levels of the distance every 0.05." in how_to_read_slices({
        "slice_spacing": 0.05
    })
    assert "levels of the distance." in how_to_read_slices({})


@pytest.mark.parametrize(("side", "words"), [(0.19, "0.19"), (1234.56, "1,235")])
def test_lengths_have_a_unit(side: float, words: str):
    assert f"whose side is {words} in the mesh" in unit_of_lengths({"box_side": side})
    assert unit_of_lengths({"box_side": None}) == "Lengths are in units of the box."
