import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.fields.workers import Workers
from tangrid.rendering.views import RadianceScene, render_view
from tangrid.runs.store import RunFolder
from tangrid.tasks.view_synthesis import RayBatch, ViewSettings, ViewSynthesis
from tangrid.training import Moment, TrainingSettings, fit
from tangrid.training.gradients import add_gradients
from tangrid.training.optimizer import Adam
from tests.ops.comparison import assert_close, assert_same_bits
from tests.rendering.media import EvenMedium, in_ball
from tests.tasks.small_scenes import PAINT, SPACE, photographs, tiny_field, view_task
from tests.training.small_fits import assert_same_field, curve

TRAINING = TrainingSettings(
    steps=12, batch_size=8192, piece_size=1024, threads=2, ema=0.9, ema_interval=2
)
COLOUR = tuple(value / 255 for value in PAINT)


def solid(density: float = 1e5, paint=COLOUR) -> EvenMedium:
    """A box full of one colour."""
    return EvenMedium(lambda coords: coords[:, 0] > -1, density, paint)


def tensors(batch: RayBatch) -> dict[str, Tensor]:
    """All of a batch but what is found along its rays."""
    return {
        **{f"rays.{name}": part for name, part in batch.rays._asdict().items()},
        "directions": batch.directions,
        "wanted": batch.wanted,
        "offsets": batch.offsets,
        "backgrounds": batch.backgrounds,
    }


def advance(task: ViewSynthesis, field, steps: range, workers: Workers) -> list[int]:
    """What training does, without moving the field."""
    counts = []
    for step in steps:
        batch = task.batch(step)
        for piece in batch.pieces(1000):
            task.loss(field, piece)
        counts.append(task.finish_step(step, batch, field, workers))
    return counts


def test_a_batch_is_a_function_of_seed_and_step():
    before = torch.random.get_rng_state()
    one, other = view_task(seed=3), view_task(seed=3)
    forwards = [one.batch(step) for step in range(5)]
    backwards = [other.batch(step) for step in reversed(range(5))][::-1]
    assert torch.equal(torch.random.get_rng_state(), before)
    for first, second in zip(forwards, backwards, strict=True):
        assert_same_bits(tensors(first), tensors(second))
    others = (view_task(seed=4).batch(0), forwards[1])
    for other in others:
        assert not torch.equal(other.wanted, forwards[0].wanted)
        assert not torch.equal(other.offsets, forwards[0].offsets)
        assert not torch.equal(other.backgrounds, forwards[0].backgrounds)


def test_rays_belong_to_their_pixels():
    scene = photographs()
    batch = view_task().batch(1)
    assert len(batch) == 128
    assert bool(((batch.offsets >= 0) & (batch.offsets < 1)).all())
    rays = [torch.cat(view.camera.rays(), dim=1) for view in scene.views]
    values = [
        torch.from_numpy(view.pixels.reshape(-1, 4).copy()) for view in scene.views
    ]
    drawn = torch.cat((SPACE.world(batch.rays.origins), batch.directions), dim=1)
    away = (drawn[:, None] - torch.cat(rays)).abs().amax(2)
    assert float(away.amin(1).max()) < 1e-5
    nearest = away.argmin(1)
    assert torch.equal(batch.wanted, torch.cat(values)[nearest].float() / 255)
    assert len(set(nearest.tolist())) > 100


@pytest.mark.parametrize(("background", "value"), [("white", 1.0), ("black", 0.0)])
def test_a_background_may_be_even(background, value: float):
    batch = view_task(background=background).batch(0)
    assert bool((batch.backgrounds == value).all())
    random = view_task().batch(0)
    assert len(random.backgrounds.unique(dim=0)) == len(random)
    # Nothing else changes with it.
    for name in ("offsets", "wanted", "directions"):
        assert torch.equal(getattr(batch, name), getattr(random, name))


def test_pieces_put_together_are_the_batch():
    batch = view_task().batch(0)
    # 64 samples are expected on each of 128 rays; pieces are as even as can be.
    pieces = batch.pieces(25 * 64)
    assert [len(piece) for piece in pieces] == [26] * 4 + [24]
    assert [piece.first for piece in pieces] == [0, 26, 52, 78, 104]
    together = {
        name: torch.cat([tensors(piece)[name] for piece in pieces])
        for name in tensors(batch)
    }
    assert_same_bits(together, tensors(batch))
    assert all(piece.found is batch.found for piece in pieces)
    again = [len(part) for piece in pieces[:2] for part in piece.pieces(1)]
    assert again == [1] * 52
    firsts = [part.first for piece in pieces[:2] for part in piece.pieces(10 * 64)]
    assert firsts == [0, 9, 18, 26, 35, 44]


def test_the_loss_of_pieces_is_that_of_the_batch():
    task, field = view_task(), tiny_field()
    batch = task.batch(0)
    whole = task.loss(field, batch)
    parts = [task.loss(field, p) * len(p) / len(batch) for p in batch.pieces(1000)]
    assert sum(float(part.detach()) for part in parts) == pytest.approx(
        whole.item(), rel=1e-5
    )


