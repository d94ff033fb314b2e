import pytest

from tangrid.reports.per_view import (
    FEW,
    known_measures,
    score_words,
    scores_of,
    view_score_section,
)
from tests.reports.fake_scenes import score_rows
from tests.reports.page_reader import PageReader


def section_of(rows: list[dict]) -> PageReader:
    return PageReader(view_score_section({"per_view": rows}) or "")


def test_few_views_are_all_there_in_their_order():
    rows = score_rows(FEW, 0.04)
    reader = section_of(rows)
    words = reader.words()
    places = [words.index(f"{n + 1} {row['view']} ") for n, row in enumerate(rows)]
    assert places == sorted(places)
    assert len(reader.all("details")) == 0
    assert len(reader.all("tr")) == 1 + FEW


def test_of_many_views_the_extremes_are_shown_and_the_rest_is_folded():
    rows = score_rows(FEW + 1, 0.04)
    ranked = sorted(rows, key=lambda row: row["psnr"])
    words = section_of(rows).words()
    worst = words.index("The worst")
    assert worst < words.index(f"{ranked[0]['view']} ") < words.index("In the middle")
    assert words.index("The best") < words.rindex(ranked[-1]["view"])
    assert f"All {FEW + 1} views" in words
    assert words.count(ranked[FEW // 2]["view"] + " ") == 2


def test_scores_that_nobody_has_are_no_column():
    rows = score_rows(3, 0.04, has_ssim=False)
    keys = [measure.key for measure in known_measures(scores_of({"per_view": rows}))]
    assert keys == ["psnr", "psnr_8bit"]
    rows[0] |= {"ssim": 0.5, "lpips": 0.25}
    assert "SSIM LPIPS" not in section_of(score_rows(3, 0.04)).words()
    assert "0.5000 0.2500" in section_of(rows).words()


@pytest.mark.parametrize("metrics", [{}, {"per_view": None}, {"per_view": []}])
def test_without_views_there_is_nothing(metrics: dict):
    assert view_score_section(metrics) is None


def test_rows_without_numbers_are_shown_with_dashes():
    words = section_of([{"view": "a"}, {"view": "b", "psnr": None}, {"psnr": 20}])
    assert "3 3 20.00" in words.words()
    assert words.all("svg") == []
    assert score_words({"psnr": None}) == []
