"""The pictures of an image fit: target, reconstruction, error map, worst crops."""

import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from PIL import Image as PillowImage

from tangrid.signals.colour import srgb_from_linear
from tangrid.signals.image import ImageSignal
from tangrid.tasks.image_evaluation import ImageEvaluation

ERROR_SCALES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_COVERED = 0.995
_LONGEST_SHOWN_SIDE = 1600
_NUM_CROPS = 3


@dataclass(frozen=True, kw_only=True)
class CropBox:
    """A part of an image, in pixels.

    Attributes:
        x: First column.
        y: First row.
        width: Columns.
        height: Rows.
    """

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Framing:
    """What pictures must share to be compared: the error scale and the crops.

    Attributes:
        error_scale: Absolute error at the top of the colour map.
        crops: The boxes shown enlarged.
    """

    error_scale: float
    crops: tuple[CropBox, ...]


def frame(evaluation: ImageEvaluation) -> Framing:
    """Return the error scale and the crops where the error is largest.

    Args:
        evaluation: The reconstruction to look at.
    """
    error = evaluation.error
    covered = float(np.quantile(error.astype(np.float32), _COVERED))
    scale = next((s for s in ERROR_SCALES if s >= covered), ERROR_SCALES[-1])
    return Framing(scale, tuple(_worst_boxes(error)))


def _worst_boxes(error: np.ndarray) -> Iterator[CropBox]:
    height, width = error.shape
    side = min(max(min(height, width) // 8, 24), height, width)
    rows, columns = height // side, width // side
    tiles = error[: rows * side, : columns * side].astype(np.float32)
    means = tiles.reshape(rows, side, columns, side).mean((1, 3))
    order = np.argsort(-means, axis=None, kind="stable")[:_NUM_CROPS]
    for place in order:
        row, column = divmod(int(place), columns)
        yield CropBox(x=column * side, y=row * side, width=side, height=side)


def describe(
    signal: ImageSignal, evaluation: ImageEvaluation, framing: Framing
) -> dict[str, Any]:
    """Return what ``pictures.json`` says about the pictures.

    Args:
        signal: The image.
        evaluation: The reconstruction.
        framing: Error scale and crops.
    """
    shown = _shown(signal, evaluation.reconstruction)
    crops = [
        {**asdict(box), "mae": float(_cut(evaluation.error, box).mean(dtype=float))}
        for box in framing.crops
    ]
    description: dict[str, Any] = {
        "error_scale": framing.error_scale,
        "width": signal.width,
        "height": signal.height,
        "shown_width": shown.width,
        "shown_height": shown.height,
        "crops": crops,
    }
    if evaluation.spectra is not None:
        spectra = evaluation.spectra
        description["frequency"] = {
            "cycles_per_pixel": spectra.cycles_per_pixel.tolist(),
            "target_power": spectra.target_power.tolist(),
            "error_power": spectra.error_power.tolist(),
        }
    return description


def draw(
    signal: ImageSignal, evaluation: ImageEvaluation, framing: Framing
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the PNG file of every picture.

    Args:
        signal: The image.
        evaluation: The reconstruction.
        framing: Error scale and crops.
    """
    target = np.empty_like(evaluation.reconstruction)
    for start in range(0, signal.height, 256):
        rows = signal.rows(start, min(start + 256, signal.height))
        target[start : start + 256] = np.round(rows.clip(0, 1) * 255)
    kinds = {
        "target": target,
        "reconstruction": evaluation.reconstruction,
        "error": _coloured(evaluation.error, framing.error_scale),
    }
    for kind, pixels in kinds.items():
        yield f"{kind}.png", _png(_shown(signal, pixels, plain=kind == "error"))
        for number, box in enumerate(framing.crops):
            part = picture(signal, _cut(pixels, box), plain=kind == "error")
            yield f"crop_{number}_{kind}.png", _png(part)


def picture(
    signal: ImageSignal, pixels: np.ndarray, *, plain: bool = False
) -> PillowImage.Image:
    """Return 8-bit values of a signal as a picture for a screen.

    Args:
        signal: Says whether values are linear and so must be coded.
        pixels: Rows, columns and channels; of more than 4 the first 3 are shown.
        plain: Whether the pixels are meant for the screen as they are.
    """
    channels = pixels.shape[-1] if pixels.shape[-1] <= 4 else 3
    pixels = pixels[..., :channels]
    if signal.colour == "linear" and not plain:
        # With 2 or 4 channels the last is alpha, which is linear on any screen.
        colours = channels - (channels % 2 == 0)
        coded = srgb_from_linear(pixels[..., :colours].astype(np.float32) / 255)
        pixels = np.concatenate(
            (np.round(coded * 255).astype(np.uint8), pixels[..., colours:]), axis=-1
        )
    return PillowImage.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _shown(
    signal: ImageSignal, pixels: np.ndarray, *, plain: bool = False
) -> PillowImage.Image:
    whole = picture(signal, pixels, plain=plain)
    whole.thumbnail((_LONGEST_SHOWN_SIDE, _LONGEST_SHOWN_SIDE))
    return whole


def _coloured(error: np.ndarray, scale: float) -> np.ndarray:
    levels = np.round((error.astype(np.float32) / scale).clip(0, 1) * 255)
    table = (colormaps["inferno"](np.arange(256))[:, :3] * 255).round()
    return table.astype(np.uint8)[levels.astype(np.uint8)]


def _cut(pixels: np.ndarray, box: CropBox) -> np.ndarray:
    return pixels[box.y : box.y + box.height, box.x : box.x + box.width]


def _png(image: PillowImage.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
