import dataclasses
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, InterruptedRunError, NumericalError
from tangrid.runs.store import RunFolder
from tangrid.tasks import PointBatch
from tangrid.tasks.image_regression import ImageRegression
from tangrid.training import Moment, fit
from tangrid.training.loss_scale import LossScale
from tests.training.small_fits import (
    SETTINGS,
    assert_same_field,
    build,
    smooth_image,
    task,
    with_changes,
)

CPU = torch.device("cpu")


def gradients(*values: float) -> list[Tensor]:
    return [torch.tensor(values), torch.zeros(2, 3)]


def test_what_was_multiplied_is_divided():
    scale, found = LossScale(128.0, CPU), gradients(256.0, -1.0)
    assert not scale.take_out(found)
    assert found[0].tolist() == [2, -1 / 128]
    assert scale.factor == 128


@pytest.mark.parametrize("broken", [torch.inf, -torch.inf, torch.nan])
def test_an_overflow_halves_the_factor_and_is_told(broken: float):
    scale = LossScale(128.0, CPU)
    for halved in (64, 32):
        assert scale.take_out(gradients(1.0, broken)) == 1
        assert scale.factor == halved
    assert scale.take_out(gradients(1.0)) == 0
    assert scale.factor == 32


def test_many_good_steps_double_the_factor():
    scale = LossScale(128.0, CPU)
    scale.state["good_steps"].fill_(1998)
    scale.take_out(gradients(1.0))
    assert scale.factor == 128
    scale.take_out(gradients(1.0))
    assert scale.factor == 256
    assert scale.state["good_steps"] == 0


def test_nobody_waits_for_the_device(pretend: torch.device):
    from tests.pretended_device import waits  # noqa: PLC0415 (after the fixture)

    scale = LossScale(128.0, pretend)
    found = [tensor.to(pretend) for tensor in gradients(torch.inf, 2.0)]
    overflow = scale.take_out(found)
    assert not waits
    assert overflow.device == pretend
    assert (overflow.item(), scale.factor.item()) == (1, 64)


def test_in_float32_a_power_of_two_changes_no_bit():
    plain = fit(task(), build(), SETTINGS).field
    scaled = fit(task(), build(), with_changes(loss_scale=128.0)).field
    assert_same_field(scaled, plain)


class Steep(ImageRegression):
    """A loss whose gradient is larger by a factor, which Adam does not mind."""

    def __init__(self, *factors: float) -> None:
        super().__init__(smooth_image(), batch_size=100, sampling="pixels")
        self.factors = factors

    def loss(self, field, batch: PointBatch) -> Tensor:
        loss = super().loss(field, batch)
        excess = loss - loss.detach()
        for factor in self.factors:
            excess = excess * factor
        return loss.detach() + excess


def test_steps_with_infinite_gradients_are_left_out():
    field, before = build(), build()
    moments: list[Moment] = []

    def look(moment: Moment) -> None:
        moments.append(moment)
        if moment.step == 3:
            assert_same_field(field, before)

    fit(
        Steep(2.0**40), field, with_changes(loss_scale=2.0**100, steps=40), on_step=look
    )
    assert moments[-1].loss < 0.8 * moments[0].loss


def test_gradients_that_stay_infinite_end_training():
    with pytest.raises(NumericalError, match="infinite ones again and again"):
        fit(
            Steep(2.0**100, 2.0**100), build(), with_changes(loss_scale=128.0, steps=50)
        )


def test_the_factor_belongs_to_what_is_saved(tmp_path: Path):
    settings = with_changes(loss_scale=2.0**100, steps=20)
    steep = Steep(2.0**40)
    expected = fit(steep, build(), settings).field
    folder = RunFolder.create(tmp_path / "run")
    folder.write_json("config.json", {"kind": "fit-image"})

    def stop(moment: Moment) -> None:
        if moment.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        fit(steep, build(), settings, folder=folder, on_step=stop)
    found = fit(steep, build(seed=9), settings, folder=folder, resume=True).field
    assert_same_field(found, expected)


@pytest.mark.parametrize("factor", [0.0, -1.0, torch.inf, torch.nan])
def test_a_factor_that_is_none_is_refused(factor: float):
    with pytest.raises(ConfigError, match=r"training\.loss_scale"):
        dataclasses.replace(SETTINGS, loss_scale=factor)
