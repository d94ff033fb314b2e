"""Windows hold all training points of a few small places, at training's density."""

import numpy as np
import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.experiments.predict_sample import (
    Window,
    image_windows,
    nearest_windows,
    seen,
)
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import Split, split_at_random, split_every_second

SIDE = 32


def signal() -> ImageSignal:
    values = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
    return ImageSignal.from_array(values)


def windows_of(split: Split | None, **changes: float | int) -> list[Window]:
    asked = {"count": 4, "points": 16, "judged": 0.25, "seed": 0, **changes}
    return image_windows(signal(), split, **asked)  # pyright: ignore


def pixels(window: Window) -> torch.Tensor:
    """Columns and rows of a window's pixels."""
    return (window.coords * SIDE - 0.5).round().long()


def test_all_training_pixels_of_a_square_and_no_others():
    image = signal()
    split = split_every_second(image)
    trained = {tuple(it) for it in _places(split.train_indices).tolist()}
    for window in windows_of(split):
        found = {tuple(it) for it in pixels(window).tolist()}
        (left, top), (right, bottom) = pixels(window).amin(0), pixels(window).amax(0)
        inside = {
            (x, y) for x, y in trained if left <= x <= right and top <= y <= bottom
        }
        assert found == inside
        index = pixels(window) @ torch.tensor([1, SIDE])
        assert torch.equal(window.values, image.pixel_values(index))


def _places(index: torch.Tensor) -> torch.Tensor:
    return torch.stack([index % SIDE, index // SIDE], 1)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_density_is_that_of_training(share: float):
    image = signal()
    split = split_at_random(image, share, seed=0)
    found = windows_of(split, count=8, points=64)
    sides = round((64 / (1 - share)) ** 0.5)
    density = sum(map(len, found)) / (8 * sides**2)
    # Eight squares of some 85 to 256 pixels, each kept with that probability.
    assert density == pytest.approx(1 - share, abs=0.06)


def test_windows_spread_over_the_image():
    middles = torch.stack([it.coords.mean(0) for it in windows_of(None, count=4)])
    quadrants = {tuple(it) for it in (middles > 0.5).tolist()}
    assert len(quadrants) == 4


def test_the_same_seed_gives_the_same_windows_and_another_one_others():
    first, again, other = (windows_of(None, seed=seed) for seed in (3, 3, 4))
    assert all(
        torch.equal(a.coords, b.coords) and torch.equal(a.is_judged, b.is_judged)
        for a, b in zip(first, again, strict=True)
    )
    assert any(
        not torch.equal(a.coords, b.coords) for a, b in zip(first, other, strict=True)
    )


@pytest.mark.parametrize("judged", [0.001, 0.999])
def test_something_is_judged_and_something_seen(judged: float):
    found = windows_of(None, judged=judged, count=8)
    assert all(0 < int(it.is_judged.sum()) < len(it) for it in found)
    coords, values = seen(found)
    hidden = sum(int(it.is_judged.sum()) for it in found)
    assert len(coords) == len(values) == sum(map(len, found)) - hidden


def test_an_image_with_too_few_pixels_is_refused():
    with pytest.raises(ConfigError, match="at least 8 pixels to train on, got 5"):
        windows_of(split_at_random(signal(), 0.995, seed=0))


def test_nearest_points_around_a_centre():
    source = torch.Generator().manual_seed(0)
    coords = torch.rand(200, 3, generator=source)
    values = coords.sum(1, keepdim=True)
    centres = torch.tensor([5, 100])
    found = nearest_windows(coords, values, centres, points=20, judged=0.25, seed=0)
    for centre, window in zip(centres.tolist(), found, strict=True):
        distance = (coords - coords[centre]).norm(dim=1)
        farthest = (window.coords - coords[centre]).norm(dim=1).max()
        assert len(window) == 20 == int((distance <= farthest).sum())
        torch.testing.assert_close(window.values, window.coords.sum(1, keepdim=True))
    all_of_few = nearest_windows(
        coords[:9], values[:9], centres[:1], points=20, judged=0.25, seed=0
    )
    assert len(all_of_few[0]) == 9


def test_no_point_is_judged_in_one_window_and_seen_in_another():
    found = windows_of(None, count=16, points=128)
    judged = {tuple(p) for w in found for p in w.coords[w.is_judged].tolist()}
    assert judged.isdisjoint(map(tuple, seen(found)[0].tolist()))
