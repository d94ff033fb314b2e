"""Shrink an image by a whole factor: each new pixel is the mean of a square."""

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from tangrid.errors import ConfigError
from tangrid.signals.colour import Colour
from tangrid.signals.pixels import num_colours, values_of

_STRIP_PIXELS = 2**18
_MOST_EXACT = 256
"""Factor up to which sums of products of bytes fit into 32 bits."""


def shrunk_size(height: int, width: int, factor: int) -> tuple[int, int]:
    """Return the height and width of an image that is made smaller.

    Args:
        height: Rows before.
        width: Columns before.
        factor: Side of the squares that become one pixel.

    Raises:
        ConfigError: If the factor is below 1 or leaves fewer than 2 pixels on a side.

    Example:
        >>> shrunk_size(7, 9, 3)
        (2, 3)
    """
    if factor < 1:
        raise ConfigError(
            f"downscale: expected a whole number >= 1, got {factor}. "
            "Use 1 for the full size, 2 for half the width and height."
        )
    if min(height, width) // factor < 2:
        raise ConfigError(
            f"downscale: expected at least 2 pixels on each side to remain, got "
            f"{width // factor} x {height // factor} from {width} x {height} with "
            f"factor {factor}. Choose a smaller factor."
        )
    return height // factor, width // factor


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
    height, width = shrunk_size(pixels.shape[0], pixels.shape[1], factor)
    small = np.empty((height, width, pixels.shape[2]), dtype=np.float32)
    for row in range(height):
        strip = pixels[row * factor : (row + 1) * factor, : width * factor]
        values = values_of(strip, stored=stored, wanted=wanted)
        squares = values.reshape(factor, width, factor, -1)
        small[row] = squares.mean(axis=(0, 2), dtype=np.float64)
    return small


def shrunk_bytes(
    pixels: Shaped[np.ndarray, "h w c"], factor: int, *, stored: Colour
) -> UInt8[np.ndarray, "v u c"]:
    """Average squares of pixels by what they cover, and round to 8 bits.

    sRGB-coded values are averaged, weighted by alpha where there is one: what is
    transparent has no colour. The mean of squares laid over a background is the mean
    laid over it, up to rounding.

    Args:
        pixels: Pixels as stored: uint8, uint16 or float32, alpha straight.
        factor: Side of the squares; what is left over is left out.
        stored: How float pixels are stored; linear ones beyond 1 are clipped.

    Returns:
        Straight alpha again; colours are 0 where alpha is. Bytes stay as they are if
        the factor is 1.

    Example:
        >>> half_red = np.array([[[255, 0, 0, 255], [0, 255, 0, 0]] * 2] * 4, np.uint8)
        >>> shrunk_bytes(half_red, 2, stored="srgb")[0, 0].tolist()
        [255, 0, 0, 128]
    """
    height, width = shrunk_size(pixels.shape[0], pixels.shape[1], factor)
    if factor == 1 and pixels.dtype == np.uint8:
        return pixels
    small = np.empty((height, width, pixels.shape[2]), dtype=np.uint8)
    rows = max(_STRIP_PIXELS // (width * factor * factor), 1)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        strip = pixels[start * factor : stop * factor, : width * factor]
        if strip.dtype != np.uint8:
            strip = values_of(strip, stored=stored, wanted="srgb").clip(0, 1) * 255.0
        small[start:stop] = np.rint(_means_by_cover(strip, factor))
    return small


def _means_by_cover(
    pixels: Shaped[np.ndarray, "h w c"], factor: int
) -> Float[np.ndarray, "v u c"]:
    """Return means of squares of pixels from 0 to 255, colours weighted by alpha."""
    is_exact = pixels.dtype == np.uint8 and factor <= _MOST_EXACT
    kind = np.uint32 if is_exact else np.float64
    colours = num_colours(pixels.shape[2])
    sums: Any = 0
    for down in range(factor):
        for right in range(factor):
            part = pixels[down::factor, right::factor].astype(kind)
            if colours < pixels.shape[2]:
                part[..., :colours] *= part[..., colours:]
            sums += part
    means = np.asarray(sums, dtype=np.float64)
    if colours < pixels.shape[2]:
        alpha = means[..., colours:]
        np.divide(
            means[..., :colours], alpha, out=means[..., :colours], where=alpha > 0
        )
        alpha /= factor * factor
    else:
        means /= factor * factor
    return means
