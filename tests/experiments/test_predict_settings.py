"""How long and how fast the lesson of a prediction is."""

import dataclasses
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.experiments import predict_candidate, predict_settings
from tangrid.experiments.predict_candidate import Estimates, estimate
from tangrid.experiments.predict_sample import image_windows
from tangrid.experiments.predict_settings import PredictionSettings, kernel_step
from tangrid.training import FittedField, Moment, TrainingSettings, fit
from tests.experiments.small_experiments import image, plan

RATES = {"grid": 1e-2, "decoder": 1e-3}


@pytest.mark.parametrize(
    ("training", "steps", "faster"),
    [
        ({"steps": 1000}, 333, 3.0),
        ({"steps": 300}, 100, 3.0),
        ({"steps": 150}, 100, 1.5),
        ({"steps": 100}, 100, 1.0),
        ({"steps": 7}, 7, 1.0),
        ({"steps": None, "minutes": 2.0}, 100, 3.0),
        ({"steps": 9000, "minutes": 2.0}, 100, 3.0),
        ({"steps": 7, "minutes": 2.0}, 7, 3.0),
    ],
)
def test_a_lesson_is_as_long_as_said_and_goes_as_far_as_the_fit(
    training: dict, steps: int, faster: float
):
    whole = TrainingSettings(**training, rates=RATES, ema=0.9)
    lesson = PredictionSettings().lesson_of(whole)
    assert lesson is not None
    assert (lesson.steps, lesson.minutes, lesson.ema) == (steps, None, None)
    wanted = {name: faster * rate for name, rate in RATES.items()}
    assert lesson.rates == pytest.approx(wanted, rel=2e-3)
    assert kernel_step(lesson) == round(steps / 2)
    five = PredictionSettings(lesson_steps=5).lesson_of(whole)
    assert five is not None
    assert five.steps == 5
    assert PredictionSettings(lesson_steps=0).lesson_of(whole) is None


@pytest.mark.parametrize(
    ("training", "warmup"),
    [({"steps": 300}, 10), ({"steps": 90}, 30), ({"steps": 300, "minutes": 1.0}, 0)],
)
def test_a_lesson_warms_up_as_long_as_the_fit_in_shares(training: dict, warmup: int):
    lesson = PredictionSettings().lesson_of(
        TrainingSettings(**training, rates=RATES, warmup_steps=30)
    )
    assert lesson is not None
    assert lesson.warmup_steps == warmup


def test_a_ridge_below_the_rounding_of_kernels_is_refused():
    with pytest.raises(ConfigError, match=r"at least 1e-05, .* got 1e-08. 0.0003 is"):
        PredictionSettings(initial_ridge=1e-8)


def estimates(monkeypatch: pytest.MonkeyPatch, faster: float) -> Estimates:
    """Of a network of sines, with a lesson of a fiftieth of the training."""
    monkeypatch.setattr(predict_settings, "_FASTER", faster)
    asked = plan("siren", params=4000)
    training = dataclasses.replace(asked.training, steps=400, threads=1)
    asked = dataclasses.replace(asked, training=training)
    picture = image(side=32)
    windows = image_windows(picture, None, count=2, points=32, judged=0.25, seed=0)
    look = PredictionSettings(windows=2, points=32, lesson_steps=8)
    return estimate(asked, picture.site, windows, look, HOST)


@pytest.mark.parametrize("step", [3, 8], ids=["amid", "last"])
def test_an_interrupted_lesson_ends_the_prediction(
    step: int, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(
        *args: Any, on_step: Callable[[Moment], None], **options: Any
    ) -> FittedField:
        def stop(moment: Moment) -> None:
            on_step(moment)
            if moment.step == step:
                signal.raise_signal(signal.SIGINT)

        return fit(*args, on_step=stop, **options)

    monkeypatch.setattr(predict_candidate, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimates(monkeypatch, 1.0)


@pytest.mark.parametrize("faster", [1e3, 1e30], ids=["worse", "not finite"])
def test_what_does_not_bear_larger_rates_is_taught_at_its_own(
    faster: float, monkeypatch: pytest.MonkeyPatch
):
    own = estimates(monkeypatch, 1.0)
    found = estimates(monkeypatch, faster)
    for name in ("plain", "initial", "kernel", "lesson"):
        assert torch.equal(getattr(found, name), getattr(own, name))
    faster_one = estimates(monkeypatch, 2.0)
    assert not torch.equal(faster_one.lesson, own.lesson)
