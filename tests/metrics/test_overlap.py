from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ShapeError
from tangrid.metrics.overlap import Overlap


def pair(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.random(count) < 0.4, random.random(count) < 0.6


def iou_of(found: np.ndarray, wanted: np.ndarray) -> float:
    return Overlap().with_points(found, wanted).iou


@given(st.integers(0, 50), st.integers(0, 2**32 - 1))
def test_equals_the_definition_with_sets(count: int, seed: int):
    found, wanted = pair(count, seed)
    in_found, in_wanted = set(np.flatnonzero(found)), set(np.flatnonzero(wanted))
    either = in_found | in_wanted
    expected = len(in_found & in_wanted) / len(either) if either else 1.0
    assert iou_of(found, wanted) == expected
    assert iou_of(wanted, found) == expected
    overlap = Overlap().with_points(found, wanted)
    assert overlap.num_wrong == len(in_found ^ in_wanted)
    assert overlap.only_found == len(in_found - in_wanted)


def test_two_half_overlapping_intervals():
    x = (np.arange(3000) + 0.5) / 1000
    assert iou_of(x < 2, x > 1) == pytest.approx(1 / 3)


def test_empty_sets_agree_and_one_empty_set_does_not():
    empty, full = np.zeros(5, bool), np.ones(5, bool)
    assert iou_of(empty, empty) == 1.0
    assert iou_of(full, full) == 1.0
    assert iou_of(full, empty) == 0.0
    assert iou_of(empty, full) == 0.0
    assert Overlap().iou == 1.0
    assert Overlap().num_wrong == 0


@given(st.lists(st.integers(1, 99), max_size=6, unique=True))
def test_parts_give_the_whole(cuts: list[int]):
    found, wanted = pair(100)
    overlap = Overlap()
    for start, stop in pairwise([0, *sorted(cuts), 100]):
        overlap = overlap.with_points(found[start:stop], wanted[start:stop])
    assert overlap == Overlap().with_points(found, wanted)
    assert overlap.count == 100


def test_counts_are_plain_numbers():
    overlap = Overlap().with_points(*pair(10))
    assert type(overlap.both) is type(overlap.num_wrong) is int
    assert type(overlap.iou) is float


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ShapeError, match="one length"):
        iou_of(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ShapeError, match="one length"):
        iou_of(np.ones((3, 1), bool), np.ones((3, 1), bool))
    with pytest.raises(ShapeError, match="booleans"):
        iou_of(np.ones(3), np.ones(3, bool))
