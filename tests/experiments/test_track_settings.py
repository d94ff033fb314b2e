"""When a kernel is looked at, and what is refused."""

import dataclasses

import pytest

from tangrid.errors import ConfigError, ResourceError
from tangrid.experiments import track_settings
from tangrid.experiments.track_settings import (
    KernelTracking,
    Timetable,
    auto_steps,
    tracking_of,
    with_tracking,
)
from tangrid.runs.codec import from_plain, to_plain
from tangrid.training import TrainingSettings
from tests.experiments.small_experiments import plan


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, (0, 1)),
        (3, (0, 1, 3)),
        (100, (0, 1, 3, 10, 30, 100)),
        (250, (0, 1, 3, 10, 30, 100, 250)),
    ],
)
def test_auto_takes_two_steps_in_every_power_of_ten(steps: int, expected: tuple):
    assert auto_steps(steps) == expected


@pytest.mark.parametrize("steps", ["0,10,100", [0, 10, 100], (0, 10, 100)])
def test_steps_are_words_or_numbers(steps: object):
    assert tracking_of(steps, 7) == KernelTracking(steps=(0, 10, 100), points=7)


@pytest.mark.parametrize(
    "steps", ["", "often", "1,,2", "-1,3", "3,3", [], [5, 2], [1.5]]
)
def test_steps_that_are_none_are_refused(steps: object):
    with pytest.raises(ConfigError, match="track-kernel: expected"):
        tracking_of(steps)


def test_time_decides_where_steps_are_not_known():
    training = TrainingSettings(steps=None, minutes=1.0)
    times = Timetable.of(KernelTracking(), training)
    assert times.is_due(0, 0.0, 0.0)
    assert times.is_due(17, 0.09, 0.11)
    assert not times.is_due(18, 0.11, 0.12)
    assert times.is_due(99, 0.98, 1.0)
    asked = Timetable.of(KernelTracking(steps=(0, 5)), training)
    assert [asked.is_due(step, 0.0, 0.0) for step in (0, 4, 5)] == [True, False, True]


def test_a_tracked_plan_survives_json():
    tracked = with_tracking(plan(), tracking_of("0,3", 9, predict=False), 3)
    assert from_plain(to_plain(tracked)) == tracked
    # A run of before there was tracking has none.
    plain = to_plain(plan())
    del plain["track"]
    assert from_plain(plain).track is None


def test_the_exact_solver_has_no_steps_to_track():
    training = dataclasses.replace(plan().training, optimizer="exact")
    experiment = dataclasses.replace(plan(), training=training)
    with pytest.raises(ConfigError, match="whose kernel does not move"):
        with_tracking(experiment, tracking_of("auto"), 3)


def test_kernels_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.devices.room_bytes", lambda: 1e6)
    monkeypatch.setattr("tangrid.experiments.analyze_plan.room_bytes", lambda: 1e6)
    with pytest.raises(ResourceError, match="track-kernel: kernels of 512 points"):
        with_tracking(plan(), tracking_of("auto"), 3)
    assert track_settings.USUAL_POINTS == 512
