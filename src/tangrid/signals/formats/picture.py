"""The pixels of one picture file, and the checks that every format shares."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from tangrid.errors import DataError
from tangrid.signals.colour import Colour
from tangrid.signals.pixels import num_colours

MAX_FILE_PIXELS = 1_250_000_000
"""Largest picture that is decoded; the Tokyo panorama of the literature has 1.217e9."""

_ROWS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """Hold the pixels of a file as it stores them."""

    pixels: Shaped[np.ndarray, "h w c"]
    """uint8, uint16 or float32; 1, 2, 3 or 4 channels, alpha last and straight."""
    stored: Colour
    """Integers are sRGB-coded, floats are linear light."""
    is_turned: bool = False
    """Whether the file says to turn it, and the pixels lie as they are stored."""


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse a picture before it is decoded if it is too small or too large.

    Args:
        path: The file, for the message.
        width: Columns that the file's header states.
        height: Rows that the file's header states.

    Raises:
        DataError: If a side has fewer than 2 pixels, or the picture too many.
    """
    if min(width, height) < 2:
        raise DataError(
            f"{path}: expected a picture with at least 2 pixels on each side, got "
            f"{width} x {height}. One row of pixels is not a signal on the plane."
        )
    if width * height > MAX_FILE_PIXELS:
        raise DataError(
            f"{path}: expected at most {MAX_FILE_PIXELS:,} pixels, got {width} x "
            f"{height} = {width * height:,}. Cut the picture into smaller files."
        )


def check_finite(path: Path, pixels: Float[np.ndarray, "h w c"]) -> None:
    """Refuse a picture that holds numbers which are not finite.

    Args:
        path: The file, for the message.
        pixels: Its pixels.

    Raises:
        DataError: If any value is NaN or infinite; the message says how many are.
    """
    count, first = 0, ""
    for start in range(0, len(pixels), _ROWS):
        bad = ~np.isfinite(pixels[start : start + _ROWS])
        if not first and bad.any():
            row, column, channel = np.argwhere(bad)[0]
            value = pixels[start + row, column, channel]
            first = f"{value} at column {column}, row {start + row}, channel {channel}"
        count += int(bad.sum())
    if count:
        raise DataError(
            f"{path}: expected finite values, got {count} of {pixels.size} that are "
            f"not, the first {first}. Repair the picture first."
        )


def without_opaque_alpha(
    pixels: Shaped[np.ndarray, "h w c"],
) -> Shaped[np.ndarray, "h w k"]:
    """Drop an alpha channel that says nothing.

    Args:
        pixels: Pixels whose last channel is alpha if there are 2 or 4.

    Returns:
        The colours alone where alpha is everywhere full, else `pixels`.
    """
    colours = num_colours(pixels.shape[-1])
    if colours == pixels.shape[-1]:
        return pixels
    full = 1.0 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    if (pixels[..., -1] != full).any():
        return pixels
    return np.ascontiguousarray(pixels[..., :colours])
