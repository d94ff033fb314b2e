"""Training on a device that is not the CPU, and runs that move between the two."""

import signal
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tangrid.errors import ConfigError, InterruptedRunError, NumericalError
from tangrid.fields import Field
from tangrid.runs.store import RunFolder
from tangrid.tasks import PointBatch
from tangrid.tasks.image_regression import ImageRegression
from tangrid.training import FittedField, Moment, TrainingSettings, fit
from tests.ops.comparison import assert_close
from tests.training.small_fits import (
    assert_same_field,
    build,
    curve,
    psnr,
    smooth_image,
    task,
    with_changes,
)
from tests.training.small_shapes import SMOOTH_FIELDS, build_in_space

LONG = with_changes(steps=20, ema=0.8)


def folder_at(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_json("config.json", {"kind": "fit-image"})
    return folder


def fit_on(
    device: torch.device, settings: TrainingSettings = LONG, seed: int = 0, **kept
) -> FittedField:
    field = build(seed=seed).to(device)
    return fit(task(device=device), field, settings, **kept)


def on_host(field: Field) -> Field:
    return field.to("cpu")


def assert_as_good(found: Field, settings: TrainingSettings = LONG) -> None:
    """Other random numbers are drawn there, but as many."""
    host = torch.device("cpu")
    image = smooth_image()
    worst = psnr(build(), image)
    expected = psnr(fit_on(host, settings).field, image)
    assert expected > worst + 2
    assert psnr(on_host(found), image) == pytest.approx(expected, abs=1)


def everything(device: torch.device) -> ImageRegression:
    """The same batch each step, whichever device draws it."""
    image = smooth_image(10)
    return ImageRegression(image, batch_size=100, sampling="all", device=device)


def test_numbers_are_those_of_the_cpu(pretend: torch.device):
    found, expected = build(), build()
    settings = with_changes(steps=5)
    fit(everything(torch.device("cpu")), expected, settings)
    found.to(pretend)
    fit(everything(pretend), found, settings)
    assert_close(dict(on_host(found).state_dict()), dict(expected.state_dict()))


def test_the_same_seed_gives_the_same_bits(pretend: torch.device, tmp_path: Path):
    folders = [folder_at(tmp_path / name) for name in ("first", "second")]
    fields = [fit_on(pretend, folder=folder).field for folder in folders]
    first, second = (on_host(field) for field in fields)
    assert_same_field(first, second)
    assert curve(folders[0]) == curve(folders[1])
    assert_as_good(first)


def test_nobody_waits_for_most_steps(pretend: torch.device):
    from tests.pretended_device import waits  # noqa: PLC0415 (after the fixture)

    counts: list[int] = []
    fit_on(pretend, on_step=lambda _: counts.append(waits.total()))
    waited = [after > before for before, after in pairwise(counts)]
    # Sixteen after the first, and the last.
    assert [k + 2 for k, did in enumerate(waited) if did] == [17, 20]


def test_the_log_has_every_loss(pretend: torch.device, tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    seen: list[Moment] = []
    fit_on(pretend, folder=folder, on_step=seen.append)
    lines = folder.read_lines("metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 21))
    losses = [line["loss"] for line in lines]
    assert len(set(losses)) == 20
    for moment in seen:
        read = max(step for step in (1, 17, 20) if step <= moment.step)
        assert moment.loss == losses[read - 1]


def test_a_run_that_time_ends_has_its_last_loss(pretend: torch.device, tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    settings = with_changes(steps=None, minutes=0.005)
    progress = fit_on(pretend, settings, folder=folder).progress
    assert folder.read_lines("metrics.jsonl")[-1]["step"] == progress.step
    assert progress.seconds >= 0.3


def press(step: int):
    def look(moment: Moment) -> None:
        if moment.step == step:
            signal.raise_signal(signal.SIGINT)

    return look


def test_a_resumed_run_is_the_uninterrupted_one(pretend: torch.device, tmp_path: Path):
    whole, parts = folder_at(tmp_path / "whole"), folder_at(tmp_path / "parts")
    expected = fit_on(pretend, folder=whole)
    with pytest.raises(InterruptedRunError, match="after step 7; the state"):
        fit_on(pretend, folder=parts, on_step=press(7))
    found = fit_on(pretend, seed=9, folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(on_host(found.field), on_host(expected.field))


@pytest.mark.parametrize("begins_on_host", [True, False])
def test_a_run_goes_on_elsewhere(
    pretend: torch.device, tmp_path: Path, begins_on_host: bool
):
    places = (torch.device("cpu"), pretend)
    first, second = places if begins_on_host else places[::-1]
    folder = folder_at(tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        fit_on(first, folder=folder, on_step=press(7))
    found = fit_on(second, seed=9, folder=folder, resume=True)
    assert found.field.device == second
    assert [line["step"] for line in curve(folder)] == list(range(1, 21))
    assert_as_good(found.field)


class Broken(ImageRegression):
    """Targets that are not numbers in one step."""

    def batch(self, step: int) -> PointBatch:
        batch = super().batch(step)
        if step != 5:
            return batch
        return PointBatch(batch.coords, batch.targets * torch.nan)


def test_a_loss_that_is_no_number_harms_nothing(pretend: torch.device, tmp_path: Path):
    """It is noticed late, and has moved nothing until then."""
    folder = folder_at(tmp_path / "run")
    broken = Broken(smooth_image(), batch_size=100, sampling="pixels", device=pretend)
    with pytest.raises(NumericalError, match="got nan at step 6"):
        fit(broken, build().to(pretend), LONG, folder=folder)
    assert folder.read_json("state.json")["step"] == 16
    assert_as_good(fit_on(pretend, folder=folder, resume=True).field)


def test_field_and_task_are_on_one_device(pretend: torch.device):
    with pytest.raises(ConfigError, match="expected a task on pretend:0, where the"):
        fit(task(), build().to(pretend), with_changes())


@pytest.mark.parametrize("name", SMOOTH_FIELDS)
def test_fields_move(name: str, pretend: torch.device):
    """Whatever a field holds goes along, and its copy for a mean stays there."""
    field = build_in_space(SMOOTH_FIELDS[name])
    coords = torch.rand(20, 3)
    expected = field(coords).detach()
    found = field.to(pretend)(coords.to(pretend)).detach()
    assert_close({"values": found.cpu()}, {"values": expected})


@pytest.mark.gpu
def test_a_gpu_trains():
    device = torch.device("cuda", 0)
    fitted = fit_on(device)
    assert fitted.field.device == device
    assert_as_good(fitted.field)
