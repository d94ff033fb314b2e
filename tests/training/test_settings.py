import pytest

from tangrid.errors import ConfigError
from tangrid.runs.codec import from_plain, to_plain
from tangrid.training import TrainingSettings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "training.steps: expected a whole number >= 1, got 0"),
        ({"steps": -5}, "Say --steps with a positive number"),
        ({"steps": None}, "expected steps or minutes, got neither"),
        ({"minutes": 0.0}, "training.minutes: expected a time above 0, got 0.0"),
        ({"minutes": float("nan")}, "training.minutes: expected a time above 0"),
        ({"batch_size": 0}, "Say --batch-size with a positive number"),
        ({"piece_size": 0}, "Say --set training.piece-size=N with a positive number"),
        ({"threads": 0}, "training.threads: expected a whole number >= 1, got 0"),
        ({"ema": 1.0}, "training.ema: expected a decay between 0 and 1, got 1.0"),
        ({"ema": 0.0}, "training.ema: expected a decay between 0 and 1, got 0.0"),
        ({"ema_interval": 0}, "training.ema_interval: expected a whole number >= 1"),
        (
            {"hold": 1.0},
            "training.hold: expected a fraction from 0 to below 1, got 1.0",
        ),
        (
            {"hold": -0.1},
            "training.hold: expected a fraction from 0 to below 1, got -0.1",
        ),
        ({"hold": float("nan")}, "training.hold: expected a fraction"),
        ({"final_rate": -0.1}, "training.final_rate: expected a fraction of 0 or more"),
        ({"final_rate": float("nan")}, "expected a fraction of 0 or more, got nan"),
        (
            {"schedule": "exponential", "final_rate": 0.0},
            "training.final_rate: expected a fraction above 0 for an exponential",
        ),
        ({"betas": (0.9, 1.0)}, "training.betas: expected decays from 0 to 0.9997"),
        ({"eps": 0.0}, "training.eps: expected a number > 0, got 0.0"),
        ({"rates": {"grid": -1.0}}, "training.rates.grid: expected a rate >= 0"),
        ({"rates": {"grid": float("nan")}}, "training.rates.grid: expected a rate"),
    ],
)
def test_settings_that_cannot_train_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(**settings)
    assert words in str(caught.value)


def test_settings_survive_json():
    settings = TrainingSettings(
        steps=None,
        minutes=1.5,
        ema=0.9,
        ema_interval=4,
        rates={"grid": 0.1},
        schedule="exponential",
        hold=0.25,
    )
    assert from_plain(to_plain(settings), TrainingSettings) == settings
