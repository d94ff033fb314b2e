"""The study of predictions: what it asks for, how agreement is counted, its rows."""

import math

import pytest

from papers.predictions.agreement import agreement, cases, pooled, predictions
from papers.predictions.render import markdown, scatter
from papers.predictions.study import RESULTS, read_results, read_rounds
from tangrid.experiments.predict_candidate import SMALLEST, WEIGHTS
from tangrid.presets import find_model
from tests.tolerances import LINEAR_ALGEBRA

ROUNDS = {name: read_results(asked) for name, asked in read_rounds().items()}
SHORT = ROUNDS["short"]


def test_every_candidate_is_a_model_and_every_row_is_there():
    for entrant in SHORT.asked.entrants.values():
        assert find_model(entrant.model)
    assert len(SHORT.asked.keys) == 3 * 9 * 17
    assert set(SHORT.asked.keys) == set(SHORT.trained) == set(SHORT.predicted)


def test_the_rows_hold_the_prediction_of_today():
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    for row in SHORT.predicted.values():
        found = [
            math.prod(
                # A window of one colour may be predicted without any error.
                max(row[name][window], SMALLEST) ** weight
                for name, weight in WEIGHTS.items()
            )
            for window in range(len(row["predicted"]))
        ]
        assert row["predicted"] == pytest.approx(found, rel=LINEAR_ALGEBRA)


def test_the_page_is_that_of_the_rows():
    page = markdown(ROUNDS)
    assert (RESULTS / "study.md").read_text() == f"{page}\n"


def test_agreement_counts_what_choosing_by_a_prediction_costs():
    real = {"fourier-1": 20.0, "fourier-2": 22.0, "grid": 25.0}
    assert agreement(real, real).regret == 0
    assert agreement(real, real).rank_correlation == pytest.approx(1)
    wrong = agreement({"fourier-1": 23.0, "fourier-2": 21.0, "grid": 20.0}, real)
    assert wrong.rank_correlation == pytest.approx(-1)
    assert (wrong.regret, wrong.error) == (5, 3)
    assert wrong.bandwidth_regret == 2


def test_seeds_together_have_the_windows_of_all():
    there = cases(SHORT)
    together = pooled(there)
    assert len(there) == 27
    assert [seeds for _, seeds in together] == [(0, 1, 2)] * 9
    found = predictions(SHORT, together[0], "predicted")
    assert set(found) == set(SHORT.asked.entrants)


def test_the_scatter_is_drawn(tmp_path):
    scatter(SHORT, tmp_path / "scatter.png")
    assert (tmp_path / "scatter.png").stat().st_size > 10_000
