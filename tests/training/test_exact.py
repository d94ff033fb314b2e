"""Fits that are solved exactly leave what fits leave, and refuse what has no steps."""

import dataclasses
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import tangrid as tg
from tangrid.errors import ConfigError, InterruptedRunError, NumericalWarning
from tangrid.experiments.compare_images import CompareImages, run_comparison
from tangrid.experiments.fit_image import ImageSource
from tangrid.fields import Field
from tangrid.linear import sparse_design
from tangrid.linear.solve import TOLERANCE, least_squares
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import split_every_second
from tangrid.tasks import ImageRegression
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.training import TrainingSettings, fit
from tangrid.training.loop import Probe
from tests.experiments.small_shapes import fit_shape, plan_shape
from tests.training.small_fits import assert_same_field, psnr, smooth_image

PARAMS = 4000
EXACT = TrainingSettings(optimizer="exact", threads=2)
SETTINGS = {"training.optimizer": "exact", "training.threads": "2"}
LINES = ("step", "seconds", "points", "loss", "psnr", "ridge")


def photograph(side: int = 24) -> ImageSignal:
    """Waves with noise, which a ridge is good for."""
    noise = np.random.default_rng(0).normal(0, 0.03, (side, side, 3))
    pixels = smooth_image(side).rows(0, side) + noise
    return ImageSignal.from_array(pixels.clip(0, 1).astype(np.float32), name="noisy")


def untrained(image: ImageSignal, model: str = "linear-grid") -> Field:
    return tg.build(
        model,
        num_dims=2,
        num_channels=3,
        params=PARAMS,
        resolution=(image.height, image.width),
    )


def test_a_run_is_the_least_squares_solution_and_its_record(tmp_path: Path):
    image = photograph()
    folder = tmp_path / "run"
    run = tg.fit(
        image, model="linear-grid", params=PARAMS, settings=SETTINGS, out=folder
    )
    pixels = torch.arange(image.num_pixels)
    alone = run.experiment.build(image.site)
    solution = least_squares(
        alone, image.pixel_coords(pixels), image.pixel_values(pixels), threads=2
    )
    assert_same_field(run.field, alone)
    record = run.metrics["exact"]
    assert record["ridge"] == solution.ridge
    assert record["rule"] == "gcv"
    assert record["stored_residual"] <= TOLERANCE
    assert len(record["path"]) == len(solution.path) > 2
    assert run.metrics["optimizer"] == "exact"
    assert run.metrics["steps"] == solution.all_iterations
    assert run.metrics["psnr"] == pytest.approx(psnr(run.field, image), abs=1e-3)
    lines = RunFolder(folder).read_lines("metrics.jsonl")
    assert all(set(LINES) <= set(line) for line in lines)
    assert lines[-1]["step"] == solution.all_iterations
    assert lines[-1]["loss"] == pytest.approx(solution.mse)
    assert "Exact solution" in (folder / "report.html").read_text()
    assert_same_field(tg.load(folder).field, run.field)


def test_a_ridge_and_a_rule_are_settings():
    image = photograph()
    given, chosen = (
        tg.fit(
            image, model="linear-grid", params=PARAMS, settings={**SETTINGS, **more}
        ).metrics["exact"]
        for more in ({"training.ridge": "0.5"}, {"training.ridge-rule": "holdout"})
    )
    assert (given["rule"], given["ridge"], given["path"]) == ("given", 0.5, [])
    assert chosen["rule"] == "holdout"
    assert len(chosen["path"]) > 2


def test_pixels_that_are_held_out_are_not_solved_for():
    image = photograph()
    run = tg.fit(
        image, model="linear-grid", params=PARAMS, settings=SETTINGS, holdout=True
    )
    split = split_every_second(image)
    alone = run.experiment.build(image.site)
    kept = ImageRegression(image, batch_size=100, split=split).all_points()
    assert kept is not None
    assert len(kept.coords) < image.num_pixels
    least_squares(alone, kept.coords, kept.targets, threads=2)
    assert_same_field(run.field, alone)
    assert run.metrics["psnr_heldout"] > 20


def test_comparisons_are_solved_one_by_one(tmp_path: Path):
    image = photograph(16)
    comparison = CompareImages(
        models=("linear-grid", "fourier-linear"),
        signals=(ImageSource(name=image.name),),
        params=600,
        training=EXACT,
    )
    rows = run_comparison(comparison, (image,), RunFolder.create(tmp_path / "all"))
    residuals = [row["exact"]["normal_residual"] for row in rows]
    assert len(residuals) == 2
    assert max(residuals) <= TOLERANCE


