import math

import numpy as np
import pytest
import torch
from torch import Tensor

import tangrid.tasks.image_evaluation as module
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import split_every_second
from tangrid.tasks.image_evaluation import evaluate_image


def image_of(height: int = 20, width: int = 24, channels: int = 3) -> ImageSignal:
    pixels = np.random.default_rng(0).random((height, width, channels), np.float32)
    return ImageSignal.from_array(pixels)


def shifted(signal: ImageSignal, by: float):
    """A field that is wrong by one number everywhere."""
    return lambda coords: signal.sample(coords) + by


def test_a_perfect_field_has_a_perfect_score():
    signal = image_of()
    found = evaluate_image(signal, shifted(signal, 0.0))
    assert found.metrics["psnr"] > 100
    assert found.metrics["ssim"] == pytest.approx(1.0)
    assert found.metrics["mae"] < 1e-6
    assert not (found.error > 1e-6).any()
    expected = np.round(signal.rows(0, 20) * 255).astype(np.uint8)
    assert (found.reconstruction == expected).all()


def test_scores_are_those_of_the_definitions():
    signal = ImageSignal.from_array(np.full((16, 16, 3), 0.5, np.float32))
    found = evaluate_image(signal, shifted(signal, 0.1))
    assert found.metrics["psnr"] == pytest.approx(20.0, abs=1e-4)
    assert found.metrics["mae"] == pytest.approx(0.1, abs=1e-5)
    # 0.6 is 153 of 255 exactly; 0.5 is compared as it is stored.
    assert found.metrics["psnr_8bit"] == pytest.approx(20.0, abs=0.2)
    assert np.allclose(found.error.astype(np.float32), 0.1, atol=1e-3)


def test_values_outside_are_clipped_before_they_are_judged():
    signal = ImageSignal.from_array(np.ones((16, 16), np.float32))
    found = evaluate_image(signal, shifted(signal, 5.0))
    assert found.metrics["mae"] == 0
    assert (found.reconstruction == 255).all()


def test_strips_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch):
    signal = image_of()
    split = split_every_second(signal)

    def predict(coords: Tensor) -> Tensor:
        return signal.sample(coords) + 0.05 * torch.sin(40 * coords[:, :1])

    whole = evaluate_image(signal, predict, split)
    monkeypatch.setattr(module, "_POINTS_PER_STRIP", 24 * 3)
    strips = evaluate_image(signal, predict, split)
    assert strips.metrics == pytest.approx(whole.metrics, rel=1e-6)
    assert np.array_equal(strips.reconstruction, whole.reconstruction)
    assert np.array_equal(strips.error, whole.error)
    assert strips.spectra is not None
    assert whole.spectra is not None
    assert np.allclose(strips.spectra.error_power, whole.spectra.error_power)


def test_held_out_pixels_have_a_score_of_their_own():
    signal = ImageSignal.from_array(np.full((16, 16), 0.5, np.float32))
    split = split_every_second(signal)
    trained = torch.zeros(256, dtype=torch.bool)
    trained[split.train_indices] = True

    def predict(coords: Tensor) -> Tensor:
        column = (coords[:, 0] * 16 - 0.5).round().long()
        row = (coords[:, 1] * 16 - 0.5).round().long()
        wrong = torch.where(trained[row * 16 + column], 0.01, 0.1)
        return 0.5 + wrong[:, None]

    metrics = evaluate_image(signal, predict, split).metrics
    assert metrics["psnr_trained"] == pytest.approx(40, abs=1e-3)
    assert metrics["psnr_heldout"] == pytest.approx(20, abs=1e-3)
    mean = -10 * math.log10((0.01**2 + 3 * 0.1**2) / 4)
    assert metrics["psnr"] == pytest.approx(mean, abs=1e-3)
    assert "psnr_heldout" not in evaluate_image(signal, predict).metrics


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 400), (10, 30), (2, 9)])
def test_tiny_images_have_no_ssim(height: int, width: int):
    signal = image_of(height, width)
    found = evaluate_image(signal, shifted(signal, 0.1))
    assert found.metrics["ssim"] is None
    assert math.isfinite(found.metrics["psnr"])
    assert found.reconstruction.shape == (height, width, 3)
    assert (found.spectra is None) == (min(height, width) < 8)
