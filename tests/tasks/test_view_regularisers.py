"""What is added to the error of colours, by its formulas; and training by them."""

import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.fields.workers import Workers
from tangrid.rendering.volume import MarchSettings, Seen, look
from tangrid.runs.store import RunFolder
from tangrid.tasks import view_synthesis
from tangrid.tasks.view_losses import colour_loss, mean_distortion, opacity_entropy
from tangrid.tasks.view_synthesis import RayBatch, ViewSettings, ViewSynthesis
from tangrid.training import Moment, TrainingSettings, fit
from tests.ops.comparison import assert_same_bits
from tests.rendering.media import EvenMedium, in_ball
from tests.tasks.small_scenes import SETTINGS, SPACE, tiny_field, view_task
from tests.tolerances import PARITY_FLOAT32
from tests.training.small_fits import assert_same_field, curve

TRAINING = TrainingSettings(
    steps=40,
    piece_size=2048,
    threads=2,
    rates={"grid": 2e-2, "decoder": 1e-2},
    schedule="constant",
)
HIERARCHICAL = MarchSettings(sampling="hierarchical", coarse=12, fine=12)


def ball(density: float = 6.0) -> EvenMedium:
    return EvenMedium(in_ball, density)


def seen_of(task: ViewSynthesis, field, batch: RayBatch) -> Seen:
    return look(
        field,
        batch.rays,
        batch.directions,
        SPACE,
        task.occupancy,
        task.settings.march,
        batch.offsets,
    )


def weights_of(thickness: Tensor) -> Tensor:
    """By the product of what each sample lets through."""
    clear = torch.exp(-thickness.double())
    before = torch.cat((torch.ones(1).double(), clear.cumprod(0)[:-1]))
    return before * (1 - clear)


def over_all_pairs(seen: Seen, warp) -> Tensor:
    """The mean distortion, by double sums in float64."""
    numbers, _, bounds = seen.kept
    total = torch.zeros(()).double()
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        weights = weights_of(seen.thickness[first:last])
        distances = seen.samples.distances[numbers[first:last]].double()
        halves = seen.samples.lengths[numbers[first:last]].double() / 2
        places = warp(distances)
        lengths = warp(distances + halves) - warp(distances - halves)
        apart = (places[:, None] - places).abs()
        total = total + weights @ apart @ weights
        total = total + (weights.square() * lengths).sum() / 3
    return total / (len(bounds) - 1)


def inverse_beyond_one(distances: Tensor) -> Tensor:
    return torch.where(distances < 1, distances, 2 - 1 / distances)


@pytest.mark.parametrize("march", [SETTINGS.march, HIERARCHICAL])
@pytest.mark.parametrize("spacing", ["distance", "disparity"])
def test_distortion_is_that_of_what_rays_have_seen(march: MarchSettings, spacing):
    task = view_task(march=replace(march, spacing=spacing), distortion=0.3)
    batch, field = task.batch(0), ball()
    seen = seen_of(task, field, batch)
    warp = inverse_beyond_one if spacing == "disparity" else torch.clone
    wanted = over_all_pairs(seen, warp)
    assert wanted.item() > 0.01
    found = mean_distortion(seen, spacing)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
    plain = view_task(march=task.settings.march).loss(field, batch)
    loss = task.loss(field, batch)
    assert (loss - plain).item() == pytest.approx(0.3 * wanted.item(), rel=1e-4)
    grads = [
        torch.autograd.grad(value, field.strength, retain_graph=True)[0]
        for value in (found, wanted)
    ]
    assert torch.allclose(*grads, rtol=1e-3)
    assert grads[0].item() != 0


def test_entropy_is_that_of_the_opacities():
    task = view_task(opacity_entropy=0.2)
    batch, field = task.batch(0), ball()
    opacity = seen_of(task, field, batch).rays.opacity.double()
    terms = torch.where(opacity > 0, -opacity * opacity.clamp(min=1e-30).log(), 0)
    loss = task.loss(field, batch) - view_task().loss(field, batch)
    assert loss.item() == pytest.approx(0.2 * terms.mean().item(), rel=1e-4)
    assert loss.item() > 1e-3


@pytest.mark.parametrize("opacity", [0.0, 1.0, 1 + 1e-6, 1e-38])
def test_entropy_of_clear_and_opaque_rays_is_nothing_and_has_a_slope(opacity: float):
    given = torch.full((3,), opacity, requires_grad=True)
    found = opacity_entropy(given)
    assert abs(found.item()) < 1e-5
    (slope,) = torch.autograd.grad(found, given)
    assert bool(slope.isfinite().all())
    # More opaque is worse for a clear ray, and better for an opaque one.
    assert bool((slope > 0).all()) == (opacity < 0.5)


@pytest.mark.parametrize("kind", ["nothing", "all", "ball"])
@pytest.mark.parametrize("density", [0.0, 6.0, 1e5])
def test_gradients_are_finite_for_every_opacity(kind: str, density: float):
    task = view_task(kind, distortion=0.1, opacity_entropy=0.1, huber=0.1)
    field = ball(density)
    loss = task.loss(field, task.batch(0))
    grads = torch.autograd.grad(loss, [field.strength, field.paint])
    assert bool(loss.isfinite())
    assert all(bool(grad.isfinite().all()) for grad in grads)


