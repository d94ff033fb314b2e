"""Shrink an image by a whole factor: each new pixel is the mean of a square."""

import numpy as np
from jaxtyping import Float, Shaped

from tangrid.errors import ConfigError
from tangrid.signals.colour import Colour
from tangrid.signals.pixels import values_of


def area_average(
    pixels: Shaped[np.ndarray, "h w c"], factor: int, *, stored: Colour, wanted: Colour
) -> Float[np.ndarray, "v u c"]:
    """Average squares of pixels, in the colour space of the result.

    Args:
        pixels: Pixels as stored: uint8, uint16 or float32.
        factor: Side of the squares. Rows below and columns to the right of the last
            whole square are left out.
        stored: How float pixels are stored.
        wanted: Colour space of the values that are averaged.

    Returns:
        float32 values; no float copy of the whole image is made on the way.

    Raises:
        ConfigError: If the factor is below 1 or leaves fewer than 2 pixels on a side.

    Example:
        >>> black_and_white = np.array([[[0], [255]] * 2] * 4, dtype=np.uint8)
        >>> small = area_average(black_and_white, 2, stored="srgb", wanted="srgb")
        >>> small.ravel().tolist()
        [0.5, 0.5, 0.5, 0.5]
    """
    if factor < 1:
        raise ConfigError(
            f"downscale: expected a whole number >= 1, got {factor}. "
            "Use 1 for the full size, 2 for half the width and height."
        )
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    if min(height, width) < 2:
        raise ConfigError(
            f"downscale: expected at least 2 pixels on each side to remain, got "
            f"{width} x {height} from {pixels.shape[1]} x {pixels.shape[0]} with "
            f"factor {factor}. Choose a smaller factor."
        )
    small = np.empty((height, width, pixels.shape[2]), dtype=np.float32)
    for row in range(height):
        strip = pixels[row * factor : (row + 1) * factor, : width * factor]
        values = values_of(strip, stored=stored, wanted=wanted)
        squares = values.reshape(factor, width, factor, -1)
        small[row] = squares.mean(axis=(0, 2), dtype=np.float64)
    return small
