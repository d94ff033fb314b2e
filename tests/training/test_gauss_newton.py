import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from tangrid.encodings import HashGridConfig
from tangrid.errors import ConfigError, InterruptedRunError, NumericalError
from tangrid.fields import EncodedFieldConfig, Field, FieldConfig, SirenConfig
from tangrid.fields.workers import Workers
from tangrid.seeding import generator
from tangrid.tasks import ImageRegression
from tangrid.tasks.sdf_losses import DistanceLoss, SdfLoss
from tangrid.training import Moment, TrainingSettings, fit
from tangrid.training.checkpoint import saved_progress
from tangrid.training.gauss_newton import GaussNewton
from tangrid.training.gauss_newton_solver import Solution
from tangrid.training.least_squares_checks import check_gauss_newton
from tangrid.training.settings import GAUSS_NEWTON_STEPS, training_for
from tests.training.small_fits import (
    GRID,
    LINE,
    SETTINGS,
    assert_same_field,
    curve,
    smooth_image,
    task,
    tensors_of,
)
from tests.training.small_shapes import SMOOTH_FIELDS, build_in_space, shape_task
from tests.training.test_loop import Broken, Stop, folder_at

STEPS = dataclasses.replace(SETTINGS, optimizer="gauss-newton", steps=5)
NETWORK = SirenConfig(width=8, num_hidden=1)


def whole_task(seed: int = 0) -> ImageRegression:
    """All pixels in every step, as one batch that stays."""
    image = smooth_image()
    return ImageRegression(image, batch_size=image.num_pixels, seed=seed)


def build(config: FieldConfig = GRID, seed: int = 0) -> Field:
    return config.build(smooth_image().site, generator(seed, "init"))


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(2) as workers:
        yield workers


def optimizer_of(config: FieldConfig, workers: Workers) -> GaussNewton:
    return GaussNewton(build(config), STEPS, workers, seed=0)


def fall(config: FieldConfig, settings: TrainingSettings) -> float:
    """How many decibels a fit gains on all pixels of the small image."""
    moments: list[Moment] = []
    fit(whole_task(), build(config), settings, on_step=moments.append)
    return 10 * math.log10(moments[0].loss / moments[-1].loss)


@pytest.mark.parametrize("config", [GRID, NETWORK], ids=["grid", "network"])
def test_a_step_gains_far_more_than_one_of_adam(config: FieldConfig):
    assert fall(config, STEPS) > 3 + fall(
        config, dataclasses.replace(STEPS, optimizer="adam")
    )


def test_a_linear_field_is_solved_in_few_steps(workers: Workers):
    field, batch = build(LINE), task().batch(0)
    optimizer = GaussNewton(field, STEPS, workers, seed=0)
    for _ in range(6):
        optimizer.step(batch)
    ones = torch.ones(len(batch), 1)
    inputs = torch.cat((field.get_submodule("encoding")(batch.coords), ones), 1)
    inputs, targets = inputs.double(), batch.targets.double()
    optimum = torch.linalg.lstsq(inputs, targets).solution
    best = (inputs @ optimum - targets).square().mean().item()
    assert optimizer.step(batch).item() == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("config", [GRID, NETWORK], ids=["grid", "network"])
