import numpy as np
import pytest
import torch

import tangrid.tasks.image_regression as module
from tangrid.errors import ConfigError
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import split_every_second
from tangrid.tasks import ImageRegression, PointBatch
from tests.ops.comparison import assert_close
from tests.training.small_fits import LINE, build

WIDTH, HEIGHT = 6, 4


@pytest.fixture
def image() -> ImageSignal:
    """Every pixel has a value of its own: its number."""
    numbers = np.arange(WIDTH * HEIGHT, dtype=np.float32)
    return ImageSignal.from_array(numbers.reshape(HEIGHT, WIDTH) / 100)


def pixels_of(batch: PointBatch) -> list[int]:
    return (batch.targets[:, 0] * 100).round().int().tolist()


def test_a_small_image_is_one_batch(image: ImageSignal):
    task = ImageRegression(image, batch_size=100)
    assert task.sampling == "all"
    first, second = task.batch(0), task.batch(7)
    assert pixels_of(first) == list(range(24))
    assert torch.equal(first.coords, second.coords)


def test_a_large_image_is_sampled(image: ImageSignal):
    assert ImageRegression(image, batch_size=23).sampling == "pixels"
    assert ImageRegression(image, batch_size=24).sampling == "all"


def test_targets_belong_to_coordinates(image: ImageSignal):
    for sampling in ("all", "pixels"):
        task = ImageRegression(image, batch_size=10, sampling=sampling)
        batch = task.batch(3)
        column = (batch.coords[:, 0] * WIDTH - 0.5).round().int()
        row = (batch.coords[:, 1] * HEIGHT - 0.5).round().int()
        assert (row * WIDTH + column).tolist() == pixels_of(batch), sampling


@pytest.mark.parametrize("batch_size", [6, 7, 24])
def test_an_epoch_draws_each_pixel_once(image: ImageSignal, batch_size: int):
    task = ImageRegression(image, batch_size=batch_size, sampling="pixels")
    per_epoch = 24 // batch_size
    for epoch in range(3):
        drawn = [
            pixel
            for step in range(epoch * per_epoch, (epoch + 1) * per_epoch)
            for pixel in pixels_of(task.batch(step))
        ]
        assert len(set(drawn)) == len(drawn) == per_epoch * batch_size


def test_epochs_draw_in_another_order(image: ImageSignal):
    task = ImageRegression(image, batch_size=12, sampling="pixels")
    halves = [frozenset(pixels_of(task.batch(2 * epoch))) for epoch in range(5)]
    assert len(set(halves)) > 1


