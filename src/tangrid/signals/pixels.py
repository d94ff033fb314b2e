"""Stored pixels of any depth, and the float32 values that they stand for.

Integer pixels are sRGB-coded. The last of 2 or of 4 channels is alpha: it is
proportional to coverage in both colour spaces and never bent.
"""

import hashlib
from functools import cache

import numpy as np
from jaxtyping import Float, Shaped

from tangrid.signals.colour import Colour, linear_from_srgb, srgb_from_linear


@cache
def _table(dtype: str, colour: Colour) -> Float[np.ndarray, " n"]:
    """Return the value of every number that an unsigned integer can hold."""
    largest = np.iinfo(dtype).max
    numbers = np.arange(largest + 1, dtype=np.float32)
    if colour == "srgb":
        return numbers / np.float32(largest)
    return linear_from_srgb(numbers.astype(np.float64) / largest).astype(np.float32)


def num_colours(num_channels: int) -> int:
    """Return how many of an image's channels are colour, alpha not counted.

    Args:
        num_channels: All channels of the image.

    Example:
        >>> [num_colours(channels) for channels in (1, 2, 3, 4, 5)]
        [1, 1, 3, 3, 5]
    """
    return num_channels - 1 if num_channels in {2, 4} else num_channels


def values_of(
    pixels: Shaped[np.ndarray, "... c"], *, stored: Colour, wanted: Colour
) -> Float[np.ndarray, "... c"]:
    """Compute the float32 values of some stored pixels.

    Args:
        pixels: Pixels as stored: uint8, uint16 or float32.
        stored: How float pixels are stored; integers are always sRGB-coded.
        wanted: Colour space of the values. Linear floats beyond [0, 1] are clipped
            when they are sRGB-coded.

    Returns:
        A new array; integers map to [0, 1] with the largest integer at 1.

    Example:
        >>> grey = np.array([[0], [255]], dtype=np.uint8)
        >>> values_of(grey, stored="srgb", wanted="linear").ravel().tolist()
        [0.0, 1.0]
    """
    colours = num_colours(pixels.shape[-1])
    if pixels.dtype.kind == "u":
        values = _table(pixels.dtype.name, "srgb")[pixels]
        if wanted == "linear":
            curve = _table(pixels.dtype.name, "linear")
            values[..., :colours] = curve[pixels[..., :colours]]
        return values
    values = pixels.astype(np.float32)
    if stored == wanted:
        return values
    if wanted == "srgb":
        np.clip(values, 0.0, 1.0, out=values)
        values[..., :colours] = srgb_from_linear(values[..., :colours])
    else:
        values[..., :colours] = linear_from_srgb(values[..., :colours])
    return values


def digest_of(
    pixels: Shaped[np.ndarray, "... c"], *, stored: Colour, wanted: Colour
) -> str:
    """Return a hash of pixels and of what they stand for, to know them again.

    Args:
        pixels: As they are stored.
        stored: Colour space of float pixels.
        wanted: Colour space of the values.
    """
    words = f"{wanted} {stored} {pixels.dtype} {pixels.shape}"
    digest = hashlib.sha256(words.encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]
