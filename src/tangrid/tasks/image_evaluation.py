"""Judge a field as an image: metrics strip by strip, and what the pictures need."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tangrid.metrics.frequency import PowerSpectra, centre_of, power_spectra
from tangrid.metrics.mae import AbsoluteError
from tangrid.metrics.psnr import SquaredError
from tangrid.metrics.ssim import WINDOW, StructuralSimilarity
from tangrid.metrics.strips import Image
from tangrid.notation import Coords, Values
from tangrid.signals.image import ImageSignal
from tangrid.signals.splits import Split

Predict = Callable[[Coords], Values]
"""Gives a field's values at points, without gradients."""

_POINTS_PER_STRIP = 2**18
_SMALLEST_SPECTRUM = 8


@dataclass(frozen=True)
class ImageEvaluation:
    """What a field is worth as an image.

    Attributes:
        metrics: Scores by name, as they stand in ``metrics.json``.
        reconstruction: The field at all pixel centres, 8 bits per channel as it would
            be saved.
        error: Mean absolute error over the channels of each pixel, float16.
        spectra: Power of target and error by frequency; None for tiny images.
    """

    metrics: dict[str, Any]
    reconstruction: np.ndarray
    error: np.ndarray
    spectra: PowerSpectra | None


def evaluate_image(
    signal: ImageSignal, predict: Predict, split: Split | None = None
) -> ImageEvaluation:
    """Return how a field compares with an image at all its pixel centres.

    Args:
        signal: The image.
        predict: The field.
        split: The pixels that training saw and those held out, if there are any.
    """
    height, width, channels = signal.height, signal.width, signal.num_channels
    totals = _Totals(signal, split)
    reconstruction = np.empty((height, width, channels), np.uint8)
    error = np.empty((height, width), np.float16)
    x, y, inner_width, inner_height = centre_of(width, height)
    centre = np.empty((inner_height, inner_width, channels), np.float32)
    step = max(_POINTS_PER_STRIP // width, 1)
    for start in range(0, height, step):
        stop = min(start + step, height)
        found = predict_rows(signal, predict, start, stop)
        target = signal.rows(start, stop)
        totals.add(found, target, start)
        shown = found.clip(0, 1)
        reconstruction[start:stop] = np.round(shown * 255)
        error[start:stop] = np.abs(shown - target.clip(0, 1)).mean(2)
        top, bottom = max(start, y), min(stop, y + inner_height)
        if top < bottom:
            rows = found[top - start : bottom - start]
            centre[top - y : bottom - y] = rows[:, x : x + inner_width]
    spectra = None
    if min(inner_width, inner_height) >= _SMALLEST_SPECTRUM:
        inner = signal.rows(y, y + inner_height)[:, x : x + inner_width]
        spectra = power_spectra(centre, inner)
    return ImageEvaluation(totals.metrics, reconstruction, error, spectra)


def predict_rows(signal: ImageSignal, predict: Predict, start: int, stop: int) -> Image:
    """Return a field's values at the pixel centres of some rows.

    Args:
        signal: Gives the pixel centres.
        predict: The field.
        start: First row.
        stop: Row after the last.
    """
    indices = torch.arange(start * signal.width, stop * signal.width)
    values = predict(signal.pixel_coords(indices)).float().numpy()
    return values.reshape(stop - start, signal.width, signal.num_channels)


class _Totals:
    """Scores that grow strip by strip."""

    def __init__(self, signal: ImageSignal, split: Split | None) -> None:
        self._squared = SquaredError()
        self._rounded = SquaredError(eight_bits=True)
        self._absolute = AbsoluteError()
        fits = min(signal.width, signal.height) >= WINDOW
        self._similarity = StructuralSimilarity() if fits else None
        self._heldout: np.ndarray | None = None
        if split is not None:
            mask = np.zeros(signal.num_pixels, bool)
            mask[split.heldout_indices.numpy()] = True
            self._heldout = mask.reshape(signal.height, signal.width)
        self._parts: dict[str, SquaredError] = {
            "psnr_trained": SquaredError(),
            "psnr_heldout": SquaredError(),
        }

    def add(self, found: Image, target: Image, start: int) -> None:
        """Take one more strip in.

        Args:
            found: The field's values.
            target: The image's.
            start: First row of the strip.
        """
        self._squared = self._squared.with_strip(found, target)
        self._rounded = self._rounded.with_strip(found, target)
        self._absolute = self._absolute.with_strip(found, target)
        if self._similarity is not None:
            self._similarity = self._similarity.with_strip(found, target)
        if self._heldout is not None:
            mask = self._heldout[start : start + len(found)]
            for name, part in (("psnr_trained", ~mask), ("psnr_heldout", mask)):
                pixels = found[part][:, None], target[part][:, None]
                self._parts[name] = self._parts[name].with_strip(*pixels)

    @property
    def metrics(self) -> dict[str, Any]:
        """The scores by name."""
        similarity = self._similarity
        metrics = {
            "psnr": self._squared.psnr,
            "psnr_8bit": self._rounded.psnr,
            "ssim": None if similarity is None else similarity.ssim,
            "mae": self._absolute.mae,
        }
        if self._heldout is not None:
            metrics |= {name: part.psnr for name, part in self._parts.items()}
        return metrics