@pytest.mark.parametrize("sampling", ["pixels", "continuous"])
def test_a_batch_is_a_function_of_seed_and_step(image: ImageSignal, sampling):
    def task(seed: int) -> ImageRegression:
        return ImageRegression(image, batch_size=5, sampling=sampling, seed=seed)

    one, other = task(seed=3), task(seed=3)
    forwards = [one.batch(step) for step in range(12)]
    backwards = [other.batch(step) for step in reversed(range(12))][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        assert torch.equal(first.coords, second.coords)
        assert torch.equal(first.targets, second.targets)
    assert not torch.equal(task(seed=4).batch(0).coords, forwards[0].coords)
    assert not torch.equal(forwards[1].coords, forwards[0].coords)


def test_batches_draw_no_global_random_numbers(image: ImageSignal):
    before = torch.random.get_rng_state()
    for sampling in ("all", "pixels", "continuous"):
        ImageRegression(image, batch_size=5, sampling=sampling).batch(1)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("sampling", ["auto", "all", "pixels"])
@pytest.mark.parametrize("batch_size", [2, 4, 100])
def test_held_out_pixels_are_never_trained_on(
    image: ImageSignal, sampling, batch_size: int
):
    task = ImageRegression(
        image, batch_size=batch_size, sampling=sampling, split=split_every_second(image)
    )
    kept = {y * WIDTH + x for y in range(0, HEIGHT, 2) for x in range(0, WIDTH, 2)}
    assert task.num_points == len(kept) == 6
    assert task.split is not None
    assert set(task.split.heldout_indices.tolist()) == set(range(24)) - kept
    drawn = {pixel for step in range(9) for pixel in pixels_of(task.batch(step))}
    assert drawn == kept


def test_continuous_points_lie_between_pixels(image: ImageSignal):
    task = ImageRegression(image, batch_size=500, sampling="continuous")
    batch = task.batch(0)
    assert ((batch.coords >= 0) & (batch.coords < 1)).all()
    assert torch.equal(batch.targets, image.sample(batch.coords))
    assert len(batch.coords.unique(dim=0)) == 500


def test_an_image_too_large_for_memory_is_drawn_with_repetition(
    image: ImageSignal, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_PIXELS_IN_MEMORY", 10)
    task = ImageRegression(image, batch_size=20, sampling="pixels")
    batch, again = task.batch(5), task.batch(5)
    assert torch.equal(batch.coords, again.coords)
    assert len(batch) == 20
    assert set(pixels_of(batch)) <= set(range(24))
    # Neighbours in memory follow each other.
    assert pixels_of(batch) == sorted(pixels_of(batch))


def test_a_batch_is_never_larger_than_the_image(image: ImageSignal):
    assert len(ImageRegression(image, batch_size=50, sampling="pixels").batch(0)) == 24


def test_pieces_are_the_batch(image: ImageSignal):
    batch = ImageRegression(image, batch_size=24).batch(0)
    pieces = batch.pieces(7)
    assert [len(piece) for piece in pieces] == [7, 7, 7, 3]
    assert torch.equal(torch.cat([p.coords for p in pieces]), batch.coords)
    assert torch.equal(torch.cat([p.targets for p in pieces]), batch.targets)


def test_the_loss_is_the_mean_squared_error():
    signal = ImageSignal.from_array(np.full((4, 4, 3), 0.25, np.float32))
    task = ImageRegression(signal, batch_size=16)
    field = build(LINE)
    batch = task.batch(0)
    expected = (field(batch.coords) - 0.25).square().mean()
    assert torch.allclose(task.loss(field, batch), expected)


def test_positions_between_all_pixels_leave_none_to_hold_out(image: ImageSignal):
    with pytest.raises(
        ConfigError, match="expected all, pixels or auto with a holdout"
    ):
        ImageRegression(
            image, batch_size=4, sampling="continuous", split=split_every_second(image)
        )


@pytest.mark.parametrize("sampling", ["all", "pixels", "continuous"])
@pytest.mark.parametrize("holdout", [False, True])
def test_batches_are_made_on_the_device(
    image: ImageSignal, pretend: torch.device, sampling, holdout: bool
):
    from tests.pretended_device import waits  # noqa: PLC0415 (after the fixture)

    if holdout and sampling == "continuous":
        return

    split = split_every_second(image) if holdout else None

    def task() -> ImageRegression:
        return ImageRegression(
            image, batch_size=5, sampling=sampling, split=split, device=pretend
        )

    one, other = task(), task()
    one.batch(0)
    waits.clear()
    for step in range(3):
        batch = one.batch(step)
        assert batch.coords.device == batch.targets.device == pretend
        assert not waits
        again = other.batch(step)
        assert torch.equal(batch.coords.cpu(), again.coords.cpu())
        wanted = image.sample(batch.coords)
        assert_close({"values": batch.targets.cpu()}, {"values": wanted})
        waits.clear()


def test_large_images_are_looked_up_on_the_host(
    image: ImageSignal, pretend: torch.device, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_PIXELS_IN_MEMORY", 10)
    monkeypatch.setattr(module, "_PIXELS_ON_A_GPU", 10)
    for sampling in ("pixels", "continuous"):
        kind = {"batch_size": 5, "sampling": sampling}
        batch = ImageRegression(image, device=pretend, **kind).batch(1)
        like = ImageRegression(image, **kind).batch(1)
        assert batch.coords.device == batch.targets.device == pretend
        assert torch.equal(batch.coords.cpu(), like.coords)
        assert torch.equal(batch.targets.cpu(), like.targets)