def test_huber_is_a_square_that_goes_on_straight():
    errors = torch.tensor([[0.0, 0.05, -0.1], [0.2, -0.5, 1.0]])
    target = torch.full((2, 3), 0.5)
    found = colour_loss(target + errors, target, 0.1)
    small, large = 0.5 * (0.05**2 + 0.1**2), 0.1 * (0.15 + 0.45 + 0.95)
    assert found.item() == pytest.approx((small + large) / 6, rel=1e-5)
    squared = colour_loss(target + errors, target, None)
    assert squared.item() == pytest.approx(float(errors.square().mean()))
    half = colour_loss(target + errors, target, 2.0)
    assert half.item() == pytest.approx(squared.item() / 2)


def test_the_loss_takes_huber():
    batch, field = view_task().batch(0), ball()
    squared = view_task().loss(field, batch)
    # No error of colours is larger than 1.
    half = view_task(huber=1.0).loss(field, batch)
    assert half.item() == pytest.approx(squared.item() / 2, rel=PARITY_FLOAT32)
    assert view_task(huber=0.1).loss(field, batch).item() < 0.5 * half.item()


def test_nothing_more_is_done_for_weights_of_nothing(monkeypatch):
    def refuse(*given) -> None:
        raise AssertionError(given)

    for name in ("mean_distortion", "opacity_entropy"):
        monkeypatch.setattr(view_synthesis, name, refuse)
    task = view_task()
    assert task.loss(ball(), task.batch(0)).item() > 0


@pytest.mark.parametrize(
    ("changes", "is_squared"),
    [
        ({}, True),
        ({"distortion": 1e-3}, False),
        ({"opacity_entropy": 1e-3}, False),
        ({"huber": 0.1}, False),
    ],
)
def test_only_the_squared_error_has_a_psnr(
    changes: dict, is_squared: bool, tmp_path: Path
):
    task = view_task(batch_size=2048, **changes)
    assert task.loss_is_squared == is_squared
    folder = run_folder(tmp_path / "run")
    fit(task, tiny_field(), replace(TRAINING, steps=2), folder=folder)
    for line in curve(folder):
        psnr = -10 * math.log10(line["loss"])
        assert line.get("psnr") == (pytest.approx(psnr) if is_squared else None)


def run_folder(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_json("config.json", {"kind": "fit-scene"})
    return folder


def trained(**changes) -> Seen:
    """What a fit to a ball gives its own rays to see."""
    field, rays = tiny_field(), view_task(batch_size=4096)
    settings = replace(TRAINING, steps=80)
    fit(view_task(batch_size=4096, **changes), field, settings)
    with torch.no_grad():
        return seen_of(rays, field, rays.batch(0))


def test_distortion_makes_surfaces_thinner_and_not_clearer():
    free, narrow = trained(), trained(distortion=0.3)
    spread = [float(mean_distortion(seen, "distance")) for seen in (free, narrow)]
    # 0.46 when written.
    assert spread[1] < 0.7 * spread[0]
    opacity = [float(seen.rays.opacity.mean()) for seen in (free, narrow)]
    assert opacity[1] == pytest.approx(opacity[0], abs=0.05)


def test_hierarchical_training_learns_and_asks_for_no_grid():
    losses: list[float] = []

    def follow(moment: Moment) -> None:
        losses.append(moment.loss)

    task = view_task(batch_size=4096, march=HIERARCHICAL)
    before = {name: tensor.clone() for name, tensor in task.occupancy.state.items()}
    fit(task, tiny_field(), TRAINING, on_step=follow)
    assert losses[-1] < 0.3 * losses[0]
    assert_same_bits(task.occupancy.state, before)
    assert task.speeds(1.0)["occupied"] is None
    # All rays of these photographs meet the box.
    assert task.measures["samples_per_ray"] == pytest.approx(24, rel=0.01)
    assert task.measures["samples"] == 24 * task.measures["rays"]


def test_a_resumed_hierarchical_fit_is_the_uninterrupted_one(tmp_path: Path):
    def press(moment: Moment) -> None:
        if moment.step == 4:
            signal.raise_signal(signal.SIGINT)

    def task() -> ViewSynthesis:
        return view_task(
            batch_size=2048, march=HIERARCHICAL, distortion=0.01, opacity_entropy=0.01
        )

    settings = replace(TRAINING, steps=9)
    whole, parts = run_folder(tmp_path / "whole"), run_folder(tmp_path / "parts")
    expected = fit(task(), tiny_field(), settings, folder=whole)
    with pytest.raises(InterruptedRunError):
        fit(task(), tiny_field(), settings, folder=parts, on_step=press)
    found = fit(task(), tiny_field(seed=9), settings, folder=parts, resume=True)
    assert_same_field(found.field, expected.field)
    assert curve(parts) == curve(whole)


def test_pieces_add_up_to_the_batch():
    task = view_task(march=HIERARCHICAL, distortion=0.1, opacity_entropy=0.1, huber=0.2)
    field, batch = ball(), task.batch(0)
    whole = task.loss(field, batch).item()
    parts = [
        task.loss(field, piece).item() * len(piece) / len(batch)
        for piece in batch.pieces(1000)
    ]
    assert len(parts) > 5
    assert sum(parts) == pytest.approx(whole, rel=1e-5)
    with Workers(1) as workers:
        batch.found.clear()
        for piece in batch.pieces(1000):
            task.loss(field, piece)
        assert task.finish_step(0, batch, field, workers) == 24 * len(batch)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"distortion": -0.1}, "views.distortion: expected a weight of 0 or more"),
        ({"opacity_entropy": math.nan}, "views.opacity_entropy: .* got nan"),
        ({"distortion": math.inf}, "got inf"),
        ({"huber": 0.0}, "views.huber: expected an error above 0, or none, got 0.0"),
        ({"huber": math.inf}, "views.huber"),
    ],
)
def test_weights_that_are_none_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        ViewSettings(**settings)
