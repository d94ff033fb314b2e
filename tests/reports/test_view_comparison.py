import json
from pathlib import Path

import pytest

from tangrid.reports import write_compare_report, write_fit_report
from tests.reports.fake_scenes import write_scene_comparison
from tests.reports.page_reader import PageReader, read_page

FIRST = Path("runs", "0-instant-ngp")


def read_report(folder: Path) -> PageReader:
    return read_page(write_compare_report(folder).read_text(encoding="utf-8"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_two_models_stand_side_by_side(tmp_path: Path):
    write_scene_comparison(tmp_path)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "instant-ngp and k-planes on lego" in words
    assert "Seconds Rays/s Samples/s" in words
    alts = [image["alt"] for image in reader.all("img")]
    assert alts[:5] == [
        "Photograph, test/r_0.png",
        "Render of instant-ngp, test/r_0.png",
        "Render of k-planes, test/r_0.png",
        "Error of instant-ngp, test/r_0.png",
        "Error of k-planes, test/r_0.png",
    ]
    assert alts[-2:] == [
        "Depth of instant-ngp, test/r_5.png",
        "Depth of k-planes, test/r_5.png",
    ]
    assert len(alts) == 3 * 5 + 3 * 2
    labels = [drawing["aria-label"] for drawing in reader.all("svg")]
    assert labels == [
        "PSNR of every test view",
        "PSNR of every test view minus that of instant-ngp",
        "PSNR of training batches against step: instant-ngp, k-planes",
        "PSNR of training batches against seconds: instant-ngp, k-planes",
        "Samples per ray against step: instant-ngp, k-planes",
    ]


def test_rules_and_notes_stand_below_the_table(tmp_path: Path):
    write_scene_comparison(tmp_path, signals=("lego", "ship"))
    words = read_report(tmp_path).words()
    title = "blender-white, 32 x 24, 6 of 200 views"
    note = "The photographs were made 2 times smaller."
    assert (
        f"lego: judged by {title} ship: judged by {title} lego: {note} ship: {note}"
    ) in words


def test_differences_are_those_of_the_rows(tmp_path: Path):
    write_scene_comparison(tmp_path)
    first, second = (
        json.loads((tmp_path / "runs" / name / "metrics.json").read_text())
        for name in ("0-instant-ngp", "1-k-planes")
    )
    gaps = [
        b["psnr"] - a["psnr"]
        for a, b in zip(first["per_view"], second["per_view"], strict=True)
    ]
    words = read_report(tmp_path).words().replace("\N{MINUS SIGN}", "-")
    mean = f"{sum(gaps) / len(gaps):+.2f}"
    worst = f"{min(gaps):+.2f} test/r_{gaps.index(min(gaps))}.png"
    assert f"k-planes {mean} {worst} {max(gaps):+.2f}" in words
    assert "0 of 6" in words


def test_more_than_three_views_are_folded(tmp_path: Path):
    write_scene_comparison(tmp_path, shown=5)
    assert "More views: 2" in read_report(tmp_path).words()


def test_seeds_are_averaged_and_pictures_have_their_own_scores(tmp_path: Path):
    write_scene_comparison(tmp_path, seeds=(0, 1))
    words = read_report(tmp_path).words()
    metrics = json.loads((tmp_path / FIRST / "metrics.json").read_text())
    assert "Pictures are those of seed 0" in words
    assert f"{metrics['per_view'][0]['psnr']:.2f} dB" in words


def test_other_rules_are_told(tmp_path: Path):
    write_scene_comparison(tmp_path)
    table = json.loads((tmp_path / "table.json").read_text())
    table["rows"][1]["protocol"] = {"title": "photos, 32 x 24"}
    (tmp_path / "table.json").write_text(json.dumps(table))
    words = read_report(tmp_path).words()
    assert "and photos, 32 x 24; these numbers cannot be compared" in words


def test_one_model_has_no_differences(tmp_path: Path):
    write_scene_comparison(tmp_path, noises={"instant-ngp": 0.04})
    words = read_report(tmp_path).words()
    assert "View by view" not in words
    assert "Training by step" in words


def test_one_view_has_differences_but_no_plot(tmp_path: Path):
    write_scene_comparison(tmp_path, num_views=1)
    reader = read_report(tmp_path)
    assert "0 of 1" in reader.words()
    assert len(reader.all("svg")) == 3


@pytest.mark.parametrize("name", ["pictures.json", "metrics.jsonl", "config.json"])
def test_a_run_may_be_damaged(tmp_path: Path, name: str):
    write_scene_comparison(tmp_path)
    (tmp_path / FIRST / name).unlink()
    alts = [image["alt"] for image in read_report(tmp_path).all("img")]
    assert "Render of k-planes, test/r_0.png" in alts
    assert "Photograph, test/r_0.png" in alts


def test_without_pictures_the_table_stands(tmp_path: Path):
    write_scene_comparison(tmp_path, shown=0)
    words = read_report(tmp_path).words()
    assert "There are no pictures." in words
    assert "View by view" in words


def test_scales_that_differ_stand_under_each_picture(tmp_path: Path):
    write_scene_comparison(tmp_path)
    change_json(tmp_path / FIRST / "pictures.json", error_scale=0.5)
    words = read_report(tmp_path).words()
    assert words.count("≥ 0.5") == words.count("≥ 0.2") == 3


def test_runs_are_linked_where_they_have_a_page(tmp_path: Path):
    write_scene_comparison(tmp_path)
    write_fit_report(tmp_path / FIRST)
    links = {link["href"] for link in read_report(tmp_path).all("a")}
    assert links == {f"{FIRST.as_posix()}/report.html"}
