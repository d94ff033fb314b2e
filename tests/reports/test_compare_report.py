import json
import shutil
from pathlib import Path

import pytest

from tangrid.errors import DataError
from tangrid.reports import write_compare_report, write_fit_report
from tests.reports.fake_runs import synthetic_image, write_comparison
from tests.reports.page_reader import PageReader, read_page


def read_report(folder: Path) -> PageReader:
    return read_page(write_compare_report(folder).read_text(encoding="utf-8"))


def test_a_comparison_is_told(comparison_folder: Path):
    reader = read_report(comparison_folder)
    words = reader.words()
    assert "3 models on 2 signals" in words
    assert "Mean over signals and seeds; the best is bold." in words
    assert len(reader.all("table")) == 2 + 2 + 2
    # Curves by step, by time and by frequency for each of two signals.
    assert len(reader.all("svg")) == 6
    assert "Place 3" in words
    assert {"signal-1", "signal-2"} <= {tag.get("id") for _, tag in reader.tags}


def test_runs_are_linked_where_they_have_a_page(comparison_folder: Path):
    assert links(read_report(comparison_folder)) == []
    write_fit_report(comparison_folder / "runs" / "0-instant-ngp")
    target = "runs/0-instant-ngp/report.html"
    assert set(links(read_report(comparison_folder))) == {target}
    assert (comparison_folder / target).is_file()


def links(reader: PageReader) -> list[str]:
    targets = [attributes["href"] for attributes in reader.all("a")]
    return [target for target in targets if not target.startswith("#")]


def test_several_seeds_are_averaged(tmp_path: Path):
    write_comparison(tmp_path, seeds=(0, 1), images={"rings": synthetic_image()})
    words = read_report(tmp_path).words()
    assert "3 models on rings" in words
    assert "seeds 0, 1" in words
    assert "±" in words
    assert "Pictures are those of seed 0" in words


def test_one_run_is_a_comparison_too(tmp_path: Path):
    write_comparison(
        tmp_path, blurs={"siren": 1.0}, images={"rings": synthetic_image()}
    )
    words = read_report(tmp_path).words()
    assert "siren on rings" in words
    assert "Mean over" not in words


def test_names_from_outside_are_shown_as_they_are(tmp_path: Path):
    name = '<b>"x"</b>&'
    write_comparison(tmp_path, images={name: synthetic_image()}, blurs={"a<i>": 1.0})
    reader = read_report(tmp_path)
    assert f"a<i> on {name}" in reader.words()
    assert reader.all("i") == []


def test_an_interrupted_comparison_says_so(tmp_path: Path):
    write_comparison(tmp_path, is_finished=False)
    words = read_report(tmp_path).words()
    assert "This comparison did not finish. 6 of its runs did." in words
    shutil.rmtree(tmp_path / "runs")
    words = read_report(tmp_path).words()
    assert "No run of it did." in words
    assert "no results yet" in words


def test_the_table_stands_without_its_runs(comparison_folder: Path):
    shutil.rmtree(comparison_folder / "runs")
    reader = read_report(comparison_folder)
    assert "There are no pictures." in reader.words()
    assert "Curves" not in reader.words()
    assert "Mean over signals" in reader.words()


def test_the_table_stands_with_a_damaged_run(comparison_folder: Path):
    (comparison_folder / "runs" / "0-instant-ngp" / "pictures.json").write_text("{")
    (comparison_folder / "runs" / "1-neurbf" / "target.png").write_bytes(b"damaged")
    (comparison_folder / "runs" / "2-mulfagrid" / "reconstruction.png").unlink()
    words = read_report(comparison_folder).words()
    assert "no picture" in words


@pytest.mark.parametrize(
    "change",
    [
        {"psnr": None},
        {"run": None},
        {"run": "../../elsewhere"},
        {"run": "javascript:alert(1)"},
        {"seed": None},
        {"signal": None},
        {"device": None},
    ],
)
def test_a_row_may_be_odd(comparison_folder: Path, change: dict):
    table = comparison_folder / "table.json"
    rows = json.loads(table.read_text())["rows"]
    rows[0] |= change
    table.write_text(json.dumps({"rows": rows}))
    assert "neurbf" in read_report(comparison_folder).words()


def test_scales_that_differ_stand_under_each_picture(tmp_path: Path):
    write_comparison(tmp_path, images={"rings": synthetic_image()})
    path = tmp_path / "runs" / "0-instant-ngp" / "pictures.json"
    pictures = json.loads(path.read_text()) | {"error_scale": 0.5}
    path.write_text(json.dumps(pictures))
    words = read_report(tmp_path).words()
    assert "≥ 0.5" in words
    assert words.count("≥ 0.1") == 2


def test_a_foreign_folder_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the folder of a run"):
        write_compare_report(tmp_path)
