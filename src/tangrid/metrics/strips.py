"""Images in strips of whole rows, so that a large one is never copied at once."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Shaped

from tangrid.errors import ShapeError

Image = Float[np.ndarray, "h w c"]
"""Rows, columns and channels of an image, or of a strip of its rows."""

_VALUES_PER_STRIP = 2**20


def check_same_shape(
    where: str,
    reconstruction: Shaped[np.ndarray, "..."],
    target: Shaped[np.ndarray, "..."],
) -> None:
    """Refuse two images that cannot be compared.

    Args:
        where: Public name of the caller, for the message.
        reconstruction: An image.
        target: The image that it should equal.

    Raises:
        ShapeError: If they differ in shape or have other than three axes.
    """
    if reconstruction.shape != target.shape or target.ndim != 3:
        raise ShapeError(
            f"{where}: expected two images of one shape, height x width x channels, "
            f"got {reconstruction.shape} and {target.shape}. Crop or reshape them."
        )


def strips(image_shape: tuple[int, ...]) -> Iterator[slice]:
    """Cut an image into strips of about a million values.

    Args:
        image_shape: Rows, columns and channels.

    Yields:
        Ranges of rows from top to bottom, together the whole image.

    Example:
        >>> [(strip.start, strip.stop) for strip in strips((5, 2**18, 2))]
        [(0, 2), (2, 4), (4, 5)]
    """
    height, width, channels = image_shape
    rows = max(1, _VALUES_PER_STRIP // max(1, width * channels))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def clipped(image: Image) -> Float[np.ndarray, "h w c"]:
    """Return a float64 copy of a strip, clipped to [0, 1] as a screen would show it.

    Args:
        image: Values of any size; NaN stays NaN.
    """
    return np.clip(image.astype(np.float64), 0.0, 1.0)
