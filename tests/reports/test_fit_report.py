import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.errors import DataError
from tangrid.reports import write_fit_report
from tangrid.runs import RunFolder
from tests.reports.browser import browse
from tests.reports.fake_runs import synthetic_image, write_run
from tests.reports.page_reader import PageReader, read_page


def read_report(folder: Path) -> PageReader:
    return read_page(write_fit_report(folder).read_text(encoding="utf-8"))


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_finished_run_is_told(tmp_path: Path):
    metrics = write_run(tmp_path)
    reader = read_report(tmp_path)
    words = reader.words()
    assert "mulfagrid on rings" in words
    assert f"PSNR {metrics['psnr']:.2f} dB" in words
    assert "Parameters 140,288 trainable; 152,576 stored" in words
    assert "Training time 10.5 s 3.12 million points/s" in words
    assert "did not finish" not in words
    assert len(reader.all("svg")) == 3
    # Three whole pictures, two in the slider, three details of each kind.
    assert len(reader.all("img")) == 3 + 2 + 9
    assert "tangrid fit image photos/rings.png --model mulfagrid" in words
    assert "96 \N{MULTIPLICATION SIGN} 64 pixels." in words


def test_the_page_carries_the_pictures_themselves(run_folder: Path):
    page = write_fit_report(run_folder).read_text(encoding="utf-8")
    for name in ("target.png", "crop_2_error.png"):
        data = (run_folder / name).read_bytes()
        assert base64.b64encode(data).decode() in page
    assert page.count("data:image/png;base64,") == 12


def test_writing_twice_gives_the_same_page(run_folder: Path):
    first = write_fit_report(run_folder).read_bytes()
    assert write_fit_report(run_folder).read_bytes() == first


def test_names_from_outside_are_shown_as_they_are(tmp_path: Path):
    name = "<b>.png & \"x\" '$a_b$' </title><script>alert(1)</script>"
    write_run(tmp_path, signal=name, model=name)
    reader = read_report(tmp_path)
    assert f"{name} on {name}" in reader.words()
    assert len(reader.all("script")) == 1
    assert reader.all("b") == []


def test_an_interrupted_run_says_so(tmp_path: Path):
    write_run(tmp_path, is_finished=False)
    words = read_report(tmp_path).words()
    assert "This run did not finish: the last step it logged is 160 of 500." in words
    assert "This run left no pictures." in words


def test_a_run_that_only_began_says_so(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.write_json("config.json", {"kind": "fit-image", "model": "siren"})
    words = read_report(tmp_path).words()
    assert "it stopped before its first step" in words
    assert "This run logged nothing." in words
    assert "siren on a signal" in words


@pytest.mark.parametrize("name", ["target.png", "error.png", "crop_1_error.png"])
@pytest.mark.parametrize("data", [None, b"damaged"])
def test_pictures_may_be_missing(run_folder: Path, name: str, data: bytes | None):
    (run_folder / name).unlink()
    if data is not None:
        (run_folder / name).write_bytes(data)
    assert "PSNR" in read_report(run_folder).words()


@pytest.mark.parametrize(
    "changes",
    [
        {"crops": []},
        {"frequency": None},
        {"error_scale": None},
        {"width": None},
        {"crops": [{"x": 0, "y": 0, "width": 4, "height": 4, "mae": None}]},
    ],
)
def test_parts_of_the_record_may_be_missing(run_folder: Path, changes: dict):
    change_json(run_folder / "pictures.json", **changes)
    assert "PSNR" in read_report(run_folder).words()


def test_metrics_may_be_missing_or_null(run_folder: Path):
    RunFolder(run_folder).write_json("metrics.json", {"psnr": None, "iou": 0.5})
    words = read_report(run_folder).words()
    assert "PSNR \N{EN DASH} dB" in words
    assert "IoU 0.5000" in words


def test_crops_counted_from_one_are_found(run_folder: Path):
    for path in sorted(run_folder.glob("crop_*"), reverse=True):
        _, index, kind = path.name.split("_")
        path.rename(run_folder / f"crop_{int(index) + 1}_{kind}")
    assert len(read_report(run_folder).all("img")) == 14


def test_a_smaller_copy_says_so(run_folder: Path):
    change_json(run_folder / "pictures.json", width=9600, height=6400)
    words = read_report(run_folder).words().replace("\N{MULTIPLICATION SIGN}", "by")
    assert "9,600 by 6,400 pixels, shown at 96 by 64." in words


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (2, 300)])
def test_odd_shapes_are_shown(tmp_path: Path, size: tuple[int, int]):
    write_run(tmp_path, image=synthetic_image(*size), crop_size=1)
    assert len(read_report(tmp_path).all("svg")) >= 2


def test_a_foreign_folder_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the folder of a run"):
        write_fit_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(tmp_path: Path, scheme: str):
    write_run(tmp_path / "run")
    page = write_fit_report(tmp_path / "run")
    pixels = screenshot(page, tmp_path, scheme)
    paper = pixels[5, 5].mean()
    assert paper > 200 if scheme == "light" else paper < 60
    assert pixels.std() > 10


def screenshot(page: Path, folder: Path, scheme: str) -> np.ndarray:
    picture = folder / "screenshot.png"
    flags = ["--hide-scrollbars", "--window-size=900,1600", f"--screenshot={picture}"]
    if scheme == "dark":
        flags.append("--blink-settings=preferredColorScheme=0")
    browse(page, folder, *flags)
    return np.asarray(Image.open(picture).convert("RGB"), dtype=float)
