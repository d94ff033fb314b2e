import dataclasses
import json
import math
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments import FitImage, load
from tangrid.experiments.fit_image import ImageSource, run_fit
from tangrid.fields import count_parameters
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal
from tangrid.training import Moment, TrainingSettings
from tests.experiments.small_experiments import PARAMS, TRAINING, image, plan
from tests.training.small_fits import assert_same_field, curve, psnr

FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "metrics.json",
    "pictures.json",
    "field.safetensors",
    "state.safetensors",
    "state.json",
    "target.png",
    "reconstruction.png",
    "error.png",
}


@pytest.mark.parametrize("model", ["instant-ngp", "siren", "fourier-mlp", "dense-grid"])
def test_a_plan_resolves_everything(model: str):
    experiment = plan(model, seed=5)
    assert (experiment.model, experiment.seed) == (model, 5)
    assert experiment.num_channels == 3
    assert experiment.resolution == (16, 16)
    count = count_parameters(experiment.field, experiment.site)
    assert abs(count / PARAMS - 1) <= 0.02
    assert set(experiment.build().parameter_groups()) <= set(experiment.training.rates)


@pytest.mark.parametrize("model", ["instant-ngp-sine", "siren", "fourier"])
def test_a_plan_survives_json(model: str):
    experiment = plan(model)
    text = json.dumps(to_plain(experiment))
    rebuilt = from_plain(json.loads(text))
    assert isinstance(rebuilt, FitImage)
    assert rebuilt == experiment
    assert json.loads(text)["kind"] == "fit-image"


def test_a_models_own_rates_stand_until_they_are_set():
    assert plan("fourier-mlp").training.rates["decoder"] == 1e-3
    assert plan("instant-ngp").training.rates["decoder"] == 5e-3
    changed = plan("fourier-mlp", settings={"training.rates.decoder": "0.02"})
    assert changed.training.rates["decoder"] == 0.02


def test_single_settings_change_the_plan():
    settings = {"field.encoding.num_levels": "8", "field.decoder": "linear"}
    changed = plan(settings=settings)
    config: Any = changed.field
    assert config.encoding.num_levels == 8
    assert config.decoder.kind == "linear"
    # The budget is met with the settings, not before them.
    count = count_parameters(changed.field, changed.site)
    assert abs(count / PARAMS - 1) <= 0.02


@pytest.mark.parametrize("path", ["seed", "signal.path", "resolution", "colour"])
def test_settings_of_the_image_are_not_changed_singly(path: str):
    with pytest.raises(ConfigError, match="begins with field or training"):
        plan(settings={path: "1"})


def test_a_group_without_a_rate_is_refused_before_training():
    bare = dataclasses.replace(TRAINING, rates={"grid": 1e-3})
    with pytest.raises(ConfigError, match="for the parameter group 'decoder'"):
        plan(model="hash-grid", training=bare)


def test_metrics_say_what_came_out():
    fitted = run_fit(plan(), image())
    metrics = fitted.metrics
    pixels = psnr(fitted.field, image())
    assert metrics["psnr"] == pytest.approx(pixels, abs=1e-3)
    assert abs(metrics["psnr_8bit"] - pixels) < 0.2
    assert 0 < metrics["ssim"] <= 1
    assert 0 < metrics["mae"] < math.sqrt(10 ** (-pixels / 10))
    named = ("signal", "model", "seed", "steps", "device", "dtype")
    found = {name: metrics[name] for name in named}
    assert found == {
        "signal": "waves",
        "model": "instant-ngp",
        "seed": 0,
        "steps": 6,
        "device": "cpu",
        "dtype": "float32",
    }
    assert abs(metrics["params_trainable"] / PARAMS - 1) <= 0.02
    assert metrics["params_stored"] == metrics["params_trainable"]
    rate = 6 * 100 / metrics["seconds"]
    assert metrics["points_per_second"] == pytest.approx(rate)
    assert metrics["implementations"]["grid_lookup"] == "numba"
    assert "torch" in metrics["versions"]


def test_stored_numbers_include_what_is_not_trained():
    metrics = run_fit(plan("fourier-mlp"), image()).metrics
    # 256 frequencies of two coordinates and their amplitudes.
    assert metrics["params_stored"] - metrics["params_trainable"] == 256 * 3


