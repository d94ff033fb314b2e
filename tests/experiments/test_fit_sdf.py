import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments import FitSdf, load
from tangrid.experiments.fit_sdf import MeshSource, fitted_shape, plan_sdf_fit
from tangrid.experiments.fitting import FittedRun
from tangrid.fields import count_parameters
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import PoolSettings
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.training import Moment, TrainingSettings
from tests.experiments.small_shapes import (
    FRAMING,
    NAME,
    PARAMS,
    TRAINING,
    egg,
    fit_shape,
    plan_shape,
    save_obj,
    shape,
)
from tests.training.small_fits import assert_same_field, curve

SHORT = dataclasses.replace(TRAINING, steps=30)
FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "metrics.json",
    "pictures.json",
    "field.safetensors",
    "state.safetensors",
    "state.json",
    *(f"view_{n}_{kind}.png" for n in range(3) for kind in ("target", "fit", "error")),
    *(f"slice_{n}_{kind}.png" for n in range(2) for kind in ("target", "fit")),
}
COSTS = {
    "seconds",
    "points_per_second",
    "peak_memory_mb",
    "sampling_seconds",
    "judging_seconds",
    "pool_from_disk",
    "implementations",
    "versions",
}


def scores(run: FittedRun) -> dict[str, Any]:
    """What a run is worth, but for what it cost."""
    return {key: value for key, value in run.metrics.items() if key not in COSTS}


@pytest.fixture(scope="module")
def fitted() -> FittedRun:
    return fit_shape()


@pytest.mark.parametrize("model", ["instant-ngp", "siren"])
def test_a_plan_resolves_everything(model: str):
    experiment = plan_shape(model, seed=5)
    assert (experiment.model, experiment.seed) == (model, 5)
    assert (experiment.site.num_dims, experiment.site.num_channels) == (3, 1)
    assert experiment.frame == shape().frame
    count = count_parameters(experiment.field, experiment.site)
    assert abs(count / PARAMS - 1) <= 0.02
    assert set(experiment.build().parameter_groups()) <= set(experiment.training.rates)
    text = json.dumps(to_plain(experiment))
    assert json.loads(text)["kind"] == "fit-sdf"
    assert from_plain(json.loads(text)) == experiment


def test_single_settings_change_the_plan():
    settings = {
        "loss.eikonal": "0.1",
        "pool.rule": "neurbf",
        "judge.resolution": "12",
        "pictures.slice": "7",
        "training.ema": "0.5",
    }
    changed = plan_shape(settings=settings)
    assert (changed.loss.kind, changed.loss.eikonal) == ("l1", 0.1)
    assert changed.pool == PoolSettings(size=8192, rule="neurbf")
    assert (changed.judge.resolution, changed.pictures.slice) == (12, 7)
    assert changed.training.ema == 0.5


@pytest.mark.parametrize("path", ["seed", "signal.path", "frame.side", "model"])
def test_settings_of_the_mesh_are_not_changed_singly(path: str):
    with pytest.raises(ConfigError, match="begins with field or training or loss or"):
        plan_shape(settings={path: "1"})


@pytest.mark.parametrize(
    ("training", "size"),
    [
        (TrainingSettings(steps=10, batch_size=1000), 2**16),
        (TrainingSettings(steps=200, batch_size=1000), 200_000),
        (TrainingSettings(steps=10_000, batch_size=10_000), 2**22),
        (TrainingSettings(steps=None, minutes=1.0), 2**22),
    ],
)
def test_a_pool_holds_no_more_than_training_sees(training: TrainingSettings, size: int):
    source = MeshSource(name=NAME)
    given = {"model": "instant-ngp", "params": PARAMS, "training": training}
    assert plan_sdf_fit(shape(), source, **given).pool.size == size
    for own in ({"points": 100}, {"settings": {"pool.size": "100"}}):
        plan = plan_sdf_fit(shape(), source, **given, **own)
        assert plan.pool.size == 100
        assert plan.training.batch_size == 100, "a batch has every point at most once"


def test_metrics_say_what_came_out(fitted: FittedRun):
    metrics = fitted.metrics
    assert metrics["iou"] > 0.9
    assert 0 < metrics["sdf_error"] < 0.01
    assert 0 < metrics["chamfer_l1"] < 0.1
    assert 0 < metrics["nae"] < 45
    assert metrics["surface_faces"] > 1000
    named = ("signal", "model", "seed", "steps", "pool_points", "is_open", "notes")
    assert {name: metrics[name] for name in named} == {
        "signal": NAME,
        "model": "instant-ngp",
        "seed": 0,
        "steps": 200,
        "pool_points": 8192,
        "is_open": False,
        "notes": [],
    }
    assert (metrics["mesh_faces"], metrics["shells"]) == (1280, 1)
    assert metrics["box_side"] == pytest.approx(2 / 0.9)
    assert "surface_missing" not in metrics
    rate = 200 * 1024 / metrics["seconds"]
    assert metrics["points_per_second"] == pytest.approx(rate)


