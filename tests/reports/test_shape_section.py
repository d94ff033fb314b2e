import base64
import json
from pathlib import Path

import pytest

from tangrid.reports import write_fit_report
from tangrid.runs import RunFolder
from tests.reports.fake_shapes import empty_the_level_set, write_shape_run
from tests.reports.page_reader import PageReader, read_page


def read_report(folder: Path) -> PageReader:
    return read_page(write_fit_report(folder).read_text(encoding="utf-8"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_fitted_shape_is_told(tmp_path: Path):
    write_shape_run(tmp_path)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "tangrid fit sdf mulfagrid on bunny" in words
    for tile in (
        "IoU 0.9960 of the two insides",
        "Normal error 1.28 ° between the normals",
        "Chamfer L1 0.00104 between the surfaces",
        "SDF error 0.000061 near the surface",
        "Training time 8.0 s 3.12 million points/s",
        "Sampling time 2:11 min",
    ):
        assert tile in words
    assert "box, whose side is 0.19 in the mesh's own units" in words
    assert "tangrid fit sdf shapes/bunny.ply --model mulfagrid" in words
    # Three views of three pictures, two of them in the slider, two slices of two.
    assert len(reader.all("img")) == 9 + 2 + 4
    assert [len(drawing["aria-label"]) > 0 for drawing in reader.all("svg")] == [
        True
    ] * 2


def test_the_page_carries_the_pictures_themselves(tmp_path: Path):
    write_shape_run(tmp_path)
    page = write_fit_report(tmp_path).read_text(encoding="utf-8")
    pictures = list(tmp_path.glob("*.png"))
    assert len(pictures) == 13
    for path in pictures:
        assert base64.b64encode(path.read_bytes()).decode() in page


def test_the_loss_is_drawn(tmp_path: Path):
    write_shape_run(tmp_path)
    reader = read_report(tmp_path)
    labels = [drawing["aria-label"] for drawing in reader.all("svg")]
    assert labels == [
        "Training loss against step: mulfagrid",
        "Training loss against seconds: mulfagrid",
    ]


def test_scores_say_what_they_are(tmp_path: Path):
    write_shape_run(tmp_path)
    words = read_report(tmp_path).words()
    assert "F-score at 0.002 higher is better 91.00 %" in words
    assert "F-score at 0.0001 higher is better 12.00 %" in words
    assert "Normal error, NeuRBF code lower is better 1.16 What NeuRBF" in words
    assert "Compare it with published tables only." in words
    assert "Eikonal error lower is better 0.0164" in words
    assert "Open edges 12" in words


def test_notes_are_listed(tmp_path: Path):
    write_shape_run(tmp_path)
    assert (
        "The mesh is open (edges of a single triangle: 12)"
        in read_report(tmp_path).words()
    )
    change_json(tmp_path / "metrics.json", notes=["<b>1</b>", "Two shells."])
    reader = read_report(tmp_path)
    assert "<b>1</b> Two shells." in reader.words()
    assert reader.all("b") == []


def test_a_missing_surface_is_said(tmp_path: Path):
    write_shape_run(tmp_path)
    empty_the_level_set(tmp_path, "The field is positive everywhere.")
    reader = read_report(tmp_path)
    words = reader.words()
    banners = [it for it in reader.all("p") if it.get("class") == "banner"]
    assert len(banners) == 1
    assert "The field is positive everywhere." in words
    assert "IoU \N{EN DASH}" in words
    assert words.count("no picture") == 3
    assert "Truth against fit" not in words
    assert "Colours of the error" not in words


@pytest.mark.parametrize("data", [None, b"damaged"])
@pytest.mark.parametrize(
    "name", ["view_0_target.png", "view_0_error.png", "slice_1_fit.png"]
)
def test_pictures_may_be_missing(tmp_path: Path, name: str, data: bytes | None):
    write_shape_run(tmp_path)
    (tmp_path / name).unlink()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    words = read_report(tmp_path).words()
    # The slider shows the first view that has both.
    assert "Truth against fit" in words
    assert "Distance field" in words


@pytest.mark.parametrize(
    "changes",
    [
        {"views": []},
        {"views": None, "slices": None},
        {"slices": [{"name": "x = 0.5", "target": None}]},
        {"views": [{"target": "view_0_target.png"}]},
        {"error_scale": None, "slice_spacing": None},
    ],
)
def test_parts_of_the_record_may_be_missing(tmp_path: Path, changes: dict):
    write_shape_run(tmp_path)
    change_json(tmp_path / "pictures.json", **changes)
    words = read_report(tmp_path).words()
    assert "Scores" in words
    assert ("This run left no views." in words) == (not changes.get("views", True))


def test_pictures_come_from_the_folder_of_the_run(tmp_path: Path):
    write_shape_run(tmp_path / "run")
    elsewhere = (tmp_path / "run" / "view_0_fit.png").rename(tmp_path / "other.png")
    view = {"name": "front", "fit": f"../{elsewhere.name}"}
    change_json(tmp_path / "run" / "pictures.json", views=[view])
    assert "This run left no views." in read_report(tmp_path / "run").words()


def test_a_shape_without_scores_has_no_table_of_them(tmp_path: Path):
    write_shape_run(tmp_path)
    RunFolder(tmp_path).write_json("metrics.json", {"model": "mulfagrid"})
    words = read_report(tmp_path).words()
    assert "What it is" not in words
    assert "Lengths are in units of the box." in words