@pytest.mark.parametrize("count", [1, 2])
def test_workers_add_up_the_gradient_of_the_batch(count: int):
    task, field = view_task(), tiny_field()
    batch = task.batch(0)
    loss = task.loss(field, batch)
    names = [name for name, _ in field.named_parameters()]
    grads = torch.autograd.grad(loss, list(field.parameters()))
    with Workers(count) as workers:
        optimizer = Adam(field, TRAINING, workers)
        found = add_gradients(workers, task, field, batch, optimizer, 1000)
        parts = [optimizer.worker_grads(worker) for worker in range(count)]
    keys = {id(p): name for name, p in field.named_parameters()}
    summed = {
        keys[id(parameter)]: torch.stack([part[k] for part in parts]).sum(0)
        for k, parameter in enumerate(optimizer.parameters)
    }
    assert found == pytest.approx(loss.item(), rel=1e-5)
    expected = dict(zip(names, grads, strict=True))
    assert_close(summed, {name: expected[name] for name in summed}, tolerance=1e-4)
    assert set(summed) == set(expected)


@pytest.mark.parametrize("background", ["random", "white", "black"])
def test_a_field_that_is_right_has_no_loss(background):
    full = view_task("all", background=background)
    assert float(full.loss(solid(), full.batch(0)).detach()) < 1e-12
    empty = view_task("nothing", background=background)
    assert float(empty.loss(solid(0.0), empty.batch(0)).detach()) == 0


def test_a_field_that_is_wrong_has_the_loss_of_its_error():
    task = view_task("all")
    wrong = solid(paint=(1.0, 0.5, 0.2))
    loss = float(task.loss(wrong, task.batch(0)).detach())
    assert loss == pytest.approx(0.25 / 3, rel=1e-4)
    # Black on white where nothing should be.
    blot = view_task("nothing", background="white")
    loss = float(blot.loss(solid(paint=(0.0,) * 3), blot.batch(0)).detach())
    assert loss == pytest.approx(1.0, rel=1e-4)
    # Of a transparent pixel only the background counts, never its own colour.
    clear = view_task("nothing", background="black")
    loss = float(clear.loss(solid(paint=(0.0,) * 3), clear.batch(0)).detach())
    assert loss == 0


def test_the_number_of_rays_follows_the_samples_on_them():
    task, field = view_task(), EvenMedium(lambda c: c[:, 0] > -1, 0.5)
    assert len(task.batch(0)) == round(8192 / 64)
    with Workers(1) as workers:
        (count,) = advance(task, field, range(1), workers)
        mean = count / 128
        assert len(task.batch(1)) == round(8192 / mean)
        # Steps of 1/48: a ray through the middle of the box has some 50 to 60.
        assert 40 < mean < 80
        assert task.measures["samples_per_ray"] == pytest.approx(mean)
        # Now only a cell is left: rays become short, and expectations follow.
        task.occupancy.densities.zero_()
        every = torch.arange(32**3)
        task.occupancy.see(every, torch.zeros(len(every)))
        task.occupancy.see(torch.tensor([0]), torch.tensor([1e9]))
        task.occupancy.refresh()
        task.occupancy.floors.zero_()
        counts = advance(task, field, range(1, 2), workers)
    rays = round(8192 / mean)
    expected = 0.8 * mean + 0.2 * counts[0] / rays
    assert counts[0] < 0.1 * rays * mean
    assert task.measures["samples_per_ray"] == pytest.approx(expected)
    measures = task.measures
    assert measures["rays"] == 128 + rays
    assert measures["samples"] == count + counts[0]
    assert measures["samples_kept"] <= measures["samples"]


@pytest.mark.parametrize(("expected", "rays"), [(0.0, 16384), (1e6, 64), (20.0, 410)])
def test_there_are_never_too_few_rays_nor_too_many(expected: float, rays: int):
    task = view_task()
    task.state["samples_per_ray"].fill_(expected)
    assert len(task.batch(3)) == rays
    huge = view_task(batch_size=10**7)
    huge.state["samples_per_ray"].fill_(1.0)
    assert len(huge.batch(0)) == 2**15


def test_cells_are_known_better_with_every_refreshing():
    task, field = view_task(batch_size=4096), EvenMedium(in_ball, 50.0)
    with Workers(2) as workers:
        advance(task, field, range(3), workers)
        assert task.occupancy.fraction == 1
        advance(task, field, range(3, 100), workers)
    inside = torch.tensor([[0.5, 0.5, 0.5], [0.05, 0.05, 0.05]])
    x, y, z = (inside * 32).long().unbind(1)
    cells = (z * 32 + y) * 32 + x
    is_occupied = task.occupancy.cells.unpacked().flatten()[cells]
    assert is_occupied.tolist() == [True, False]
    # A ball of radius 0.3 is 0.113 of the box, and cells at its border count; those
    # that nobody has looked at yet all do.
    is_known = task.occupancy.state["known"]
    is_occupied = task.occupancy.cells.unpacked().flatten()
    assert bool(is_occupied[~is_known].all())
    assert 0.6 < float(is_known.float().mean()) < 1
    assert 0.08 < float(is_occupied[is_known].float().mean()) < 0.16
    assert float(task.occupancy.densities.max()) == pytest.approx(0.95 * 50)
    speeds = task.speeds(2.0)
    assert speeds["rays_per_second"] == task.measures["rays"] / 2
    assert speeds["occupied"] == task.occupancy.fraction
    assert task.speeds(0.0)["samples_per_second"] is None