@pytest.mark.parametrize("tracked", ["tracked", "probed"])
def test_what_is_measured_between_steps_is_refused(tracked: str, tmp_path: Path):
    image = photograph(16)
    if tracked == "tracked":
        with pytest.raises(ConfigError, match="expected a fit in steps"):
            tg.fit(
                image,
                model="linear-grid",
                params=PARAMS,
                settings=SETTINGS,
                track_kernel=(0, 10),
                out=tmp_path / "run",
            )
        return
    probe = Probe(seconds=0.1, measure=lambda field, workers: {})
    task = ImageRegression(image, batch_size=100)
    with pytest.raises(ConfigError, match="nothing between its steps"):
        fit(task, untrained(image), EXACT, probe=probe)


def test_distances_are_solved_for_with_a_squared_loss():
    training = dataclasses.replace(EXACT, ridge=0.01)
    loss = SdfLoss(kind="l2")
    plan = plan_shape("linear-grid", params=19_440, training=training, loss=loss)
    run = fit_shape(plan)
    assert run.metrics["exact"]["normal_residual"] <= TOLERANCE
    assert run.metrics["exact"]["stored_residual"] <= TOLERANCE
    # The egg is an ellipsoid of which a grid of this size is a good copy.
    assert run.metrics["iou"] > 0.95


def test_another_loss_of_distances_is_refused():
    with pytest.raises(ConfigError, match="--loss l2"):
        plan_shape(
            "linear-grid", params=19_440, training=EXACT, loss=SdfLoss(kind="l1")
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 10}, "training.steps: expected none"),
        ({"minutes": 1.0}, "training.minutes: expected none"),
        ({"settings": {**SETTINGS, "training.rates.grid": "0.1"}}, "rates.grid: expec"),
    ],
)
def test_what_a_solution_has_no_use_for_is_refused(changes: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        tg.fit(
            photograph(16),
            model="linear-grid",
            params=PARAMS,
            **{"settings": SETTINGS, **changes},
        )


def test_more_features_than_can_be_factorised_are_refused():
    field = tg.build("fourier-linear", num_dims=2, num_channels=3, params=60_000)
    with pytest.raises(ConfigError, match=r"at most \d[,\d]* features"):
        fit(ImageRegression(photograph(16), batch_size=100), field, EXACT)


def test_a_record_says_where_the_solver_gave_up(monkeypatch: pytest.MonkeyPatch):
    few = partial(least_squares, max_iterations=2)
    monkeypatch.setattr("tangrid.training.exact.least_squares", few)
    monkeypatch.setattr(sparse_design, "_LARGEST_COARSE", {2: 0})
    with pytest.warns(NumericalWarning, match="after 2 iterations"):
        run = tg.fit(
            photograph(16), model="linear-grid", params=PARAMS, settings=SETTINGS
        )
    assert run.metrics["exact"]["converged"] is False
    assert run.metrics["exact"]["normal_residual"] > TOLERANCE


def test_a_task_of_other_points_is_refused():
    image = photograph(16)
    task = ImageRegression(image, batch_size=100, sampling="continuous")
    with pytest.raises(ConfigError, match="points which stay the same"):
        fit(task, untrained(image), EXACT)


def test_an_interrupted_solution_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Pressed:
        requested = True

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("tangrid.training.exact.Interruption", Pressed)
    image = photograph(16)
    folder = RunFolder.create(tmp_path / "run")
    task = ImageRegression(image, batch_size=100)
    with pytest.raises(InterruptedRunError, match="Repeat the command"):
        fit(task, untrained(image), EXACT, folder=folder)
    assert not (tmp_path / "run" / "field.safetensors").exists()


def test_steps_are_told():
    image = photograph(16)
    moments = []
    task = ImageRegression(image, batch_size=100)
    settings = dataclasses.replace(EXACT, ridge=1.0)
    done = fit(task, untrained(image), settings, on_step=moments.append)
    assert moments[-1].fraction == 1.0
    assert moments[-1].step == done.progress.step


def test_ridges_that_are_judged_at_held_out_points_are_told():
    image, told = photograph(16), []
    task = ImageRegression(image, batch_size=100)
    settings = dataclasses.replace(EXACT, ridge_rule="holdout")
    fit(task, untrained(image), settings, on_step=told.append)
    fractions = [moment.fraction for moment in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len({moment.measures["ridge"] for moment in told}) > 2
