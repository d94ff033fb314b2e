"""Why a candidate of a prediction has no place."""

import math

import pytest

from tangrid.runs.prediction_record import why_unranked


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"failed": "no memory"}, "no memory"),
        (
            {"windows": {"initial": [math.nan, 1.0], "lesson": [math.inf, 1.0]}},
            "the estimate initial is not finite in 1 of 2 windows",
        ),
        (
            {"windows": {"initial": [1.0], "kernel": None, "lesson": [None]}},
            "the estimate lesson is not finite in 1 of 1 windows",
        ),
        ({}, "nothing of it is estimated"),
    ],
)
def test_why_a_candidate_is_not_ranked(row: dict, words: str):
    assert why_unranked(row) == words