def test_a_run_leaves_a_folder_from_which_it_is_loaded(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "run")
    fitted = run_fit(plan(), image(), folder=folder)
    names = {path.name for path in folder.path.iterdir()}
    assert {name for name in names if not name.startswith("crop_")} == FILES
    loaded = load(folder.path)
    assert loaded.experiment == fitted.experiment
    assert_same_field(loaded.field, fitted.field)
    coords = torch.rand(20, 2)
    assert torch.equal(loaded.field(coords), fitted.field(coords))
    assert loaded.metrics["psnr"] == fitted.metrics["psnr"]
    assert folder.read_json("metrics.json") == json.loads(json.dumps(fitted.metrics))


def test_the_reconstruction_shows_the_field(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "run")
    fitted = run_fit(plan(), image(), folder=folder)
    coords = image().pixel_coords(torch.arange(256))
    with torch.no_grad():
        values = fitted.field(coords).clamp(0, 1).view(16, 16, 3).numpy()
    with Image.open(folder.path / "reconstruction.png") as picture:
        shown = np.asarray(picture).astype(int)
    assert np.abs(shown - np.round(values * 255)).max() <= 1


@pytest.mark.parametrize("model", ["instant-ngp", "siren"])
def test_the_same_plan_gives_the_same_bits(model: str):
    first, second = (run_fit(plan(model), image()) for _ in range(2))
    assert_same_field(first.field, second.field)
    assert first.metrics["psnr"] == second.metrics["psnr"]
    other = run_fit(plan(model, seed=1), image())
    assert other.metrics["psnr"] != first.metrics["psnr"]


def test_an_interrupted_run_comes_out_the_same(tmp_path: Path):
    whole = RunFolder.create(tmp_path / "whole")
    expected = run_fit(plan(), image(), folder=whole)

    def stop(moment: Moment) -> None:
        if moment.step == 3:
            signal.raise_signal(signal.SIGINT)

    parts = RunFolder.create(tmp_path / "parts")
    with pytest.raises(InterruptedRunError):
        run_fit(plan(), image(), folder=parts, on_step=stop)
    assert not parts.has("metrics.json")
    found = run_fit(plan(), image(), folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(found.field, expected.field)
    for name in ("psnr", "ssim", "mae", "steps"):
        assert found.metrics[name] == expected.metrics[name], name


def test_held_out_pixels_are_judged_apart():
    training = dataclasses.replace(TRAINING, steps=150)
    metrics = run_fit(plan(holdout=True, training=training), image()).metrics
    assert metrics["psnr_heldout"] < metrics["psnr_trained"]


def test_a_share_of_the_pixels_is_held_out_at_random():
    experiment = plan(heldout_share=0.5)
    split = experiment.split(image())
    assert split is not None
    assert split.name == "random-pixels"
    assert run_fit(experiment, image()).metrics["psnr_heldout"] > 0
    with pytest.raises(ConfigError, match="holdout: expected one rule"):
        plan(heldout_share=0.5, holdout=True)


def test_a_framing_is_handed_on():
    first = run_fit(plan(), image())
    second = run_fit(plan("siren"), image(), framing=first.framing)
    assert second.framing == first.framing


def test_time_alone_can_end_a_run():
    training = TrainingSettings(steps=None, minutes=0.001, batch_size=100)
    fitted = run_fit(plan(training=training), image())
    assert fitted.metrics["steps"] >= 1
    assert fitted.metrics["seconds"] >= 0.06


def test_a_source_opens_its_file(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(pixels).save(path)
    source = ImageSource(path=str(path), name="noise", crop="8x8+4+2")
    assert np.array_equal(source.open().pixels, pixels[2:10, 4:12])
    assert isinstance(source.open(), ImageSignal)


def test_an_array_is_not_opened_again():
    with pytest.raises(ConfigError, match="got an array that only the program"):
        ImageSource(name="array").open()


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, None),
        ({"field.decoder_dtype": "bfloat16"}, None),
        ({"field.decoder_dtype": "float16"}, 128.0),
        ({"field.encoding.table_dtype": "float16"}, 128.0),
        ({"field.decoder_dtype": "float16", "training.loss_scale": "8"}, 8.0),
    ],
)
def test_gradients_through_float16_are_scaled(settings: dict, scale: float | None):
    assert plan(settings=settings).training.loss_scale == scale


def test_settings_of_earlier_versions_are_read():
    """Files from before there were half tables and factors of the loss."""
    planned = plan()
    plain = to_plain(planned)
    del plain["field"]["encoding"]["table_dtype"]
    del plain["training"]["loss_scale"]
    assert from_plain(plain) == planned
