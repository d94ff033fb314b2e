"""The page of a prediction: what it says, and what it does not claim."""

from pathlib import Path

import pytest

from tangrid.errors import DataError
from tangrid.reports.measures import MISSING
from tangrid.reports.prediction_report import write_prediction_report
from tests.reports.fake_predictions import row, save_measured, save_prediction
from tests.reports.page_reader import PageReader, read_page


def page_of(folder: Path) -> PageReader:
    return read_page(write_prediction_report(folder).read_text())


def test_a_ranking_is_told(tmp_path: Path):
    page = page_of(save_prediction(tmp_path / "run"))
    words = page.words()
    assert "4 candidates on photo" in words
    assert "1 siren 30.00 ± 1.25 0.00 ± 0.00 28.00 20,000 1.5" in words
    assert "fourier-mlp sigma=8 28.00 ± 1.25 2.00 ± 0.25" in words
    assert "wild: it diverged" in words
    assert "initial (0.2), kernel (0.2) and lesson (0.6)" in words
    assert "<b>odd</b>" in words


def test_sections_and_figures_are_there(tmp_path: Path):
    page = page_of(save_prediction(tmp_path / "run"))
    words = page.words()
    for title in (
        "Ranking", "Estimates", "What is predicted and what is not",
        "Predicted training", "Spectra and ridges", "Diagnostics (do not rank)",
        "Repeat this prediction",
    ):  # fmt: skip
        assert title in words
    assert "Predicted and measured" not in words
    drawn = [drawing["aria-label"] for drawing in page.all("svg")]
    assert len(drawn) == 4
    assert drawn[0].startswith("Candidates by predicted PSNR: siren, fourier-mlp")


def test_what_does_not_rank_says_so(tmp_path: Path):
    words = page_of(save_prediction(tmp_path / "run")).words()
    assert "they do not rank, and the ranking above does not use them" in words
    assert "these curves do not rank" in words
    assert f"siren 40.5 12 rounding 0.3 1.9 0.7 {MISSING} 12 %" in words


def test_more_lines_than_there_are_colours_are_not_drawn(tmp_path: Path):
    rows = [row(f"model {place}", place, 30 - place) for place in range(1, 11)]
    words = page_of(save_prediction(tmp_path / "run", rows=rows[::-1])).words()
    # In the legends of two sections; the tables have all.
    assert words.count("The lines are those of the first 8 of 10 candidates.") == 2
    assert words.count("model 8") == words.count("model 9") + 2


def test_what_fits_reached_stands_beside(tmp_path: Path):
    folder = save_prediction(tmp_path / "run")
    save_measured(folder)
    page = page_of(folder)
    words = page.words()
    assert "Predicted and measured" in words
    assert "rank correlation is 1.00 (0.50 by the untouched kernel alone)" in words
    assert "costs 0.25 dB" in words
    assert "Not trained: fourier-mlp sigma=8." in words
    assert len(page.all("svg")) == 4 + 1 + 2


def test_distances_are_in_sides_of_the_box(tmp_path: Path):
    words = page_of(save_prediction(tmp_path / "run", unit="error")).words()
    assert "Predicted error, box sides" in words
    assert "1 siren 0.0316 ± 0.00351" in words
    assert "Volume, surface and normals" in words
    assert "PSNR" not in words


def test_one_that_did_not_finish_says_how_far_it_came(tmp_path: Path):
    folder = save_prediction(tmp_path / "run", is_finished=False)
    assert "4 of 4 candidates were looked at." in page_of(folder).words()


def test_nothing_yet(tmp_path: Path):
    folder = save_prediction(tmp_path / "run", rows=[], is_finished=False)
    words = page_of(folder).words()
    assert "This prediction did not finish." in words
    assert "Ranking" not in words


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(DataError):
        write_prediction_report(tmp_path)
