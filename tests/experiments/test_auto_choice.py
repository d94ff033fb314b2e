"""Settings of a fit are chosen by what is predicted on its own signal."""

import json
from pathlib import Path

import pytest
import torch

import tangrid as tg
from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments import auto_choice, auto_jobs
from tangrid.experiments.auto_choice import AutoRequest, choose
from tangrid.experiments.fit_sdf import FitSdf
from tangrid.experiments.predict_signal import Predicted
from tangrid.reports.choice_section import choice_section
from tangrid.reports.fit_report import fit_page
from tangrid.runs import read_run
from tangrid.signals.image import ImageSignal
from tangrid.training import TrainingSettings
from tests.experiments.small_experiments import image, plan
from tests.experiments.small_shapes import plan_shape, shape

SMALL = {
    "model": "fourier-mlp",
    "steps": 5,
    "progress": False,
    "auto": True,
    "settings": {"field.decoder.width": "16", "training.threads": "1"},
}
SWEEP = "sigma=0.5,64"
CHOSEN = "fourier-mlp sigma=0.5"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of a smooth image whose bandwidth was chosen."""
    folder = tmp_path_factory.mktemp("auto") / "run"
    run = tg.fit(image(), **SMALL, sweep=SWEEP, out=folder)
    assert run.metrics["auto"]["label"] == CHOSEN
    return folder


def read(folder: Path, name: str):
    return json.loads((folder / name).read_text())


def test_a_smooth_image_gets_low_frequencies(fitted: Path):
    record = read(fitted, "prediction.json")
    assert record["asked"] == {"models": ["fourier-mlp"], "sweeps": [SWEEP]}
    ranks = {row["label"]: row["rank"] for row in record["table"]["rows"]}
    assert ranks[CHOSEN] == 1
    assert set(ranks) == {CHOSEN, "fourier-mlp sigma=64", "fourier-mlp"}
    auto = read(fitted, "metrics.json")["auto"]
    assert auto == record["chosen"]
    assert auto["default"] == "fourier-mlp"
    assert auto["default_behind"] > 0
    assert auto["candidates"] == 3


def test_the_record_is_of_the_chosen_settings_alone(fitted: Path):
    config = read(fitted, "config.json")
    assert config["field"]["encoding"]["bandwidth_cycles"] == 0.5
    settings = SMALL["settings"] | {"field.encoding.bandwidth_cycles": "0.5"}
    same = tg.fit(image(), **SMALL | {"auto": False, "settings": settings})
    coords = torch.rand(9, 2)
    assert torch.equal(tg.load(fitted).field(coords), same.field(coords))
    assert "auto" not in same.metrics


def test_going_on_predicts_nothing_again(fitted: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("predicted again")

    monkeypatch.setattr("tangrid.experiments.auto_choice.run_prediction", fail)
    run = tg.fit(image(), **SMALL, sweep=SWEEP, out=fitted, resume=True)
    assert run.metrics["auto"]["label"] == CHOSEN
    with pytest.raises(ConfigError, match=r"chosen from fourier-mlp sigma=0\.5,64 and"):
        tg.fit(image(), **SMALL, sweep="sigma=1,2", out=fitted, resume=True)


def test_going_on_with_what_nobody_chose_is_refused(tmp_path: Path):
    tg.fit(image(), **SMALL | {"auto": False}, out=tmp_path)
    with pytest.raises(ConfigError, match="begun with --auto, got one without predic"):
        tg.fit(image(), **SMALL, sweep=SWEEP, out=tmp_path, resume=True)


def test_the_report_shows_what_was_compared(fitted: Path):
    page = fit_page(read_run(fitted))
    assert "How the settings were chosen" in page
    for words in (
        CHOSEN,
        "fourier-mlp sigma=64",
        "chosen",
        "as it is",
        "Predicted PSNR",
    ):
        assert words in page
    assert "or stayed as it was" in page
    assert choice_section({}) is None


def request(**changes) -> AutoRequest:
    return AutoRequest(**{"models": ("instant-ngp",), **changes})


def chosen(signal: ImageSignal, asked: AutoRequest):
    def plan_one(model: str, settings):
        return plan(model, params=asked.params, settings=settings)

    return choose(signal, plan_one, asked)


@pytest.mark.parametrize(
    ("error", "label"), [(0.5, "siren"), (0.3, "siren omega=3")], ids=["near", "far"]
)
def test_what_is_no_better_than_its_error_changes_nothing(
    error: float, label: str, monkeypatch: pytest.MonkeyPatch
):
    rows = [
        {"label": "siren omega=3", "settings": {"field.frequency": "3"}, "rank": 1},
        {"label": "siren", "settings": {}, "rank": 2, "behind": 0.4},
    ]
    for row in rows:
        row |= {"model": "siren", "predicted_psnr": 20.0, "predicted_psnr_error": 1.0}
    rows[1]["behind_error"] = error
    table = {"rows": rows, "candidates": 2}
    monkeypatch.setattr(
        auto_choice, "run_prediction", lambda *_, **__: iter([Predicted(table=table)])
    )
    found = chosen(image(), request(models=("siren",), sweeps=("omega=3",)))
    assert found.summary["label"] == label
    is_kept = label == "siren"
    assert found.summary["best"] == "siren omega=3"
    too_little = "0.40 ± 0.50 dB behind siren omega=3, which is too little; it stays"
    assert (too_little in found.words) == is_kept
    assert ("siren as it is: 0.40 ± 0.30 dB behind" in found.words) != is_kept


def test_an_interrupted_choice_says_what_is_kept(monkeypatch: pytest.MonkeyPatch):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(auto_jobs, "choose", stopped)
    with pytest.raises(InterruptedRunError, match="of which nothing is kept"):
        tg.fit(image(), model="siren", auto=True, steps=3)


def test_models_are_chosen_among_too():
    asked = request(models=("siren", "instant-ngp"), sweeps=("rate=1",), params=20_000)
    choice = chosen(image(), asked)
    labels = choice.record["table"]["candidates"]
    assert labels == ["siren rate=1", "instant-ngp rate=1"]
    # Rates as they are make the first model itself.
    assert choice.record["chosen"]["default"] == "siren rate=1"
    assert choice.model in asked.models
    assert choice.record["chosen"]["label"] in choice.words


def test_what_suits_a_model_is_tried_and_what_cannot_be_is_left_out():
    def plan_one(model: str, settings):
        if settings.get("field.encoding.bandwidth_cycles") == "64":
            raise ConfigError("too fast")
        return plan(model, params=None, settings=settings)

    asked = request(models=("fourier-mlp",), settings={"field.decoder.width": "16"})
    record = choose(image(), plan_one, asked).record
    labels = [f"fourier-mlp sigma={sigma}" for sigma in (1, 2, 4, 8, 16, 32)]
    assert record["table"]["candidates"] == [*labels, "fourier-mlp"]
    assert record["impossible"] == [
        {"label": "fourier-mlp sigma=64", "why": "too fast"}
    ]
    assert "too fast" in str(choice_section(record))


def test_what_was_asked_for_must_be_possible():
    def plan_one(model: str, settings):
        if "field.encoding.bandwidth_cycles" in settings:
            raise ConfigError("too fast")
        return plan(model, params=None, settings=settings)

    asked = request(models=("fourier-mlp",), sweeps=("sigma=64",))
    with pytest.raises(ConfigError, match="too fast"):
        choose(image(), plan_one, asked)


def test_a_shape_is_told_by_distances():
    training = TrainingSettings(steps=5, batch_size=1024, threads=1)
    width = {"field.width": "16"}

    def plan_one(model: str, settings) -> FitSdf:
        return plan_shape(model, params=None, training=training, settings=settings)

    asked = request(models=("siren",), sweeps=("omega=10,30",), settings=width)
    choice = choose(shape(), plan_one, asked)
    assert choice.record["table"]["quantity"] == "distance"
    assert "of the box's side" in choice.words
    assert choice.record["chosen"]["predicted_error"] > 0
    assert "Predicted error" in str(choice_section(choice.record))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"auto": False, "sweep": SWEEP}, r"fit\(sweep=...\): expected auto=True"),
        ({"sweep": "omega=1:4"}, "expected a model that has it, got fourier"),
        ({"out": None, "resume": True}, "expected a folder to apply it to"),
    ],
)
def test_bad_wishes(more, words: str):
    with pytest.raises(ConfigError, match=words):
        tg.fit(image(), **SMALL | more)
