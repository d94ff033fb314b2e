"""TIFF: grey and RGB of 8 or 16 bits, and floats as linear light."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Shaped

from tangrid.errors import DataError
from tangrid.signals.formats.picture import (
    Picture,
    check_finite,
    check_size,
    without_opaque_alpha,
)
from tangrid.signals.formats.raster import read_raster

_GREY_OR_RGB = {
    tifffile.PHOTOMETRIC.MINISWHITE,
    tifffile.PHOTOMETRIC.MINISBLACK,
    tifffile.PHOTOMETRIC.RGB,
}
_REDUCED = 1
_STRAIGHT_ALPHA, _PREMULTIPLIED_ALPHA = 2, 1
_ORIENTATION_TAG = 274
_Turn = tuple[bool, bool, bool]
"""Whether to transpose, to flip rows, to flip columns, in this order."""
_AS_STORED: _Turn = (False, False, False)
_TURNS: dict[int, _Turn] = {
    1: _AS_STORED,
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def _single_page(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPage:
    pages = [page.aspage() for page in file.pages]
    full = [page for page in pages if not page.subfiletype & _REDUCED]
    if len(full) != 1:
        raise DataError(
            f"{path}: expected a single picture, got {len(full)} pages. "
            "Save the page to be fitted as a picture of its own."
        )
    check_size(path, full[0].imagewidth, full[0].imagelength)
    return full[0]


def _upright(
    pixels: Shaped[np.ndarray, "h w c"], turn: _Turn
) -> Shaped[np.ndarray, "v u c"]:
    transpose, flip_rows, flip_columns = turn
    if transpose:
        pixels = pixels.transpose(1, 0, 2)
    if flip_rows:
        pixels = pixels[::-1]
    if flip_columns:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _turned_back(
    pixels: Shaped[np.ndarray, "v u c"], turn: _Turn
) -> Shaped[np.ndarray, "h w c"]:
    """Return pixels as they were before `_upright`."""
    transpose, flip_rows, flip_columns = turn
    if flip_columns:
        pixels = pixels[:, ::-1]
    if flip_rows:
        pixels = pixels[::-1]
    if transpose:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)


def _channels_last(path: Path, page: tifffile.TiffPage) -> Shaped[np.ndarray, "h w c"]:
    pixels = page.asarray()
    if page.axes == "YX":
        return pixels[..., None]
    if page.axes == "SYX":
        return np.moveaxis(pixels, 0, -1)
    if page.axes == "YXS":
        return pixels
    raise DataError(
        f"{path}: expected rows, columns and channels, got axes {page.axes!r} of "
        f"shape {pixels.shape}. Save one plane of it as a picture of its own."
    )


def _with_known_channels(
    path: Path, page: tifffile.TiffPage, pixels: Shaped[np.ndarray, "h w c"]
) -> Shaped[np.ndarray, "h w k"]:
    """Return colours and a straight alpha, without channels of unknown meaning."""
    colours = 3 if page.photometric == tifffile.PHOTOMETRIC.RGB else 1
    extras = [int(kind) for kind in page.extrasamples]
    if pixels.shape[-1] < colours or pixels.shape[-1] - colours != len(extras):
        raise DataError(
            f"{path}: expected {colours} channels and those that the file names, got "
            f"{pixels.shape[-1]} with {len(extras)} named. Save it as grey or RGB."
        )
    if not extras or extras[0] not in {_STRAIGHT_ALPHA, _PREMULTIPLIED_ALPHA}:
        return pixels[..., :colours]
    plain = without_opaque_alpha(pixels[..., : colours + 1])
    if plain.shape[-1] > colours and extras[0] == _PREMULTIPLIED_ALPHA:
        raise DataError(
            f"{path}: expected straight alpha, got colours multiplied by alpha. "
            "Save the picture with straight (unassociated) alpha, or without alpha."
        )
    return plain


def _read_packed(path: Path, page: tifffile.TiffPage) -> Picture:
    # Pillow inverts such a picture only where it has 8 bits.
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and page.bitspersample > 8:
        raise DataError(
            f"{path}: expected a compressed picture in which black is zero, got one in "
            "which white is zero. Save it without compression or as PNG."
        )
    return read_raster(path)


def _picture(path: Path, page: tifffile.TiffPage, turn: _Turn) -> Picture:
    if page.photometric not in _GREY_OR_RGB or page.bitspersample < 8:
        return read_raster(path)
    try:
        pixels = _channels_last(path, page)
    except (ValueError, ModuleNotFoundError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
        return _read_packed(path, page)
    pixels = _upright(_with_known_channels(path, page, pixels), turn)
    if pixels.dtype.kind == "f":
        pixels = pixels.astype(np.float32, copy=False)
        check_finite(path, pixels)
        return Picture(pixels=pixels, stored="linear")
    if pixels.dtype.name not in {"uint8", "uint16"}:
        raise DataError(
            f"{path}: expected unsigned integers of 8 or 16 bits or floats, got "
            f"{pixels.dtype.name}. Convert the picture first."
        )
    inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    return Picture(pixels=~pixels if inverted else pixels, stored="srgb")


def read_tiff(path: Path, *, upright: bool = True) -> Picture:
    """Read a TIFF file.

    What tifffile cannot decode without further packages (LZW, JPEG, palettes, print
    colours) is read by Pillow, 16 bits included.

    Args:
        path: The file.
        upright: Whether to turn it as its tag of orientation says.

    Returns:
        Its pixels; an alpha channel only where it is not everywhere full.

    Raises:
        DataError: If it has several pages, or channels or numbers not supported.
    """
    with tifffile.TiffFile(path) as file:
        page = _single_page(path, file)
        tag = page.tags.get(_ORIENTATION_TAG)
        turn = _TURNS.get(tag.value if tag else 1, _AS_STORED)
        picture = _picture(path, page, turn)
    if upright or turn == _AS_STORED:
        return picture
    # Pillow turns every TIFF and cannot be kept from it.
    pixels = _turned_back(picture.pixels, turn)
    return replace(picture, pixels=pixels, is_turned=True)
