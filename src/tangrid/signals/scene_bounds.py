"""Which part of space a scene models: a box, and distances along rays."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tangrid.errors import DataError
from tangrid.signals.ndc import NdcFrame

Scope = Literal["object", "forward-facing", "unbounded"]
"""An object that cameras look at, a view out of a window, or a place all around."""

Point = tuple[float, float, float]

MOST_CASCADES = 8
"""Boxes of instant-ngp at most: the outermost is 128 times the inner one."""

_USUAL_CASCADES = 5
_NEAR_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class SceneBounds:
    """Hold the box and the distances in which a scene lies."""

    scope: Scope
    """Kind of scene."""
    low: Point
    """Lower corner of the inner box, in the data set's frame, or in `ndc`."""
    high: Point
    """Upper corner of it."""
    near: float
    """Where rays begin, along unit directions, or in the parameter of `ndc`."""
    far: float
    """Where rays end."""
    cascades: int = 1
    """Boxes around the same centre, each twice as large as the one before."""
    ndc: NdcFrame | None = None
    """How rays are mapped before they meet the box."""


def point(values: Float[np.ndarray, " 3"]) -> Point:
    """Return three numbers as a point.

    Args:
        values: x, y and z.
    """
    return (float(values[0]), float(values[1]), float(values[2]))


def outer_box(
    low: Point, high: Point, cascades: int
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, " 3"]]:
    """Return the corners of the largest cascade.

    Args:
        low: Lower corner of the innermost box.
        high: Upper corner of it.
        cascades: Number of boxes.

    Example:
        >>> outer_box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 2)[1].tolist()
        [1.5, 1.5, 1.5]
    """
    centre = (np.array(low) + np.array(high)) / 2
    half = (np.array(high) - np.array(low)) / 2 * 2 ** (cascades - 1)
    return centre - half, centre + half


def distances_to_box(
    positions: Float[np.ndarray, "v 3"],
    low: Float[np.ndarray, " 3"],
    high: Float[np.ndarray, " 3"],
    *,
    least: float,
) -> tuple[float, float]:
    """Return the least and the largest distance between cameras and points of a box.

    Args:
        positions: Where the cameras are, at least one.
        low: Lower corner.
        high: Upper corner.
        least: Near where a camera stands in the box.

    Returns:
        Near and far.

    Example:
        >>> camera = np.array([[4.0, 0.0, 1.0]])
        >>> near, far = distances_to_box(camera, np.zeros(3), np.ones(3), least=0.1)
        >>> near, round(far, 3)
        (3.0, 4.243)
    """
    outside = np.maximum(np.maximum(low - positions, positions - high), 0)
    beyond = np.maximum(np.abs(positions - low), np.abs(positions - high))
    nearest = float(np.linalg.norm(outside, axis=1).min())
    return max(nearest, least), float(np.linalg.norm(beyond, axis=1).max())


def around_cameras(
    where: str,
    positions: Float[np.ndarray, "v 3"],
    *,
    least_half: float = 0.0,
    reach: float | None = None,
) -> SceneBounds:
    """Return bounds of a place around its cameras, of which nothing else is known.

    The inner box is the smallest cube about the mean of the cameras that holds them
    all, as nerfstudio scales scenes; rays begin at a twentieth of its half side.

    Args:
        where: The scene, for the message.
        positions: Where the cameras are, at least one.
        least_half: Half the side of the inner box at least.
        reach: How far from that mean the outermost box must reach; None for 16 times
            the inner one.

    Returns:
        The bounds.

    Raises:
        DataError: If all cameras stand at one point.

    Example:
        >>> cameras = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
        >>> bounds = around_cameras("", cameras, reach=3.0)
        >>> bounds.low, bounds.cascades
        ((-1.0, -1.0, -1.0), 3)
    """
    centre = positions.mean(0)
    spread = float(np.abs(positions - centre).max())
    if not spread > 0:
        raise DataError(
            f"{where}: expected cameras at different places, got {len(positions)} at "
            "one. Photographs from one point say nothing of depth."
        )
    half = max(spread, least_half)
    cascades = _USUAL_CASCADES
    if reach is not None:
        doublings = math.ceil(math.log2(max(reach / half, 1.0)))
        cascades = min(1 + doublings, MOST_CASCADES)
    low, high = point(centre - half), point(centre + half)
    box = outer_box(low, high, cascades)
    near, far = distances_to_box(positions, *box, least=_NEAR_SHARE * half)
    return SceneBounds(
        scope="unbounded", low=low, high=high, near=near, far=far, cascades=cascades
    )
