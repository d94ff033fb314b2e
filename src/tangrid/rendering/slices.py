"""Show a distance on a plane through the unit box, with lines of equal distance."""

from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.notation import Coords

Axis = Literal["x", "y", "z"]

# The axes that go right and up in the picture.
_IN_PLANE = {"x": (2, 1), "y": (0, 2), "z": (0, 1)}

_OUTSIDE = ((0.976, 0.949, 0.902), (0.851, 0.694, 0.541))
_INSIDE = ((0.847, 0.906, 0.965), (0.259, 0.463, 0.698))
_LINE = (0.25, 0.22, 0.20)
_ZERO_LINE = (0.09, 0.11, 0.16)
_LINE_OPACITY = 0.38
# Distance, in spacings, at which a colour is half way to its far end.
_HALF_WAY = 5.0


def slice_points(axis: Axis, position: float, size: int) -> Coords:
    """Return the pixel centres of a picture of a plane through the unit box.

    Args:
        axis: Axis that the plane is perpendicular to. To the right and upwards go z and
            y for ``"x"``, x and z for ``"y"``, x and y for ``"z"``.
        position: Where the plane cuts the axis, in [0, 1].
        size: Pixels along each side.

    Returns:
        float32 points, row by row from the top left.

    Raises:
        ConfigError: If there is no such plane.

    Example:
        >>> slice_points("z", 0.5, 2).tolist()[:2]
        [[0.25, 0.75, 0.5], [0.75, 0.75, 0.5]]
    """
    if axis not in get_args(Axis) or not 0 <= position <= 1 or size < 1:
        raise ConfigError(
            "slice_points: expected an axis x, y or z, a position in [0, 1] and at "
            f"least one pixel, got {axis!r}, {position:g} and {size}. The middle of "
            "the box is at 0.5."
        )
    right, up = _IN_PLANE[axis]
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    points = torch.full((size, size, 3), float(position), dtype=torch.float64)
    points[..., right] = centres
    points[..., up] = centres.flip(0)[:, None]
    return points.reshape(-1, 3).float()


def slice_picture(
    values: Float[np.ndarray, "h w"], *, spacing: float = 0.05
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a distance: outside warm, inside blue, the surface as a thick dark line.

    Lines are as wide wherever the distance is steep or flat, since their width comes
    from the slope. They fade where they would stand closer than some pixels.

    Args:
        values: Distances at pixel centres, below 0 inside.
        spacing: Distance from one thin line to the next.

    Returns:
        sRGB-coded pixels.

    Raises:
        ShapeError: If the values are no picture of at least 2 x 2.
        ConfigError: If the spacing is not positive.
        NumericalError: If a value is not finite.
    """
    _check(values, spacing)
    distance = values.astype(np.float64)
    down, right = np.gradient(distance)
    across = np.hypot(down, right)
    # A line must not widen into a patch where the distance has a ridge.
    slope = np.maximum(across, max(0.3 * float(np.median(across)), 1e-12))
    size = min(distance.shape)
    nearest = np.round(distance / spacing) * spacing
    thin = _coverage(distance - nearest, slope, max(size / 800, 0.5))
    crowding = np.clip((spacing / slope - 3) / 3, 0, 1)
    thick = _coverage(distance, slope, max(size / 220, 1.2))
    picture = _ground(distance, slope, spacing)
    picture = _over(picture, _LINE, thin * crowding * _LINE_OPACITY)
    picture = _over(picture, _ZERO_LINE, thick)
    return np.round(picture.clip(0, 1) * 255).astype(np.uint8)


def _check(values: np.ndarray, spacing: float) -> None:
    if values.ndim != 2 or min(values.shape) < 2:
        raise ShapeError(
            "slice_picture: expected rows and columns of values, at least 2 x 2, got "
            f"shape {values.shape}. Reshape the values of slice_points to size x size."
        )
    if not spacing > 0:
        raise ConfigError(
            f"slice_picture: expected a positive spacing, got {spacing:g}. The box is "
            "1 wide; 0.05 gives some ten lines."
        )
    if not np.isfinite(values).all():
        raise NumericalError(
            f"slice_picture: expected finite values, got "
            f"{int((~np.isfinite(values)).sum())} of {values.size} that are not. The "
            "field's training has most likely diverged."
        )


def _coverage(offset: np.ndarray, slope: np.ndarray, half_width: float) -> np.ndarray:
    """Return how much of each pixel a line covers; the half width is in pixels."""
    return np.clip(half_width + 0.5 - np.abs(offset) / slope, 0, 1)


def _ground(distance: np.ndarray, slope: np.ndarray, spacing: float) -> np.ndarray:
    depth = np.abs(distance) / spacing
    share = (depth / (depth + _HALF_WAY))[..., None]
    sides = [
        np.asarray(close) * (1 - share) + np.asarray(far) * share
        for close, far in (_OUTSIDE, _INSIDE)
    ]
    is_out = np.clip(distance / slope + 0.5, 0, 1)[..., None]
    return sides[0] * is_out + sides[1] * (1 - is_out)


def _over(
    picture: np.ndarray, colour: tuple[float, float, float], share: np.ndarray
) -> np.ndarray:
    opacity = share[..., None]
    return picture * (1 - opacity) + np.asarray(colour) * opacity