def test_the_loss_of_one_batch_never_rises(config: FieldConfig, workers: Workers):
    optimizer, batch = optimizer_of(config, workers), task().batch(0)
    losses = [optimizer.step(batch).item() for _ in range(8)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_no_start_of_a_grid_holds_training_up(seed: int, workers: Workers):
    """From some all solves of the first dozen steps would be rejected."""
    optimizer = GaussNewton(build(seed=seed), STEPS, workers, seed=0)
    batch = task().batch(0)
    losses = [optimizer.step(batch).item() for _ in range(12)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-2 * losses[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits(threads: int, tmp_path: Path):
    settings = dataclasses.replace(STEPS, threads=threads)
    folders = [folder_at(tmp_path / name) for name in ("first", "second")]
    fields = [fit(task(), build(), settings, folder=f).field for f in folders]
    assert_same_field(*fields)
    assert curve(folders[0]) == curve(folders[1])


@pytest.mark.parametrize("config", [GRID, NETWORK], ids=["grid", "network"])
@pytest.mark.parametrize("made", [task, whole_task], ids=["some", "all"])
def test_a_resumed_run_is_the_uninterrupted_one(
    config: FieldConfig, made: Callable[[], ImageRegression], tmp_path: Path
):
    whole, parts = folder_at(tmp_path / "whole"), folder_at(tmp_path / "parts")
    expected = fit(made(), build(config), STEPS, folder=whole)
    with pytest.raises(InterruptedRunError, match="after step 2; the state"):
        fit(made(), build(config), STEPS, folder=parts, on_step=Stop(2))
    found = fit(made(), build(config, seed=9), STEPS, folder=parts, resume=True)
    assert curve(parts) == curve(whole)
    assert_same_field(found.field, expected.field)


def test_another_seed_draws_other_signs():
    """On all pixels, where the seed decides nothing else of the training."""
    first, second = (fit(whole_task(seed), build(), STEPS).field for seed in (0, 1))
    assert not torch.equal(
        *(f.get_parameter("encoding.table") for f in (first, second))
    )


def test_the_log_has_damping_iterations_and_rejected_steps(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    fit(task(), build(), STEPS, folder=folder)
    lines = curve(folder)
    assert len(lines) == STEPS.steps
    for line in lines:
        assert line["damping"] > 0
        assert line["table_damping"] > 0
        assert line["cg_iterations"] >= 1
        assert line["rejected_steps"] >= 0
        assert line["rates"] == {}


def test_warming_up_changes_nothing(workers: Workers):
    field = build()
    optimizer = GaussNewton(field, STEPS, workers, seed=0)
    before = tensors_of(field)
    state = {name: t.clone() for name, t in optimizer.state_tensors().items()}
    optimizer.warm_up(task().batch(0).pieces(2)[0])
    assert all(torch.equal(before[k], v) for k, v in field.state_dict().items())
    found = optimizer.state_tensors()
    assert all(torch.equal(found[name], old) for name, old in state.items())


def test_a_rejected_step_leaves_the_field_and_raises_the_damping(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
):
    field, batch = build(NETWORK), task().batch(0)
    optimizer = GaussNewton(field, STEPS, workers, seed=0)
    optimizer.step(batch)
    before, damping = tensors_of(field), optimizer.measures["damping"]
    rejected = optimizer.measures["rejected_steps"]

    def leap(curvature: object, descent: torch.Tensor, *_: object) -> Solution:
        del curvature
        return Solution(-1e3 * descent / descent.norm(), 1.0, 1)

    monkeypatch.setattr("tangrid.training.gauss_newton.damped_step", leap)
    loss = optimizer.step(batch)
    assert all(torch.equal(before[k], v) for k, v in field.state_dict().items())
    assert optimizer.measures["damping"] == pytest.approx(8 * damping)
    assert optimizer.measures["rejected_steps"] == rejected + 1
    assert optimizer.step(batch) == loss


def test_a_grown_field_takes_the_place_of_the_old_one(workers: Workers):
    old, new, batch = build(), build(seed=2), task().batch(0)
    optimizer = GaussNewton(old, STEPS, workers, seed=0)
    optimizer.step(batch)
    squares = optimizer.state_tensors()["squares/encoding.table"].clone()
    optimizer.grow(new, {"encoding.table": lambda values: 2 * values})
    grown = optimizer.state_tensors()["squares/encoding.table"]
    assert torch.equal(grown, 2 * squares)
    before = tensors_of(old), tensors_of(new)
    optimizer.step(batch)
    assert all(torch.equal(before[0][k], v) for k, v in old.state_dict().items())
    table = new.get_parameter("encoding.table")
    assert not torch.equal(before[1]["encoding.table"], table)


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_field(tmp_path: Path):
    folder = folder_at(tmp_path / "run")
    broken = Broken(smooth_image(), batch_size=100, sampling="pixels")
    broken.first_step = 3
    with pytest.raises(
        NumericalError, match="a finite loss, got nan at step 4"
    ) as told:
        fit(broken, build(), STEPS, folder=folder)
    assert "rates" not in str(told.value)
    assert saved_progress(folder).step == 3


def test_a_signed_distance_with_a_squared_loss_is_fitted():
    # Batches of fewer points than parameters are learned by heart.
    found = shape_task(loss=SdfLoss(kind="l2"), batch_size=512)
    moments: list[Moment] = []
    field = build_in_space(SMOOTH_FIELDS["hash grid, smoothstep"])
    fit(found, field, STEPS, on_step=moments.append)
    assert moments[-1].loss < 0.2 * moments[0].loss


@pytest.mark.parametrize("kind", ["mape", "l1"])
def test_other_losses_are_refused(kind: DistanceLoss):
    with pytest.raises(ConfigError, match="mean square of the errors"):
        fit(shape_task(loss=SdfLoss(kind=kind)), build_in_space(GRID), STEPS)


def test_another_device_is_refused():
    elsewhere = cast("Field", SimpleNamespace(device=torch.device("cuda", 0)))
    with pytest.raises(ConfigError, match="expected the cpu for gauss-newton"):
        check_gauss_newton(STEPS, elsewhere, is_least_squares=True)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(GRID, decoder_dtype="bfloat16"),
        EncodedFieldConfig(
            encoding=HashGridConfig(
                num_levels=2, log2_table_size=7, table_dtype="float16"
            )
        ),
    ],
    ids=["decoder", "table"],
)
def test_half_the_digits_are_refused(config: FieldConfig):
    with pytest.raises(ConfigError, match="in float32 for gauss-newton"):
        fit(task(), build(config), STEPS)


@pytest.mark.parametrize(
    "changes",
    [
        {"ema": 0.9},
        {"betas": (0.8, 0.99)},
        {"schedule": "constant"},
        {"warmup_steps": 3},
        {"loss_scale": 128.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_settings_of_adam_are_refused(changes: dict):
    settings = dataclasses.replace(STEPS, **changes)
    with pytest.raises(ConfigError, match=f"training.{next(iter(changes))}: expected"):
        fit(task(), build(), settings)


def test_rates_are_refused_where_somebody_asks_for_them():
    asked = ["training.rates.grid"]
    check_gauss_newton(STEPS, build(), is_least_squares=True)
    with pytest.raises(ConfigError, match=r"training\.rates\.grid: expected none"):
        check_gauss_newton(STEPS, build(), is_least_squares=True, asked=asked)


def test_fifty_steps_are_usual():
    settings = training_for(None, None, optimizer="gauss-newton")
    assert settings.steps == GAUSS_NEWTON_STEPS
    assert training_for(7, None, optimizer="gauss-newton").steps == 7
    assert training_for(None, 2.0, optimizer="gauss-newton").steps is None
