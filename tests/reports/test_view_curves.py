import re

import pytest

from tangrid.reports.curves import Series
from tangrid.reports.markup import join
from tangrid.reports.view_curves import Dots, samples_curve, scene_figures, view_plot
from tests.reports.page_reader import PageReader


def lines(*counts: object) -> list[dict]:
    return [
        {"step": step, "seconds": step / 10, "psnr": 20.0, "samples_per_ray": count}
        for step, count in enumerate(counts, start=1)
    ]


def test_samples_that_were_not_logged_are_not_drawn():
    assert samples_curve([]) is None
    assert samples_curve([Series(name="m", lines=lines(None, 0.0))]) is None
    assert samples_curve([Series(name="m", lines=[{"samples_per_ray": 3.0}])]) is None
    assert "Samples per ray against step: m" in str(
        samples_curve([Series(name="m", lines=lines(192.0, 11.0))])
    )


@pytest.mark.parametrize(
    ("low", "high"), [(11, 11), (0.02, 0.03), (30, 33), (10, 190), (1, 1e5)]
)
def test_the_axis_of_samples_has_a_label(low: float, high: float):
    drawing = str(samples_curve([Series(name="m", lines=lines(low, high))]))
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", drawing)
    assert len([text for text in texts if text not in ("1", "2")]) >= 2 + 1


def test_tests_are_dots_and_the_end_is_a_diamond():
    logged = lines(5.0, 5.0, 5.0)
    plain = [Series(name="m", lines=logged)]
    (bare, *_), no_words = scene_figures(plain), words_of(plain)
    assert "Dots" not in no_words
    logged[1]["test_psnr"] = 18.0
    with_tests = [Series(name="m", lines=logged)]
    ended = [Series(name="m", lines=logged, final_psnr=19.0)]
    assert "Dots" in words_of(with_tests)
    assert "Diamond" not in words_of(with_tests)
    assert "Diamond" in words_of(ended)
    marks = [str(scene_figures(it)[0]).count("<use") for it in (with_tests, ended)]
    assert marks[1] == marks[0] + 1 > str(bare).count("<use") + 1


def words_of(series: list[Series]) -> str:
    return PageReader(join(scene_figures(series))).words()


def test_every_view_is_a_dot():
    points = [(float(number), 30.0 + number) for number in range(1, 8)]
    drawings = [
        str(view_plot([Dots(points=points[:count])], "dB", "PSNR", level=32.0))
        for count in (3, 7)
    ]
    few, many = (drawing.count("<use") for drawing in drawings)
    assert many - few >= 4
    assert "var(--c0)" in drawings[0]
