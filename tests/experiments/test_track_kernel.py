"""What tracking finds, and that it leaves the training alone."""

import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tangrid.errors import DataError, InterruptedRunError
from tangrid.experiments import FitImage, load
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.fit_sdf import run_sdf_fit
from tangrid.experiments.track_settings import tracking_of, with_tracking
from tangrid.runs.codec import to_plain
from tangrid.runs.kernel_track import KernelTrack, read_track
from tangrid.runs.store import RunFolder
from tangrid.training import Moment
from tests.experiments import small_shapes
from tests.experiments.small_experiments import TRAINING, image, plan
from tests.tolerances import (
    SAME_KERNEL_TWICE,
    TRAINED_TO_FIRST_ORDER,
)
from tests.training.small_fits import assert_same_field, curve

LINEAR = {"field.decoder": "linear", "training.rates.decoder": "0"}
"""A grid under a decoder that stays as it is: linear in what is trained."""


def tracked(steps: str = "0,1,3,6", points: int = 40, **changes) -> FitImage:
    predict = changes.pop("predict", False)
    asked = tracking_of(steps, points, predict=predict)
    return with_tracking(plan(**changes), asked, 3)


def track_of(experiment: FitImage, path: Path) -> KernelTrack:
    folder = RunFolder.create(path)
    run_fit(experiment, image(), folder=folder)
    found = read_track(folder)
    assert found is not None
    return found


def without_times(track: KernelTrack) -> KernelTrack:
    looks = (
        dataclasses.replace(it, seconds=0, looking_seconds=0) for it in track.looks
    )
    curves = (dataclasses.replace(it, seconds=0) for it in track.curves)
    return dataclasses.replace(track, looks=tuple(looks), curves=tuple(curves))


def numbers_in(plain: object) -> Iterator[float]:
    if isinstance(plain, (int, float)):
        yield plain
    elif isinstance(plain, (dict, list)):
        for part in plain.values() if isinstance(plain, dict) else plain:
            yield from numbers_in(part)


@pytest.mark.parametrize("model", ["instant-ngp", "siren"])
def test_tracking_changes_no_bit(model: str, tmp_path: Path):
    plain, watched = (RunFolder.create(tmp_path / name) for name in ("a", "b"))
    expected = run_fit(plan(model), image(), folder=plain)
    found = run_fit(tracked(model=model, predict=True), image(), folder=watched)
    assert_same_field(found.field, expected.field)
    assert curve(watched) == curve(plain)
    for name in ("psnr", "steps", "implementations"):
        assert found.metrics[name] == expected.metrics[name], name
    # A run that was tracked is loaded as any other.
    assert load(watched.path).experiment == tracked(model=model, predict=True)


def test_looks_come_at_the_steps_asked_for(tmp_path: Path):
    track = track_of(tracked("0,1,3,6"), tmp_path / "run")
    assert [look.step for look in track.looks] == [0, 1, 3, 6]
    assert (track.points, track.num_channels, track.has_psnr) == (40, 3, True)
    assert track.kinds == ("all", "grid")
    first, last = track.looks[0], track.looks[-1]
    for numbers in first.kernels.values():
        assert numbers.relative == 0
        assert numbers.alignment == pytest.approx(1, rel=SAME_KERNEL_TWICE)
        assert numbers.trace_ratio == 1
    # Features begin near 0, so that at first hardly anything reaches the decoder.
    assert first.shares["grid"] > 0.99
    assert last.shares["decoder"] > first.shares["decoder"]
    assert sum(last.shares.values()) == pytest.approx(1, rel=SAME_KERNEL_TWICE)
    moved = last.kernels["all"]
    assert moved.relative is not None
    assert moved.relative > 0.1
    assert moved.largest is not None
    assert moved.largest_stable_rate == pytest.approx(2 / moved.largest)
    assert last.mse is not None
    assert last.mse < (first.mse or 0)
    assert last.loss == pytest.approx(last.mse, rel=1e-5)


def test_a_linear_fields_kernel_stays_and_predicts_its_training(tmp_path: Path):
    # All pixels in every step, and all of them tracked: theory's own case.
    training = dataclasses.replace(TRAINING, batch_size=256, steps=12)
    experiment = tracked(
        "0,3,12", 256, training=training, settings=LINEAR, predict=True
    )
    track = track_of(experiment, tmp_path / "run")
    grid = [look.kernels["grid"] for look in track.looks]
    assert [it.relative for it in grid] == [0, 0, 0]
    line, alone = track.curve("linearised"), track.curve("alone")
    assert line is not None
    assert alone is not None
    predicted = dict(zip(line.step, line.mse, strict=True))
    by_itself = dict(zip(alone.step, alone.mse, strict=True))
    for look in track.looks:
        tolerance = {"rel": TRAINED_TO_FIRST_ORDER}
        assert look.mse == pytest.approx(predicted[look.step], **tolerance)
        assert look.mse == pytest.approx(by_itself[look.step], **tolerance)
    assert track.looks[-1].mse < 0.9 * track.looks[0].mse


