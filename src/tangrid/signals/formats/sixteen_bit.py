"""Colour with 16 bits per channel, which Pillow alone would cut to 8 bits.

Pillow undoes compression and filters on whole bytes, and only its last step, named by
a raw mode, throws one byte of each pair away. Decoding twice, once for the high bytes
and once for the low ones, therefore yields all 16 bits at the speed of its decoders.
"""

import sys
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps

from tangrid.errors import DataError

# The native order keeps the high byte, so the opposite order keeps the low one.
_OPPOSITE_OF_NATIVE = "B" if sys.byteorder == "little" else "L"

_LOW_BYTES = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": f"RGB;16{_OPPOSITE_OF_NATIVE}",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": f"RGBA;16{_OPPOSITE_OF_NATIVE}",
}


def raw_mode(image: Image.Image) -> str:
    """Return how a picture's pixels lie in its file, in Pillow's words.

    Args:
        image: A picture that was opened and not yet loaded.

    Returns:
        The raw mode, such as ``"RGB;16B"``; empty where Pillow names none.
    """
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    arguments = tiles[0][3]
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _plane(path: Path, mode: str, *, upright: bool) -> UInt8[np.ndarray, "h w c"]:
    """Return the file decoded with another raw mode than its own."""
    with Image.open(path) as image:
        tiles = image.tile  # pyright: ignore[reportAttributeAccessIssue]
        own = tiles[0][3]
        arguments = (mode, *own[1:]) if isinstance(own, tuple) else mode
        tiles[0] = tiles[0]._replace(args=arguments)
        return np.asarray(ImageOps.exif_transpose(image) if upright else image)


def read_sixteen_bits(
    path: Path, mode: str, *, upright: bool = True
) -> UInt16[np.ndarray, "h w c"]:
    """Read a colour picture with 16 bits per channel, to the last bit.

    Args:
        path: A PNG or TIFF file.
        mode: Its raw mode, from `raw_mode`.
        upright: Whether to turn it as its EXIF orientation says.

    Returns:
        Grey and alpha, RGB, or RGB and alpha.

    Raises:
        DataError: If the pixels lie in an order that is not known here.
    """
    if mode == "LA;16B":
        # Four bytes per pixel: grey and alpha of 16 bits travel as RGBA of 8.
        pairs = np.ascontiguousarray(_plane(path, "RGBA", upright=upright))
        return pairs.view(">u2").astype(np.uint16)
    if mode not in _LOW_BYTES:
        raise DataError(
            f"{path}: expected 16-bit colour as RGB or RGB with straight alpha, got "
            f"pixels of kind {mode!r}. Save the picture as a 16-bit PNG."
        )
    pixels = _plane(path, mode, upright=upright).astype(np.uint16)
    pixels <<= 8
    pixels |= _plane(path, _LOW_BYTES[mode], upright=upright)
    return pixels