def test_the_field_is_the_distance(fitted: FittedRun):
    points = shape().frame.to_box(egg()[0][::9]).astype(np.float32)
    with fitted_shape(fitted.field, 1) as found:
        values = found.values(torch.from_numpy(points))
        slopes = found.gradients(torch.from_numpy(points))
    assert values.abs().mean() < 0.01
    assert slopes.shape == (len(points), 3)


def test_the_same_plan_gives_the_same_scores(fitted: FittedRun):
    again = fit_shape()
    assert_same_field(again.field, fitted.field)
    assert scores(again) == scores(fitted)
    other = fit_shape(plan_shape(seed=1))
    assert other.metrics["iou"] != fitted.metrics["iou"]


@pytest.mark.parametrize(("scale", "move"), [(1e-6, 0.0), (1.0, 1e6)])
def test_size_and_place_of_the_mesh_do_not_matter(
    scale: float, move: float, fitted: FittedRun
):
    vertices, faces = egg()
    moved = MeshSignal.from_arrays(vertices * scale + move, faces, name=NAME)
    run = fit_shape(signal=moved)
    assert moved.notes == ()
    # The pool is the same but for rounding, and training makes that larger.
    assert run.metrics["iou"] == pytest.approx(fitted.metrics["iou"], abs=0.02)
    assert run.metrics["nae"] == pytest.approx(fitted.metrics["nae"], rel=0.3)


def test_a_run_leaves_a_folder_from_which_it_is_loaded(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "run")
    fitted = fit_shape(folder=folder, framing=None)
    assert {path.name for path in folder.path.iterdir()} == FILES
    assert folder.read_json("pictures.json")["kind"] == "shape"
    scale = folder.read_json("pictures.json")["error_scale"]
    assert fitted.framing.error_scale == scale
    loaded = load(folder.path)
    assert isinstance(loaded.experiment, FitSdf)
    assert loaded.experiment == fitted.experiment
    assert_same_field(loaded.field, fitted.field)
    assert folder.read_json("metrics.json") == json.loads(json.dumps(fitted.metrics))


def test_an_interrupted_run_comes_out_the_same(tmp_path: Path):
    plan = plan_shape(training=SHORT, settings={"training.ema": "0.9"})
    whole = RunFolder.create(tmp_path / "whole")
    expected = fit_shape(plan, folder=whole)

    def stop(moment: Moment) -> None:
        if moment.step == 3:
            signal.raise_signal(signal.SIGINT)

    parts = RunFolder.create(tmp_path / "parts")
    with pytest.raises(InterruptedRunError):
        fit_shape(plan, folder=parts, on_step=stop)
    assert not parts.has("metrics.json")
    found = fit_shape(plan, folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(found.field, expected.field)
    assert scores(found) == scores(expected)


def test_points_that_are_drawn_are_told():
    told: list[tuple[int, int]] = []
    plan = plan_shape(training=SHORT, points=520, seed=77)
    fit_shape(plan, on_points=lambda done, total: told.append((done, total)))
    assert told[-1] == (520, 520)
    # The second time they are on disk.
    assert fit_shape(plan).metrics["pool_from_disk"] is True


@pytest.mark.parametrize(
    "loss",
    [
        SdfLoss(kind="siren", eikonal=50.0, normals=100.0),
        SdfLoss(kind="l2", eikonal=0.1),
        SdfLoss(kind="truncated-l1"),
    ],
    ids=lambda loss: loss.kind,
)
def test_every_loss_trains(loss: SdfLoss):
    run = fit_shape(plan_shape(loss=loss, training=SHORT))
    assert np.isfinite(run.metrics["sdf_error"])


def test_a_framing_is_handed_on():
    assert fit_shape(plan_shape(training=SHORT)).framing is FRAMING


def test_a_source_opens_its_file(tmp_path: Path):
    path = save_obj(tmp_path / "egg.obj", *egg())
    opened = MeshSource(path=str(path), name="other").open()
    assert (opened.name, len(opened.mesh.faces)) == ("egg", 1280)
    assert MeshSource(path="box").open().name == "box"
    with pytest.raises(ConfigError, match="got arrays that only the program"):
        MeshSource(name="arrays").open()
