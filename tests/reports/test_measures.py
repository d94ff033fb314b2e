import math

import pytest

from tangrid.reports.measures import COST, QUALITY, duration, is_number


def test_numbers_have_their_digits():
    by_key = {measure.key: measure for measure in (*QUALITY, *COST)}
    metrics = {
        "psnr": 31.4159,
        "ssim": 0.98765,
        "params_trainable": 140288,
        "iou": None,
    }
    texts = {key: by_key[key].text(metrics) for key in (*metrics, "seconds")}
    assert texts == {
        "psnr": "31.42",
        "ssim": "0.9877",
        "params_trainable": "140,288",
        "iou": "\N{EN DASH}",
        "seconds": "\N{EN DASH}",
    }


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, ("0.0", "s")),
        (99.94, ("99.9", "s")),
        (100, ("1:40", "min")),
        (5999.4, ("99:59", "min")),
        (7260, ("2:01", "h")),
        (math.nan, ("\N{EN DASH}", "")),
        (None, ("\N{EN DASH}", "")),
    ],
)
def test_durations(seconds: float | None, expected: tuple[str, str]):
    assert duration(seconds) == expected


def test_only_finite_numbers_are_numbers():
    assert [is_number(value) for value in (1, 1.5, True, None, "1", math.inf)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
