"""Predictions of small candidates: estimates, tables, going on, and failures."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError, NumericalError, ResourceError, TangridError
from tangrid.experiments import PredictImage, PredictSdf, predict_signal
from tangrid.experiments.fit_image import ImageSource
from tangrid.experiments.fit_sdf import MeshSource
from tangrid.experiments.keeping import keeping
from tangrid.experiments.predict_candidate import estimate
from tangrid.experiments.predict_images import plan_image_prediction
from tangrid.experiments.predict_sample import Window, image_windows
from tangrid.experiments.predict_sdfs import plan_sdf_prediction
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.experiments.predict_signal import run_prediction
from tangrid.experiments.prediction_ranking import ranking
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.plain_json import to_json
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.training import TrainingSettings
from tests.experiments.small_experiments import image, plan
from tests.experiments.small_shapes import shape

LOOK = PredictionSettings(windows=2, points=16, lesson_steps=4)
TRAINING = TrainingSettings(steps=6, batch_size=256, threads=1)
SIGNAL = image(side=32)
EXPERIMENT = PredictImage(
    models=("siren", "fourier-mlp"),
    sweeps=("sigma=1,32",),
    signal=ImageSource(name="waves"),
    params=16_000,
    holdout=True,
    training=TRAINING,
    look=LOOK,
)
LABELS = ["siren", "fourier-mlp sigma=1", "fourier-mlp sigma=32"]


def errors_by_refits(window: Window, kernel: torch.Tensor, residual: torch.Tensor):
    """What regression with a ridge says of each point, fitted to all others."""
    ridge = LOOK.plain_ridge * float(kernel.diagonal().mean())
    found = torch.empty_like(residual)
    everything = torch.arange(len(window))
    for point in everything:
        others = everything[everything != point]
        damped = kernel[others][:, others] + ridge * torch.eye(len(others))
        weights = torch.linalg.solve(damped, residual[others])
        found[point] = residual[point] - kernel[point, others] @ weights
    return found


def test_the_untouched_kernel_is_judged_by_refits_without_each_point():
    fit = plan("siren", params=16_000)
    whole = image_windows(SIGNAL, None, count=2, points=16, judged=0.25, seed=0)
    windows = [
        Window(
            coords=it.coords[:12], values=it.values[:12], is_judged=it.is_judged[:12]
        )
        for it in whole
    ]
    look = dataclasses.replace(LOOK, lesson_steps=0)
    found = estimate(fit, SIGNAL.site, windows, look, HOST, limits=None)
    field = fit.build(SIGNAL.site)
    for number, window in enumerate(windows):
        summed = tangent_kernel(field, window.coords, outputs="trace").to_dense()
        with torch.no_grad():
            residual = (window.values - field(window.coords)).double()
        kernel = summed / SIGNAL.num_channels
        expected = errors_by_refits(window, kernel, residual).square().mean()
        assert float(found.plain[number]) == pytest.approx(float(expected), rel=1e-6)
    assert found.kernel is None
    assert torch.equal(found.predicted, found.initial)


def test_the_table_has_a_row_per_candidate():
    planned = plan_image_prediction(EXPERIMENT, SIGNAL)
    announced: list[tuple[int, int, str]] = []
    tables = [
        it.table
        for it in run_prediction(planned, on_candidate=lambda *at: announced.append(at))
    ]
    assert announced == [(place, 3, label) for place, label in enumerate(LABELS)]
    assert [len(table["rows"]) for table in tables] == [1, 2, 3]
    assert [table["is_finished"] for table in tables] == [False, False, True]
    last = tables[-1]
    assert last["candidates"] == [row["label"] for row in last["rows"]] == LABELS
    for row in last["rows"]:
        assert set(row) == {
            "label", "model", "settings", "seeds", "field", "params_trainable",
            "predicted_psnr", "predicted_psnr_error", "behind", "behind_error", "rank",
            "initial_rank", "plain_psnr", "initial_psnr", "kernel_psnr", "lesson_psnr",
            "windows", "lesson_steps", "seconds", "diagnostics", "curve",
        }  # fmt: skip
        windows = row["windows"]
        logs = [w * np.log(windows[name]) for name, w in last["weights"].items()]
        assert windows["predicted"] == pytest.approx(np.exp(sum(logs)))
    assert sorted(row["rank"] for row in last["rows"]) == [1, 2, 3]


def test_ranks_are_those_of_the_windows_of_all_seeds():
    experiment = dataclasses.replace(EXPERIMENT, seeds=(0, 1), diagnostics=False)
    *_, found = run_prediction(plan_image_prediction(experiment, SIGNAL))
    rows = {row["label"]: row for row in found.rows}
    assert rows["siren"]["windows"]["seed"] == [0, 0, 1, 1]
    assert "diagnostics" not in rows["siren"]
    errors = {
        label: torch.tensor(row["windows"]["predicted"]) for label, row in rows.items()
    }
    expected = ranking(errors)
    assert [row["label"] for row in found.rows] == [rank.label for rank in expected]
    assert found.best is found.rows[0]
    for row, rank in zip(found.rows, expected, strict=True):
        assert row["behind"] == pytest.approx(rank.behind, abs=1e-6)


def test_a_lesson_belongs_to_its_candidate():
    """Not to the steps that all were asked for: one may have others of its own."""
    settings = {"training.steps": "600", "training.batch_size": "64"}
    only = dataclasses.replace(
        EXPERIMENT,
        models=("siren",),
        sweeps=(),
        settings=settings,
        look=dataclasses.replace(LOOK, lesson_steps=None),
        diagnostics=False,
    )
    *_, found = run_prediction(plan_image_prediction(only, SIGNAL))
    assert found.rows[0]["lesson_steps"] == 200
    short = dataclasses.replace(only, settings={"training.steps": "3"})
    *_, found = run_prediction(plan_image_prediction(short, SIGNAL))
    assert found.rows[0]["lesson_steps"] == 3
    none = dataclasses.replace(only, look=dataclasses.replace(LOOK, lesson_steps=0))
    *_, found = run_prediction(plan_image_prediction(none, SIGNAL))
    assert found.rows[0]["lesson_steps"] == 0
    assert found.table["weights"] == {"initial": 1.0}


def test_diagnostics_are_small_and_whole():
    only = dataclasses.replace(EXPERIMENT, models=("siren",), sweeps=())
    *_, found = run_prediction(plan_image_prediction(only, SIGNAL))
    told, curve = found.rows[0]["diagnostics"], found.rows[0]["curve"]
    assert set(told) == {"points", "summary", "bound", "ridges", "spectrum"}
    assert told["points"] <= 2 * 20
    assert told["bound"]["finite_time"] > 0
    assert len(told["ridges"]["share"]) == len(told["ridges"]["leave_one_out_mse"])
    assert np.all(np.diff(curve["train_mse"]) <= 1e-12)
    assert len(curve["steps"]) == len(curve["test_mse"])


def test_finished_candidates_are_kept(tmp_path: Path):
    planned = plan_image_prediction(EXPERIMENT, SIGNAL)
    folder = RunFolder.create(tmp_path)
    going = run_prediction(planned, folder)
    first = next(going).table["rows"]
    going.close()
    begun: list[str] = []
    *_, found = run_prediction(
        planned,
        folder,
        resume=True,
        on_candidate=lambda _, __, label: begun.append(label),
    )
    assert begun == LABELS[1:]
    assert found.table["rows"][0]["windows"] == first[0]["windows"]
    *_, whole = run_prediction(planned)
    for mine, theirs in zip(found.table["rows"], whole.table["rows"], strict=True):
        assert mine["predicted_psnr"] == theirs["predicted_psnr"]
    *_, again = run_prediction(planned, folder, resume=True)
    assert to_json(again.table) == to_json(found.table)
    assert from_plain(folder.read_json("config.json")) == planned.experiment


def test_another_signal_of_the_same_name_is_not_gone_on_with(tmp_path: Path):
    asked = dataclasses.replace(EXPERIMENT, models=("siren",), sweeps=())
    kept = plan_image_prediction(asked, SIGNAL).experiment
    with keeping(tmp_path / "image", kept) as begun:
        begun.folder.write_json("config.json", to_plain(kept))
        begun.folder.write_json("table.json", {})
    dimmed = ImageSignal.from_array(SIGNAL.pixels // 2, name=SIGNAL.name)
    for other, where in ((dimmed, "digest"), (image(side=48), "resolution")):
        again = plan_image_prediction(asked, other).experiment
        with (
            pytest.raises(ConfigError, match=f"one in which {where}"),
            keeping(tmp_path / "image", again, resume=True),
        ):
            pass
    with keeping(tmp_path / "image", kept, resume=True) as found:
        assert found.resume


def test_a_prediction_knows_its_mesh():
    asked = PredictSdf(
        models=("siren",), signal=MeshSource(name="egg"), points=2048, look=LOOK
    )
    planned = plan_sdf_prediction(asked, shape())
    assert planned.experiment == dataclasses.replace(asked, digest=shape().digest)


def test_diagnostics_that_fail_leave_the_prediction(monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        message = "no eigenvalues"
        raise NumericalError(message)

    monkeypatch.setattr(predict_signal, "diagnose", fails)
    only = dataclasses.replace(EXPERIMENT, models=("siren",), sweeps=())
    *_, found = run_prediction(plan_image_prediction(only, SIGNAL))
    (row,) = found.rows
    assert (row["rank"], row["diagnostics"], row["curve"]) == (1, None, None)
    assert row["diagnostics_failed"] == "no eigenvalues"


@pytest.mark.parametrize("error", [NumericalError, ResourceError])
def test_a_candidate_that_fails_stands_last(
    error: type[TangridError], monkeypatch: pytest.MonkeyPatch
):
    whole = predict_signal.estimate

    def fails_once(fit, *rest, **more):
        if fit.model == "siren":
            message = "it went wrong"
            raise error(message)
        return whole(fit, *rest, **more)

    monkeypatch.setattr(predict_signal, "estimate", fails_once)
    *_, found = run_prediction(plan_image_prediction(EXPERIMENT, SIGNAL))
    last = found.rows[-1]
    assert (last["label"], last["rank"]) == ("siren", None)
    assert last["failed"] == "it went wrong"
    assert [row["rank"] for row in found.rows[:2]] == [1, 2]


def test_distances_are_roots_of_mean_squares():
    experiment = PredictSdf(
        models=("siren", "fourier-mlp"),
        signal=MeshSource(name="egg"),
        params=16_000,
        training=TRAINING,
        points=2048,
        look=LOOK,
    )
    *_, found = run_prediction(plan_sdf_prediction(experiment, shape()))
    for row in found.rows:
        mean = np.mean(row["windows"]["lesson"])
        assert row["lesson_error"] == pytest.approx(math.sqrt(mean))
        assert row["predicted_error_error"] > 0
    assert from_plain(to_plain(experiment)) == experiment


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("siren", "siren")}, "models: .* got siren twice"),
        ({"seeds": ()}, "seeds: .* got none"),
        ({"models": ("sirn",)}, "Did you mean 'siren'"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_runs(changes: dict, message: str):
    wrong = dataclasses.replace(EXPERIMENT, **{"sweeps": (), **changes})
    with pytest.raises(ConfigError, match=message):
        plan_image_prediction(wrong, SIGNAL)


def test_grids_share_levels_but_for_what_is_swept():
    asked = dataclasses.replace(
        EXPERIMENT,
        models=("instant-ngp", "instant-ngp-sine"),
        sweeps=("levels=4,8",),
        params=20_000,
    )
    planned = plan_image_prediction(asked, SIGNAL).candidates
    growths: dict[str, set[float]] = {}
    for it in planned:
        field = it.fits[0].field
        levels = it.label.rsplit("=", 1)[-1]
        growths.setdefault(levels, set()).add(field.encoding.growth)  # pyright: ignore
    assert {levels: len(found) for levels, found in growths.items()} == {
        "4": 1, "8": 1,
    }  # fmt: skip
