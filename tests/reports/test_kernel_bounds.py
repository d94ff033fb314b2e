from pathlib import Path

import numpy as np
import pytest

from tangrid.reports.kernel_bounds import Difference, bound_section, differences
from tangrid.reports.kernel_entries import Analysis, Entry, Variant
from tangrid.reports.pictures import Picture
from tests.reports.page_reader import read_page
from tests.reports.test_kernel_maps import pixels

LABELS = [-1.0, 0.0, 1.0]
INFINITY = float("inf")


def variant(index: int, raw: np.ndarray, name: str = "bound_map") -> Variant:
    entry = Entry(values={"kernels": {"all": {"summary": {}}}}, arrays={name: raw})
    label = f"m{index}"
    return Variant(
        label=label, model=label, state="initial", index=index, entries=(entry,)
    )


def analysis(*variants: Variant, **pair: object) -> Analysis:
    kernel = {"pair": {"labels": LABELS} | pair}
    return Analysis(folder=Path(), kernel=kernel, variants=variants)


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    maps = {
        index: (variant(index, values), values)
        for index, values in enumerate((first, second))
    }
    (found,) = differences(maps)
    return found


def test_shares_count_who_is_lower_and_leave_ties_out():
    first = np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    second = np.array([[0.0, 2.0, 3.0], [4.0, 1.0, 9.0]])
    assert difference(first, second).shares == (0.8, 0.2)
    assert difference(first, first).shares is None


def test_what_cannot_be_fitted_by_both_counts_for_neither():
    first = np.array([[INFINITY, INFINITY, 1.0]])
    second = np.array([[INFINITY, 1.0, INFINITY]])
    assert difference(first, second).shares == (0.5, 0.5)


def test_maps_of_other_labels_are_not_compared():
    maps = {i: (variant(i, np.ones((i, i))), np.ones((i, i))) for i in (2, 3)}
    assert differences(maps) == []


def test_the_first_label_goes_to_the_right_and_the_second_upwards():
    # Largest for the labels Y1 = 1 and Y2 = -1: on the right, at the bottom.
    raw = np.zeros((3, 3))
    raw[2, 0] = 7.0
    reader = read_page(str(bound_section(analysis(variant(0, raw)))))
    (image,) = reader.all("img")
    shown = pixels(Picture(uri=image["src"], width=3, height=3))[..., 0]
    assert np.unravel_index(shown.argmax(), shown.shape) == (2, 2)
    assert (shown == shown.max()).sum() == 1
    assert "largest 7" in reader.words()


def test_each_pair_says_for_how_many_labels_each_is_lower():
    ones = np.ones((3, 3))
    higher = ones.copy()
    higher[:2] = 2.0
    section = bound_section(analysis(variant(0, ones), variant(1, higher)))
    assert "lower for 100 % and 0 % of labels" in read_page(str(section)).words()


@pytest.mark.parametrize(("count", "pairs"), [(1, 0), (2, 1), (4, 6), (5, 4)])
def test_pairs_are_few_enough_to_look_at(count: int, pairs: int):
    shown = [variant(index, np.full((3, 3), 1.0 + index)) for index in range(count)]
    reader = read_page(str(bound_section(analysis(*shown))))
    assert len(reader.all("img")) == count + pairs
    # Beyond that, a table has them all.
    assert len(reader.all("table")) == (count > 4)


def test_both_forms_have_scales_of_their_own():
    entry = Entry(
        values={"kernels": {"all": {"x": 1}}},
        arrays={"bound_map": np.ones((3, 3)), "bound_map_trace": np.full((3, 3), 5.0)},
    )
    one = Variant(label="m", model="m", state="initial", index=0, entries=(entry,))
    words = read_page(str(bound_section(analysis(one)))).words()
    assert "Raw, as published" in words
    assert "Trace-normalised" in words
    assert "largest 1 " in words
    assert "largest 5 " in words


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ({"distance_in_pixels": 8.0}, "The points are 8 pixels apart."),
        ({"distance": 0.125}, "The points are 0.125 sides of the box apart."),
    ],
)
def test_it_says_how_far_the_points_are_apart(pair: dict, words: str):
    section = bound_section(analysis(variant(0, np.ones((3, 3))), **pair))
    assert words in read_page(str(section)).words()


def test_without_maps_there_is_no_section():
    assert bound_section(analysis(variant(0, np.ones((3, 3)), name="other"))) is None
    assert bound_section(analysis()) is None