def test_the_state_is_all_that_a_task_learns():
    task, other = (view_task(seed=2, batch_size=4096) for _ in range(2))
    field = tiny_field()
    with Workers(2) as workers:
        advance(task, field, range(6), workers)
        for name, tensor in other.state.items():
            tensor.copy_(task.state[name])
        assert_same_bits(other.state, task.state)
        assert other.measures == task.measures
        assert_same_bits(tensors(other.batch(6)), tensors(task.batch(6)))
        fresh = view_task(seed=2, batch_size=4096)
        assert len(fresh.batch(6)) != len(task.batch(6))
        counts = [advance(t, field, range(6, 10), workers) for t in (task, other)]
    assert counts[0] == counts[1]
    assert_same_bits(other.state, task.state)


def run_folder(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_json("config.json", {"kind": "fit-scene"})
    return folder


def stop_at(step: int):
    def press(moment: Moment) -> None:
        if moment.step == step:
            signal.raise_signal(signal.SIGINT)

    return press


@pytest.mark.parametrize("stop", [2, 5])
def test_a_resumed_fit_is_the_uninterrupted_one(stop: int, tmp_path: Path):
    """Before the first refreshing, and between two of them."""
    whole, parts = run_folder(tmp_path / "whole"), run_folder(tmp_path / "parts")
    expected = fit(view_task(), tiny_field(), TRAINING, folder=whole)
    with pytest.raises(InterruptedRunError):
        fit(view_task(), tiny_field(), TRAINING, folder=parts, on_step=stop_at(stop))
    resumed = view_task()
    found = fit(resumed, tiny_field(seed=9), TRAINING, folder=parts, resume=True)
    assert_same_field(found.field, expected.field)
    assert curve(parts) == curve(whole)
    assert found.progress.points == expected.progress.points
    lines = curve(whole)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[-1]["points"] == lines[-1]["samples"] == found.progress.points
    assert lines[-1]["rays"] == resumed.measures["rays"]
    assert 0 < lines[-1]["samples_kept"] <= lines[-1]["samples"]


def trained(kind: str, steps: int) -> tuple[ViewSynthesis, RadianceScene, list[float]]:
    task, field = view_task(kind, batch_size=4096), tiny_field()
    losses: list[float] = []
    settings = TrainingSettings(
        steps=steps,
        piece_size=2048,
        threads=2,
        rates={"grid": 2e-2, "decoder": 1e-2},
        schedule="exponential",
        hold=0.3,
        final_rate=0.03,
    )

    def follow(moment: Moment) -> None:
        losses.append(moment.loss)

    fit(task, field, settings, on_step=follow)
    march = task.settings.march
    scene = RadianceScene(
        field=field, space=SPACE, occupancy=task.occupancy, march=march
    )
    return task, scene, losses


def test_nothing_is_learned_from_photographs_of_nothing():
    task, scene, losses = trained("nothing", 60)
    assert np.isfinite(losses).all()
    assert losses[-1] < 1e-3 < losses[0]
    assert all(p.isfinite().all() for p in scene.field.parameters())
    with Workers(2) as workers:
        view = render_view(scene, photographs().views[0].camera, workers)
    assert float(view.opacity.max()) < 0.1
    assert bool(view.colour.isfinite().all())
    assert all(t.isfinite().all() for k, t in task.state.items() if k != "lowest")


def test_a_field_without_anything_still_has_gradients():
    """All photographs opaque, and nothing there: growing must be possible."""
    task, field = view_task("all"), solid(0.0)
    loss = task.loss(field, task.batch(0))
    (of_density,) = torch.autograd.grad(loss, field.strength)
    assert bool(of_density.isfinite())
    assert float(of_density) < 0


def test_a_ball_is_learned():
    """When written, what is left of the error of an empty picture was 0.05."""
    _, scene, losses = trained("ball", 120)
    assert losses[-1] < 0.1 * losses[0]
    errors, empty = [], []
    with Workers(2) as workers:
        for view in photographs().views:
            seen = render_view(scene, view.camera, workers).over((1.0, 1.0, 1.0))
            rgba = torch.from_numpy(view.pixels.copy()).float() / 255
            wanted = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
            errors.append((seen - wanted).square().mean())
            empty.append((1 - wanted).square().mean())
    assert float(sum(errors) / sum(empty)) < 0.15
    assert scene.occupancy.fraction < 0.5


def test_it_knows_what_it_trains_for():
    task = view_task()
    assert (task.site.num_dims, task.site.num_channels) == (3, 3)
    assert task.loss_is_squared


def test_an_unknown_background_is_refused(unchecked: None):
    with pytest.raises(
        ConfigError, match=r"views\.background.*'random', 'white', 'bla"
    ):
        ViewSettings(background="blue")