def test_a_fields_own_training_leaves_the_line_where_its_kernel_moves(tmp_path: Path):
    training = dataclasses.replace(TRAINING, batch_size=256, steps=30)
    experiment = tracked("0,30", 256, training=training, predict=True)
    track = track_of(experiment, tmp_path / "run")
    line, alone = track.curve("linearised"), track.curve("alone")
    descent = track.curve("gradient-descent")
    assert line is not None
    assert alone is not None
    assert descent is not None
    # The fit sees these very points, so that its curve is that of the field alone.
    assert alone.mse[-1] == pytest.approx(
        track.looks[-1].mse, rel=TRAINED_TO_FIRST_ORDER
    )
    assert abs(line.mse[-1] / alone.mse[-1] - 1) > 0.1
    assert line.mse[0] == alone.mse[0] == pytest.approx(descent.mse[0], rel=1e-6)
    assert descent.rate is not None
    stable = track.looks[0].kernels["all"].largest_stable_rate
    assert descent.rate == pytest.approx(stable / 2)


def test_a_run_that_goes_on_has_the_record_of_one_that_did_not_stop(tmp_path: Path):
    experiment = tracked("0,1,3,4,6", predict=True)
    whole = track_of(experiment, tmp_path / "whole")

    def stop(moment: Moment) -> None:
        if moment.step == 3:
            signal.raise_signal(signal.SIGINT)

    parts = RunFolder.create(tmp_path / "parts")
    with pytest.raises(InterruptedRunError):
        run_fit(experiment, image(), folder=parts, on_step=stop)
    stopped = read_track(parts)
    assert stopped is not None
    assert [look.step for look in stopped.looks] == [0, 1, 3]
    assert stopped.curves == ()
    run_fit(experiment, image(), folder=parts, resume=True)
    found = read_track(parts)
    assert found is not None
    one, two = (list(numbers_in(to_plain(without_times(it)))) for it in (found, whole))
    # Eigenvectors of the same matrices differ by roundings from time to time.
    assert one == pytest.approx(two, rel=SAME_KERNEL_TWICE, abs=SAME_KERNEL_TWICE)


def test_a_record_of_other_points_is_not_gone_on_with(tmp_path: Path):
    def stop(moment: Moment) -> None:
        if moment.step == 3:
            signal.raise_signal(signal.SIGINT)

    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        run_fit(tracked(points=40), image(), folder=folder, on_step=stop)
    with pytest.raises(DataError, match="one of other points"):
        run_fit(tracked(points=41), image(), folder=folder, resume=True)


def test_time_of_training_leaves_the_looks_out(tmp_path: Path):
    folder = RunFolder.create(tmp_path / "run")
    metrics = run_fit(tracked(predict=True), image(), folder=folder).metrics
    track = read_track(folder)
    assert track is not None
    assert track.looks[-1].seconds == metrics["seconds"]
    assert track.seconds > sum(it.looking_seconds for it in track.looks) > 0


def test_a_fit_that_ends_by_time_is_looked_at_by_time(tmp_path: Path):
    training = dataclasses.replace(TRAINING, steps=None, minutes=0.002)
    track = track_of(tracked("auto", training=training), tmp_path / "run")
    steps = [look.step for look in track.looks]
    assert steps[0] == 0
    assert 2 <= len(steps) <= 8
    assert steps == sorted(set(steps))


def test_the_kernel_of_a_shape_is_tracked_too(tmp_path: Path):
    experiment = small_shapes.plan_shape()
    training = dataclasses.replace(experiment.training, steps=4)
    experiment = dataclasses.replace(experiment, training=training)
    asked = tracking_of("0,2", 30)
    folder = RunFolder.create(tmp_path / "run")
    run_sdf_fit(
        with_tracking(experiment, asked, 1), small_shapes.shape(), folder=folder
    )
    track = read_track(folder)
    assert track is not None
    assert [look.step for look in track.looks] == [0, 2]
    assert (track.num_channels, track.has_psnr) == (1, False)
    assert [curve.refused for curve in track.curves] == ["", "", ""]


def test_points_come_from_those_that_are_trained_on(tmp_path: Path):
    track = track_of(tracked("0", 500, holdout=True), tmp_path / "run")
    # Every second pixel along each of 16: no more than those can be drawn.
    assert track.points == 64


def test_points_do_not_depend_on_the_global_generator(tmp_path: Path):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    track_of(tracked(predict=True), tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), state)
