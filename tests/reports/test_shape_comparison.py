import json
from pathlib import Path

import pytest

from tangrid.reports import write_compare_report, write_fit_report
from tests.reports.fake_shapes import (
    empty_the_level_set,
    write_shape_comparison,
)
from tests.reports.page_reader import PageReader, read_page


def read_report(folder: Path) -> PageReader:
    return read_page(write_compare_report(folder).read_text(encoding="utf-8"))


def test_two_models_stand_side_by_side(tmp_path: Path):
    write_shape_comparison(tmp_path)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "neurbf and mulfagrid on bunny" in words
    assert "Normal error, ° Chamfer L1 SDF error" in words
    assert "neurbf IoU 0.9940 · 1.92°" in words
    alts = [image["alt"] for image in reader.all("img")]
    assert alts[:5] == [
        "Truth, front",
        "Fit of neurbf, front",
        "Fit of mulfagrid, front",
        "Error of neurbf, front",
        "Error of mulfagrid, front",
    ]
    assert len(alts) == 3 * 5 + 2 * 3
    labels = [drawing["aria-label"] for drawing in reader.all("svg")]
    assert labels[0] == "Training loss against step: neurbf, mulfagrid"
    assert words.count("≥ 0.002") == 3


def test_the_best_model_is_bold(tmp_path: Path):
    write_shape_comparison(tmp_path)
    page = write_compare_report(tmp_path).read_text(encoding="utf-8")
    assert "IoU <strong>0.9970</strong>" in page
    assert "<strong>0.96</strong>°" in page


def test_signals_and_seeds_are_averaged(tmp_path: Path):
    write_shape_comparison(tmp_path, signals=("bunny", "armadillo"), seeds=(0, 1))
    reader = read_report(tmp_path)
    words = reader.words()
    assert "neurbf and mulfagrid on 2 signals" in words
    assert "Pictures are those of seed 0" in words
    assert "0.000094 ± 0.000003" in words
    assert len(reader.all("img")) == 2 * (3 * 5 + 2 * 3)


def test_a_model_without_a_surface_is_named(tmp_path: Path):
    write_shape_comparison(tmp_path)
    empty_the_level_set(tmp_path / "runs" / "0-neurbf", "There is none.")
    reader = read_report(tmp_path)
    alts = [image["alt"] for image in reader.all("img")]
    assert "Fit of neurbf, front" not in alts
    assert "Fit of mulfagrid, front" in alts


def test_a_truth_that_one_run_lost_is_that_of_another(tmp_path: Path):
    write_shape_comparison(tmp_path)
    first = tmp_path / "runs" / "0-neurbf"
    (first / "view_0_target.png").unlink()
    (first / "slice_0_fit.png").write_bytes(b"damaged")
    alts = [image["alt"] for image in read_report(tmp_path).all("img")]
    assert "Truth, front" in alts
    assert "Fit of neurbf, x = 0.5" not in alts


@pytest.mark.parametrize("name", ["pictures.json", "metrics.jsonl", "config.json"])
def test_a_run_may_be_damaged(tmp_path: Path, name: str):
    write_shape_comparison(tmp_path)
    (tmp_path / "runs" / "0-neurbf" / name).unlink()
    alts = [image["alt"] for image in read_report(tmp_path).all("img")]
    assert "Fit of mulfagrid, side" in alts


def test_without_pictures_the_table_stands(tmp_path: Path):
    write_shape_comparison(tmp_path)
    for path in tmp_path.glob("runs/*/*.png"):
        path.unlink()
    words = read_report(tmp_path).words()
    assert "There are no pictures." in words
    assert "SDF error" in words


def test_scales_that_differ_stand_under_each_picture(tmp_path: Path):
    write_shape_comparison(tmp_path)
    path = tmp_path / "runs" / "0-neurbf" / "pictures.json"
    pictures = json.loads(path.read_text()) | {"error_scale": 0.5}
    path.write_text(json.dumps(pictures))
    words = read_report(tmp_path).words()
    assert words.count("≥ 0.5") == words.count("≥ 0.002") == 3


def test_runs_are_linked_where_they_have_a_page(tmp_path: Path):
    write_shape_comparison(tmp_path)
    write_fit_report(tmp_path / "runs" / "1-mulfagrid")
    links = {link["href"] for link in read_report(tmp_path).all("a")}
    assert links == {"runs/1-mulfagrid/report.html"}
