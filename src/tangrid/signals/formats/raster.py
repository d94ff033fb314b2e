"""PNG, JPEG, WebP and whatever else Pillow reads.

The EXIF orientation is applied unless pixels are wanted as they lie; colour profiles
are not: values are taken as sRGB. PNG keeps 16 bits per channel; the other formats keep
what Pillow gives, 8 for colour.
"""

import threading
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import ExifTags, Image, ImageOps

from tangrid.errors import DataError
from tangrid.signals.formats.picture import (
    Picture,
    check_finite,
    check_size,
    without_opaque_alpha,
)
from tangrid.signals.formats.sixteen_bit import raw_mode, read_sixteen_bits

_TURNS = range(2, 9)
"""Values of the EXIF orientation by which a picture is turned or mirrored."""


class _Unhindered:
    """Lift Pillow's limit of pixels and its remarks while anybody reads.

    Both are global, and several threads read at once: the first of them to begin
    changes them, and the last to end puts them back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_readers = 0
        self._limit: int | None = None
        self._silence = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._num_readers == 0:
                self._silence = warnings.catch_warnings()
                self._silence.__enter__()
                # Pillow remarks on odd metadata of files whose pixels are in order.
                warnings.simplefilter("ignore")
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._num_readers += 1

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._num_readers -= 1
            if self._num_readers == 0:
                Image.MAX_IMAGE_PIXELS = self._limit
                self._silence.__exit__(None, None, None)


_UNHINDERED = _Unhindered()


def _with_plain_mode(image: Image.Image) -> Image.Image:
    """Return palettes, print colours and bitmaps as grey or RGB, alpha kept."""
    if image.mode.startswith(("I", "F")):
        return image
    grey = image.mode in {"1", "L", "LA", "La"}
    if image.has_transparency_data:
        return image.convert("LA" if grey else "RGBA")
    return image.convert("L" if grey else "RGB")


def _pixels(
    path: Path, image: Image.Image, *, upright: bool
) -> Shaped[np.ndarray, "h w c"]:
    mode = raw_mode(image)
    if ";16" in mode and "transparency" in image.info:
        raise DataError(
            f"{path}: expected a 16-bit picture with an alpha channel or without "
            "transparency, got one with a transparent colour. Save it with alpha."
        )
    deep = ";16" in mode and not image.mode.startswith(("I", "F"))
    if deep and image.format in {"PNG", "TIFF"}:
        return read_sixteen_bits(path, mode, upright=upright)
    turned = ImageOps.exif_transpose(image) if upright else image
    pixels = np.asarray(_with_plain_mode(turned))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.dtype.kind != "i":
        kind = np.float32 if pixels.dtype.kind == "f" else f"u{pixels.dtype.itemsize}"
        return pixels.astype(kind, copy=False)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise DataError(
            f"{path}: expected integers of at most 16 bits, got values from {low} to "
            f"{high}. Save the picture as a 16-bit PNG."
        )
    return pixels.astype(np.uint16)


def _check_single(path: Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # A phone's MPO is a JPEG with previews behind it; its first picture is the photo.
    if frames > 1 and image.format != "MPO":
        raise DataError(
            f"{path}: expected a single picture, got {frames} frames. "
            "Save the frame to be fitted as a picture of its own."
        )


def _is_turned(image: Image.Image) -> bool:
    return image.getexif().get(ExifTags.Base.Orientation) in _TURNS


def read_raster(path: Path, *, upright: bool = True) -> Picture:
    """Read a picture with Pillow.

    Args:
        path: The file.
        upright: Whether to turn it as its EXIF orientation says; Pillow always turns a
            TIFF.

    Returns:
        Its pixels; an alpha channel only where it is not everywhere full.

    Raises:
        DataError: If it has more than one frame, or a size or depth not supported.
    """
    with _UNHINDERED, Image.open(path) as image:
        check_size(path, *image.size)
        _check_single(path, image)
        pixels = without_opaque_alpha(_pixels(path, image, upright=upright))
        is_turned = not upright and _is_turned(image)
    if pixels.dtype.kind == "f":
        check_finite(path, pixels)
        return Picture(pixels=pixels, stored="linear", is_turned=is_turned)
    return Picture(pixels=pixels, stored="srgb", is_turned=is_turned)
