"""The Python interface: light to import, one paragraph per mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tangrid as tg

SMALL = {"model": "instant-ngp", "params": 20_000, "steps": 5, "progress": False}


@pytest.fixture
def image() -> tg.ImageSignal:
    x, y = np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 16))
    return tg.ImageSignal.from_array(np.stack((x, y, x * y), axis=-1), name="ramp")


def test_import_is_light_and_names_are_there():
    code = (
        "import sys, tangrid\n"
        "assert {'fit', 'build', 'load', 'ImageSignal'} <= set(dir(tangrid))\n"
        "print(tangrid.__version__, 'torch' in sys.modules, tangrid.fit.__name__)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert told.stdout.split() == [tg.__version__, "False", "fit"]


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="no attribute 'fti'"):
        _ = tg.fti


def test_fit_keeps_nothing_by_default(
    image: tg.ImageSignal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    run = tg.fit(image, **SMALL)
    assert isinstance(run, tg.FittedRun)
    assert run.field(torch.rand(7, 2)).shape == (7, 3)
    assert run.metrics["signal"] == "ramp"
    assert run.metrics["steps"] == 5
    assert list(tmp_path.iterdir()) == []


def test_load_gives_the_same_field(image: tg.ImageSignal, tmp_path: Path):
    run = tg.fit(image, **SMALL, out=tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()
    loaded = tg.load(tmp_path / "run")
    coords = torch.rand(50, 2)
    assert torch.equal(loaded.field(coords), run.field(coords))
    assert loaded.metrics["psnr"] == run.metrics["psnr"]
    assert loaded.experiment == run.experiment


def test_resume_and_overwrite(image: tg.ImageSignal, tmp_path: Path):
    first = tg.fit(image, **SMALL, out=tmp_path)
    again = tg.fit(image, **SMALL, out=tmp_path, resume=True)
    assert again.metrics["seconds"] == first.metrics["seconds"]
    with pytest.raises(tg.ConfigError, match="expected an empty or new folder"):
        tg.fit(image, **SMALL, out=tmp_path)
    other = tg.fit(image, **SMALL, out=tmp_path, overwrite=True, seed=1)
    assert json.loads((tmp_path / "config.json").read_text())["seed"] == 1
    assert other.metrics["psnr"] != first.metrics["psnr"]


def test_default_length():
    settings = tg.interface.training_for(None, None)
    assert (settings.steps, settings.minutes) == (1000, None)
    timed = tg.interface.training_for(None, 2.0, batch_size=10, threads=1)
    assert (timed.steps, timed.minutes, timed.batch_size) == (None, 2.0, 10)


def test_progress_is_shown(image: tg.ImageSignal, capsys: pytest.CaptureFixture[str]):
    tg.fit(image, **{**SMALL, "progress": True})
    assert "ramp instant-ngp: step 5/5" in capsys.readouterr().err


def test_build_is_the_field_before_training(image: tg.ImageSignal):
    kind = {"num_dims": 2, "num_channels": 3, "params": 20_000, "seed": 4}
    field = tg.build("instant-ngp", resolution=(20, 16), **kind)
    assert abs(sum(p.numel() for p in field.parameters()) / 20_000 - 1) < 0.02
    rates = {f"training.rates.{name}": "0" for name in ("grid", "decoder", "kernel")}
    run = tg.fit(image, **SMALL, seed=4, settings=rates)
    coords = torch.rand(20, 2)
    assert torch.equal(field(coords), run.field(coords))


def test_build_in_three_dimensions_with_settings():
    settings = {"field.encoding.num_levels": "3", "field.decoder": "linear"}
    field = tg.build("hash-grid", num_dims=3, num_channels=1, settings=settings)
    assert field(torch.rand(4, 3)).shape == (4, 1)
    assert field.encoding.num_features == 6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: tg.fit("photo.png"), r"expected an ImageSignal, got str. Open"),
        (lambda i: tg.fit(i, model="mulfagird"), r"model 'mulfagird': expected one of"),
        (lambda i: tg.fit(i, **{**SMALL, "steps": 0}), r"steps: expected .* got 0"),
        (lambda i: tg.fit(i, **{**SMALL, "params": 3}), r"params 3: expected a budget"),
        (
            lambda i: tg.fit(i, **SMALL, resume=True),
            r"resume=True\): expected a folder",
        ),
        (lambda i: tg.fit(i, **SMALL, overwrite=True), r"expected a folder to apply"),
        (lambda i: tg.fit(i, **SMALL, settings={"seed": "3"}), r"setting 'seed'"),
        (lambda _: tg.load("nowhere"), r"nowhere: expected the folder of a run"),
        (
            lambda _: tg.build("siren", num_dims=0, num_channels=1),
            r"num_dims: expected",
        ),
        (
            lambda _: tg.build("siren", num_dims=2, num_channels=1, resolution=(3,)),
            r"resolution: expected 2 numbers",
        ),
        (
            lambda _: tg.build("nothing-like-it", num_dims=2, num_channels=1),
            r"model 'nothing-like-it': expected one of",
        ),
    ],
)
def test_mistakes(call, words: str, image: tg.ImageSignal):
    with pytest.raises(tg.TangridError, match=words):
        call(image)


def test_wrong_coordinates(image: tg.ImageSignal):
    field = tg.build("instant-ngp", num_dims=2, num_channels=3, params=20_000)
    for wrong in (
        torch.rand(3, 3),
        torch.rand(3, 2).double(),
        torch.rand(3, 2) + 1.5,
        torch.full((3, 2), torch.nan),
    ):
        with pytest.raises(tg.ShapeError, match=r"field\(coords=...\): expected"):
            field(wrong)


LOOK = {"models": ["siren"], "params": 4000, "points": 10, "steps": 1, "lattice": 4}


def test_analyze_keeps_nothing_by_default(
    image: tg.ImageSignal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    found = tg.analyze(image, **LOOK, progress=False)
    assert isinstance(found, tg.KernelAnalysis)
    assert found.folder is None
    (entry,) = found.entries
    assert entry["kernels"]["all"]["summary"]["num_points"] == 10
    assert found.arrays["0/slice_map"].shape == (3, 64, 64)
    assert list(tmp_path.iterdir()) == []


def test_analyze_in_a_folder(
    image: tg.ImageSignal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    found = tg.analyze(image, **LOOK, out=tmp_path)
    assert "1/1 siren: starting" in capsys.readouterr().err
    assert (tmp_path / "report.html").exists()
    kept = json.loads((tmp_path / "kernel.json").read_text())
    assert [entry["label"] for entry in kept["entries"]] == ["siren"]
    with pytest.raises(tg.ConfigError, match="expected an empty or new folder"):
        tg.analyze(image, **LOOK, out=tmp_path)
    again = tg.analyze(image, **LOOK, out=tmp_path, resume=True, progress=False)
    assert set(again.arrays) == set(found.arrays)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda _: tg.analyze("photo.png"),
            r"analyze\(signal=...\): expected an Image",
        ),
        (lambda i: tg.analyze(i, models=()), r"models: expected one or more"),
        (lambda i: tg.analyze(i, models="sirn"), r"model 'sirn': .* 'siren'"),
        (lambda i: tg.analyze(i, **{**LOOK, "points": 0}), r"points: expected a whole"),
        (lambda i: tg.analyze(i, points=321), r"points: expected at most 320"),
        (lambda i: tg.analyze(i, **LOOK, resume=True), r"analyze\(resume=True\): exp"),
    ],
)
def test_mistakes_in_analyses(call, words: str, image: tg.ImageSignal):
    with pytest.raises(tg.TangridError, match=words):
        call(image)
