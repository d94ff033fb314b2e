"""Which part of space a scene models: a box, and distances along rays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from tangrid.signals.ndc import NdcFrame

Scope = Literal["object", "forward-facing", "unbounded"]
"""An object that cameras look at, a view out of a window, or a place all around."""

Point = tuple[float, float, float]

_LEAST_NEAR = 0.02
"""Shortest distance along rays of cameras in the box, in halves of its side."""


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
) -> tuple[float, float]:
    """Return the least and the largest distance between cameras and points of a box.

    Args:
        positions: Where the cameras are.
        low: Lower corner.
        high: Upper corner.

    Returns:
        Near and far; where a camera stands in the box, near is a small share of it.

    Example:
        >>> box = np.zeros(3), np.ones(3)
        >>> distances_to_box(np.array([[3.0, 0.5, 0.5]]), *box)[0]
        2.0
    """
    outside = np.maximum(np.maximum(low - positions, positions - high), 0)
    beyond = np.maximum(np.abs(positions - low), np.abs(positions - high))
    nearest = np.linalg.norm(outside, axis=1).min()
    least = _LEAST_NEAR * float((high - low).max()) / 2
    return max(float(nearest), least), float(np.linalg.norm(beyond, axis=1).max())
