"""OpenEXR: floats as linear light; needs the extra `exr`."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from tangrid.errors import DataError
from tangrid.signals.formats.picture import (
    Picture,
    check_finite,
    check_size,
    without_opaque_alpha,
)

_LAYOUTS = (("R", "G", "B", "A"), ("R", "G", "B"), ("Y", "A"), ("Y",))


def _openexr(path: Path) -> ModuleType:
    try:
        import OpenEXR  # noqa: PLC0415 (an extra: imported where it is needed)
    except ImportError as error:
        raise DataError(
            f"{path}: expected the package OpenEXR to read an EXR file, got none. "
            'Install it with: pip install "tangrid[exr]".'
        ) from error
    return OpenEXR


def _stack(path: Path, channels: dict[str, Any]) -> Float[np.ndarray, "h w c"]:
    layout = next((names for names in _LAYOUTS if set(names) <= set(channels)), None)
    if layout is None:
        raise DataError(
            f"{path}: expected channels R, G, B or Y, with or without A, got "
            f"{sorted(channels)}. Save the layer to be fitted under these names."
        )
    planes = [np.asarray(channels[name].pixels) for name in layout]
    sizes = {plane.shape for plane in planes}
    if len(sizes) != 1 or planes[0].ndim != 2:
        raise DataError(
            f"{path}: expected channels of one size, got {sorted(sizes)}. "
            "Save it without subsampled colour and without deep samples."
        )
    return np.stack(planes, axis=-1).astype(np.float32, copy=False)


def _straighten(pixels: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "h w c"]:
    """Return colours divided by alpha, by which EXR files multiply them."""
    alpha = pixels[..., -1:]
    colours = pixels[..., :-1] / np.where(alpha > 0.0, alpha, np.float32(1.0))
    return np.concatenate([colours, alpha], axis=-1)


def read_exr(path: Path) -> Picture:
    """Read an OpenEXR file: the data window of its first part.

    Args:
        path: The file.

    Returns:
        Linear float32 values; a straight alpha only where it is not everywhere full.

    Raises:
        DataError: If OpenEXR is not installed, the channels are not grey or RGB, or a
            value is not finite.
    """
    openexr = _openexr(path)
    header = openexr.File(str(path), header_only=True).header()
    low, high = header["dataWindow"]
    check_size(path, int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1)
    with openexr.File(str(path), separate_channels=True) as file:
        pixels = _stack(path, file.channels())
    check_finite(path, pixels)
    plain = without_opaque_alpha(pixels)
    if plain.shape[-1] in {2, 4}:
        plain = _straighten(plain)
    return Picture(pixels=plain, stored="linear")
