"""The Python interface: light to import, one paragraph per mistake."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tangrid as tg
from tangrid.experiments.demo_scene import demo_scene
from tangrid.training.settings import training_for

SMALL = {"model": "instant-ngp", "params": 20_000, "steps": 5, "progress": False}


@pytest.fixture
def image() -> tg.ImageSignal:
    x, y = np.meshgrid(np.linspace(0, 1, 20), np.linspace(0, 1, 16))
    return tg.ImageSignal.from_array(np.stack((x, y, x * y), axis=-1), name="ramp")


def test_import_is_light_and_names_are_there():
    code = (
        "import sys, tangrid\n"
        "assert {'fit', 'load', 'extract_mesh', 'MeshSignal'} <= set(dir(tangrid))\n"
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
    settings = training_for(None, None)
    assert (settings.steps, settings.minutes) == (1000, None)
    timed = training_for(None, 2.0, batch_size=10, threads=1)
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
        (
            lambda _: tg.fit("photo.png"),
            r"expected an ImageSignal or a MeshSignal or a Scene, got str. Open",
        ),
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


SHAPE = {
    "model": "instant-ngp",
    "params": 20_000,
    "steps": 40,
    "progress": False,
    "settings": {
        "field.encoding.num-levels": "4",
        "loss.kind": "l1",
        "pool.size": "8192",
        "judge.resolution": "24",
        "judge.surface_points": "500",
        "judge.box-points": "2000",
        "judge.near_points": "500",
        "pictures.view": "16",
        "pictures.slice": "16",
    },
}


@pytest.fixture(scope="module")
def box() -> tg.MeshSignal:
    return tg.MeshSignal.open("box")


@pytest.fixture(scope="module")
def fitted_box(
    box: tg.MeshSignal, tmp_path_factory: pytest.TempPathFactory
) -> tg.FittedRun:
    return tg.fit(box, **SHAPE, out=tmp_path_factory.mktemp("box"))


def test_fit_of_a_mesh(
    box: tg.MeshSignal,
    fitted_box: tg.FittedRun,
    capsys: pytest.CaptureFixture[str],
):
    assert fitted_box.field(torch.rand(7, 3)).shape == (7, 1)
    assert (fitted_box.metrics["signal"], fitted_box.metrics["steps"]) == ("box", 40)
    assert fitted_box.metrics["iou"] > 0.5
    assert fitted_box.folder is not None
    assert (fitted_box.folder.path / "report.html").exists()
    loaded = tg.load(fitted_box.folder.path)
    assert loaded.experiment == fitted_box.experiment
    given = {**SHAPE, "steps": 2, "progress": True}
    assert tg.fit(box, **given).folder is None
    assert "box instant-ngp: step 2/2" in capsys.readouterr().err


def test_extract_mesh(box: tg.MeshSignal, fitted_box: tg.FittedRun):
    surface = tg.extract_mesh(fitted_box, resolution=24)
    assert surface.vertices.shape == surface.normals.shape
    assert (surface.faces.min(), surface.faces.max()) == (0, len(surface.vertices) - 1)
    # The mesh is 1 x 0.7 x 0.5 around the origin, in a box of side 1 / 0.9.
    assert box.frame.side == pytest.approx(1 / 0.9)
    assert np.abs(surface.vertices).max() <= box.frame.side / 2 + 1e-6
    assert np.abs(np.median(surface.vertices, axis=0)).max() < 0.1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: tg.fit(m, holdout=True), r"fit\(holdout=...\): expected an image"),
        (lambda m: tg.fit(m, sampling="all"), r"fit\(sampling=...\): expected an im"),
        (lambda m: tg.fit(m, model="sirn"), r"model 'sirn': expected one of"),
        (lambda m: tg.fit(m, steps=0), r"steps: expected .* got 0"),
        (lambda m: tg.fit(m, settings={"frame.side": "3"}), r"setting 'frame.side'"),
        (lambda m: tg.fit(m, settings={"pool.size": "3"}), r"pool\.size: expected at"),
        (lambda m: tg.fit(m, resume=True), r"resume=True\): expected a folder"),
        (tg.analyze, r"analyze\(signal=...\): expected an ImageSignal"),
        (lambda _: tg.MeshSignal.open("nowhere.obj"), r"nowhere\.obj: expected a mesh"),
    ],
)
def test_mistakes_with_meshes(call, words: str, box: tg.MeshSignal):
    with pytest.raises(tg.TangridError, match=words):
        call(box)


def test_images_have_no_surface(image: tg.ImageSignal, fitted_box: tg.FittedRun):
    with pytest.raises(tg.DataError, match="expected a fit to a signed distance"):
        tg.extract_mesh(tg.fit(image, **SMALL))
    with pytest.raises(tg.ConfigError, match="positive resolution"):
        tg.extract_mesh(fitted_box, resolution=0)


def test_a_scene_is_fitted_and_comes_back(tmp_path: Path):
    scene = demo_scene(size=16, train_views=4, test_views=1)
    settings = {"field.encoding.num-levels": "3", "field.encoding.log2-table-size": "8"}
    settings |= {"training.batch-size": "1024", "views.occupancy.resolution": "32"}
    run = tg.fit(
        scene,
        model="instant-ngp",
        steps=4,
        settings=settings,
        out=tmp_path / "run",
        progress=False,
    )
    assert run.metrics["num_views"] == 1
    assert (tmp_path / "run" / "report.html").is_file()
    again = tg.load(tmp_path / "run")
    coords = torch.rand(20, 3)
    assert torch.equal(again.field(coords), run.field(coords))
    with pytest.raises(tg.ConfigError, match="expected an image to apply it to"):
        tg.fit(scene, holdout=True)
