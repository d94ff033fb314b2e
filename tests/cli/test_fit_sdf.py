"""``tangrid fit sdf`` from the mesh to the report, and on after a stop."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import trimesh

from tangrid.progress import ProgressLine
from tangrid.runs.store import OWN_FILES
from tangrid.training import Moment
from tests.cli.conftest import JUDGED, SMALL_SHAPE, Type
from tests.cli.test_fit_image import curve, read
from tests.experiments.small_shapes import egg, save_obj

FIT = ("fit", "sdf", "egg.obj", *SMALL_SHAPE, "--steps", "60")
OF_IMAGES = {"target.png", "reconstruction.png", "error.png"}
OF_SCENES = {"cameras.json", "occupancy.safetensors"}
OF_OTHERS = OF_SCENES | {
    "table.json", "kernel.json", "kernel.safetensors", "kernel_track.json",
    "prediction.json",
}  # fmt: skip
F_SCORES = {f"f_score_{reach}" for reach in ("1e-2", "2e-3", "1e-3", "2e-4", "1e-4")}
METRICS = {
    "signal", "model", "seed", "iou", "sdf_error", "eikonal", "chamfer_l1",
    "chamfer_l2", *F_SCORES, "normal_consistency", "nae", "nae_neurbf_code",
    "hausdorff_95", "surface_faces", "is_open", "open_edges", "shells", "mesh_faces",
    "mesh_vertices", "box_side", "notes", "pool_points", "sampling_seconds",
    "pool_from_disk", "judging_seconds", "params_trainable", "params_stored", "steps",
    "seconds", "points_per_second", "peak_memory_mb", "device", "dtype",
    "implementations", "versions",
}  # fmt: skip


@pytest.fixture(autouse=True)
def egg_file(workplace: Path) -> Path:
    return save_obj(workplace / "egg.obj", *egg())


def test_everything_is_kept(fitted_shape: Path):
    names = {path.name for path in fitted_shape.iterdir()}
    whole = {name for name in OWN_FILES if "*" not in name} - OF_IMAGES - OF_OTHERS
    pictures = {
        *(f"view_{n}_{kind}.png" for n in range(3) for kind in ("target", "fit")),
        *(f"view_{n}_error.png" for n in range(3)),
        *(f"slice_{n}_{kind}.png" for n in range(2) for kind in ("target", "fit")),
    }
    assert names == whole | pictures
    metrics = read(fitted_shape, "metrics.json")
    assert set(metrics) == METRICS
    assert (metrics["steps"], metrics["pool_points"]) == (200, 8192)
    config = read(fitted_shape, "config.json")
    assert (config["kind"], config["signal"]["name"]) == ("fit-sdf", "egg")
    assert config["signal"]["path"].endswith("egg.obj")
    assert (config["judge"]["surface_points"], config["pictures"]["view"]) == (500, 24)
    command = read(fitted_shape, "environment.json")["command"]
    assert command[:3] == ["tangrid", "fit", "sdf"]
    assert len(curve(str(fitted_shape))) == 200


def test_resume_goes_on_as_if_nothing_had_happened(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(line: ProgressLine, moment: Moment) -> None:
        del line
        if moment.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    outcome = tangrid(*FIT)
    assert outcome.code == 0, outcome.err
    whole = "runs/egg-instant-ngp"
    numbers, report = outcome.out.splitlines()
    assert report == f"{whole}/report.html"
    assert Path(report).read_text().lower().startswith("<!doctype html>")
    iou = read(whole, "metrics.json")["iou"]
    assert numbers.startswith(f"egg, instant-ngp: IoU {iou:.4f}, ")
    assert "60 steps" in numbers
    assert outcome.err.startswith("egg instant-ngp: starting\n")
    assert "step 60/60, loss" in outcome.err
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupt)
        assert tangrid(*FIT, "--out", "cut").code == 130
    assert len(curve("cut")) == 5
    assert not Path("cut", "metrics.json").exists()
    other = tangrid(*FIT, "--out", "cut", "--resume", "--eikonal", "0.5")
    assert other.code == 2
    assert "loss.eikonal is 0.0 and not 0.5" in other.message
    assert tangrid(*FIT, "--out", "cut", "--resume").code == 0
    assert curve("cut") == curve(whole)
    bits = [Path(out, "field.safetensors").read_bytes() for out in ("cut", whole)]
    assert bits[0] == bits[1]
    assert read("cut", "metrics.json")["iou"] == iou


def test_a_moved_mesh_is_another(workplace: Path, fitted_shape: Path, tangrid: Type):
    """The path is the same, what is there is not: the run is not gone on with."""
    shutil.copytree(fitted_shape, "run")
    mesh = shutil.copy(fitted_shape.parent / "egg.obj", "mine.obj")
    words = ("fit", "sdf", mesh, *SMALL_SHAPE, "--steps", 200, "--out", "run")
    text = Path("run/config.json").read_text()
    old = read("run", "config.json")["signal"]
    text = text.replace(old["path"], str(Path(mesh).resolve()))
    Path("run/config.json").write_text(text.replace('"egg"', '"mine"'))
    finished = tangrid(*words, "--resume")
    assert finished.code == 0, finished.err
    assert "finished already" in finished.err
    vertices, faces = egg()
    save_obj(Path("mine.obj"), vertices + 1, faces)
    outcome = tangrid(*words, "--resume")
    assert outcome.code == 2
    assert "frame.centre[0] is 2.0 and not 3.0" in outcome.message


def flat_sheet(path: Path) -> Path:
    corners = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    return save_obj(path, corners, np.array([[0, 1, 2], [0, 2, 3]]))


def test_a_fit_without_a_surface_replaces_one_with(
    workplace: Path, fitted_shape: Path, tangrid: Type
):
    shutil.copytree(fitted_shape, "run")
    flat_sheet(workplace / "sheet.obj")
    # One step as large as it can be: above 0 everywhere, as the sheet's distances.
    words = (
        "fit", "sdf", "sheet.obj", *SMALL_SHAPE, "--steps", 1, "--out", "run",
        "--set", "training.rates.grid=1", "--set", "training.rates.decoder=1",
    )  # fmt: skip
    assert tangrid(*words).code == 2
    assert read("run", "metrics.json")["signal"] == "egg"
    outcome = tangrid(*words, "--overwrite")
    assert outcome.code == 0, outcome.err
    metrics = read("run", "metrics.json")
    assert (metrics["signal"], metrics["iou"]) == ("sheet", None)
    assert not list(Path("run").glob("view_*_fit.png"))
    assert len(list(Path("run").glob("view_*_target.png"))) == 3
    reason = metrics["surface_missing"]
    assert "got values from " in reason
    assert reason in outcome.out
    assert reason.split(":")[1] in Path("run/report.html").read_text()
    exported = tangrid("export", "mesh", "run", "--resolution", 8)
    assert exported.code == 1
    assert "expected values on both sides of the level 0, got v" in exported.message
    assert not Path("run.ply").exists()
    assert tangrid("render", "run", "--width", 8).code == 0


def test_what_is_odd_about_a_mesh_is_said(workplace: Path, tangrid: Type):
    """Two boxes: one without its lid, with useless triangles; the other whole."""
    box = trimesh.creation.box()
    corners = np.concatenate((
        box.vertices,
        box.vertices + np.array([2, 0, 0]),
        [[np.nan] * 3],
    ))
    faces = np.concatenate((
        box.faces[2:],
        box.faces + 8,
        [[0, 1, 16], [0, 0, 1], [2, 2, 2]],
    ))
    save_obj(workplace / "odd.obj", corners, faces)
    words = ("fit", "sdf", "odd.obj", *SMALL_SHAPE, "--steps", 100, "--out", "run")
    outcome = tangrid(*words)
    assert outcome.code == 0, outcome.err
    metrics = read("run", "metrics.json")
    assert (metrics["is_open"], metrics["open_edges"], metrics["shells"]) == (
        True,
        4,
        2,
    )
    assert metrics["mesh_faces"] == 22
    report = Path("run/report.html").read_text()
    notes = metrics["notes"]
    assert [note in outcome.out and note in report for note in notes] == [True] * 4
    begins = (
        "1 of 25 triangles have a corner that is no finite number",
        "2 of 24 triangles have no area",
        "The mesh is open (edges of a single triangle: 4)",
        "The mesh has 2 parts",
    )
    assert all(n.startswith(b) for n, b in zip(notes, begins, strict=True))
    assert metrics["iou"] > 0.5


@pytest.mark.slow
def test_several_seeds_make_a_table(workplace: Path, tangrid: Type):
    outcome = tangrid(*FIT, "--seeds", 2, "--seed", 4)
    assert outcome.code == 0, outcome.err
    folder = Path("runs/egg-instant-ngp-seeds")
    rows = read(folder, "table.json")["rows"]
    assert [row["seed"] for row in rows] == [4, 5]
    assert outcome.out.splitlines()[-1] == str(folder / "report.html")
    assert "mean" in outcome.out


def test_flags_reach_the_fit(workplace: Path, tangrid: Type):
    outcome = tangrid(
        "fit", "sdf", "sphere", *JUDGED[:-4], "--model", "plain-mlp", "--params", 5000,
        "--steps", 2, "--out", "run",
        "--sampling", "neurbf", "--loss", "siren", "--normals", 20, "--points", 999,
        "--batch-size", 100, "--set", "pictures.view=7",
        "--set", "pictures.slice=9", "--set", "loss.truncation=0.2", "--threads", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    config = read("run", "config.json")
    assert config["signal"] == {"path": "sphere", "name": "sphere"}
    assert (config["pool"]["size"], config["pool"]["rule"]) == (999, "neurbf")
    loss = config["loss"]
    assert (loss["kind"], loss["eikonal"], loss["normals"]) == ("siren", 50.0, 20.0)
    assert loss["truncation"] == 0.2
    assert config["pictures"] == {"view": 7, "slice": 9}
    assert (config["training"]["batch_size"], config["training"]["threads"]) == (100, 1)
