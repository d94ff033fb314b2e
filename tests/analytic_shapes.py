"""Shapes whose signed distance is known exactly, with its gradient.

The distance is that to the nearest point of the surface, negative inside. Its gradient
has length 1 wherever it exists, and on the surface it is the outward normal. Where more
than one point of the surface is nearest (the medial axis, such as the centre of a
sphere) it does not exist; there, one of its limits is returned. Points of another shape
than n x 3 are refused with a `ShapeError`.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from tangrid.errors import ConfigError, ShapeError

Points = Float64[np.ndarray, "n 3"]
"""Points in space, x y z; or one vector for each."""
Distances = Float64[np.ndarray, " n"]
"""Signed distance of each point, positive outside."""
Place = tuple[float, float, float]
"""One point in space, or one length along each axis."""

_ORIGIN = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Sphere:
    """Describe a ball: distance |p - c| - r.

    Raises:
        ConfigError: If the radius is not a positive number.

    Example:
        >>> ball = Sphere(radius=0.5)
        >>> points = np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.25]])
        >>> ball.distance(points).tolist(), ball.normal(points).tolist()
        ([1.5, -0.25], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    """

    centre: Place = _ORIGIN
    """Centre."""
    radius: float
    """Radius, in the unit of the points."""

    def __post_init__(self) -> None:
        _check_lengths("Sphere", radius=self.radius)

    def distance(self, points: Points) -> Distances:
        """Return the signed distance of points.

        Args:
            points: Points in space.
        """
        _check_points("Sphere", points)
        return np.linalg.norm(points - self.centre, axis=1) - self.radius

    def normal(self, points: Points) -> Points:
        """Return the unit gradient of the distance; along x at the centre.

        Args:
            points: Points in space.
        """
        _check_points("Sphere", points)
        return _unit(points - self.centre, otherwise=np.array([1.0, 0.0, 0.0]))


@dataclass(frozen=True, kw_only=True)
class Box:
    """Describe a box along the axes, exact inside, outside and at its edges.

    With q = |p - c| - sides / 2 along each axis, the distance is
    |max(q, 0)| + min(max_i q_i, 0).

    Raises:
        ConfigError: If a side is not a positive number.

    Example:
        >>> box = Box(sides=(2.0, 2.0, 4.0))
        >>> points = np.array([[4.0, 5.0, 0.0], [0.0, 0.5, 0.0]])
        >>> box.distance(points).tolist(), box.normal(points).tolist()
        ([5.0, -0.5], [[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]])
    """

    centre: Place = _ORIGIN
    """Centre."""
    sides: Place
    """Whole length along x, y and z, in the unit of the points."""

    def __post_init__(self) -> None:
        _check_lengths("Box", **dict(zip("xyz", self.sides, strict=True)))

    def distance(self, points: Points) -> Distances:
        """Return the signed distance of points.

        Args:
            points: Points in space.
        """
        _check_points("Box", points)
        beyond = self._beyond(points)
        outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
        return outside + np.minimum(beyond.max(axis=1), 0.0)

    def normal(self, points: Points) -> Points:
        """Return the unit gradient of the distance, inside that of the nearest face.

        Args:
            points: Points in space; one of several nearest faces is taken.
        """
        _check_points("Box", points)
        beyond = self._beyond(points)
        face = np.eye(3)[beyond.argmax(axis=1)]
        signs = np.where(points < self.centre, -1.0, 1.0)
        return signs * _unit(np.maximum(beyond, 0.0), otherwise=face)

    def _beyond(self, points: Points) -> Points:
        """Return how far points lie outside of the box along each axis."""
        return np.abs(points - self.centre) - np.divide(self.sides, 2.0)


@dataclass(frozen=True, kw_only=True)
class Torus:
    """Describe a ring around the y axis.

    With h = sqrt(x² + z²) the distance from the axis through the centre, the distance
    is sqrt((h - radius)² + y²) - tube.

    Raises:
        ConfigError: If a radius is not a positive number, or if the tube is as thick as
            the ring is wide: the formula is no distance inside a ring without a hole.

    Example:
        >>> ring = Torus(radius=2.0, tube=0.5)
        >>> points = np.array([[3.0, 0.0, 0.0], [0.0, 0.25, 2.0]])
        >>> ring.distance(points).tolist(), ring.normal(points).tolist()
        ([0.5, -0.25], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """

    centre: Place = _ORIGIN
    """Centre, in the middle of the hole."""
    radius: float
    """Radius of the circle in the middle of the tube, in the unit of the points."""
    tube: float
    """Radius of the tube."""

    def __post_init__(self) -> None:
        _check_lengths("Torus", radius=self.radius, tube=self.tube)
        if self.tube >= self.radius:
            raise ConfigError(
                "Torus: expected a tube thinner than the ring's radius, got tube="
                f"{self.tube} and radius={self.radius}. Make the tube thinner."
            )

    def distance(self, points: Points) -> Distances:
        """Return the signed distance of points.

        Args:
            points: Points in space.
        """
        _check_points("Torus", points)
        x, y, z = (points - self.centre).T
        return np.hypot(np.hypot(x, z) - self.radius, y) - self.tube

    def normal(self, points: Points) -> Points:
        """Return the unit gradient of the distance.

        Args:
            points: Points in space; on the axis, the ring is taken to be nearest at
                x > 0, and in the middle of the tube, the normal leads off the axis.
        """
        _check_points("Torus", points)
        from_axis = (points - self.centre) * np.array([1.0, 0.0, 1.0])
        outward = _unit(from_axis, otherwise=np.array([1.0, 0.0, 0.0]))
        middle = self.centre + self.radius * outward
        return _unit(points - middle, otherwise=outward)


@dataclass(frozen=True, kw_only=True)
class Capsule:
    """Describe a rod with round ends: all points within a distance of a segment.

    With s(p) the point of the segment that is nearest to p, the distance is
    |p - s(p)| - radius.

    Raises:
        ConfigError: If the radius is not a positive number or the ends coincide.

    Example:
        >>> rod = Capsule(start=(0.0, 0.0, 0.0), end=(0.0, 1.0, 0.0), radius=0.5)
        >>> points = np.array([[2.0, 0.5, 0.0], [0.0, 1.25, 0.0]])
        >>> rod.distance(points).tolist(), rod.normal(points).tolist()
        ([1.5, -0.25], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """

    start: Place
    """One end of the segment, inside the rod."""
    end: Place
    """The other end."""
    radius: float
    """Radius of the rod and of its ends, in the unit of the points."""

    def __post_init__(self) -> None:
        _check_lengths("Capsule", radius=self.radius)
        # Squared as it is divided by: ends that are closer count as one.
        if not math.dist(self.start, self.end) ** 2 > 0:
            raise ConfigError(
                f"Capsule: expected two different ends, got {self.start} and "
                f"{self.end}. Take a Sphere."
            )

    def distance(self, points: Points) -> Distances:
        """Return the signed distance of points.

        Args:
            points: Points in space.
        """
        _check_points("Capsule", points)
        return np.linalg.norm(self._from_segment(points), axis=1) - self.radius

    def normal(self, points: Points) -> Points:
        """Return the unit gradient of the distance.

        Args:
            points: Points in space; on the segment, one direction across it is taken.
        """
        _check_points("Capsule", points)
        along = np.subtract(self.end, self.start)
        # The axis that is farthest from the rod's is never parallel to it.
        across = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        across /= np.linalg.norm(across)
        return _unit(self._from_segment(points), otherwise=across)

    def _from_segment(self, points: Points) -> Points:
        """Return the vector to each point from the nearest point of the segment."""
        along = np.subtract(self.end, self.start)
        offsets = points - self.start
        shares = np.clip(offsets @ along / (along @ along), 0.0, 1.0)
        return offsets - shares[:, None] * along


AnalyticShape = Sphere | Box | Torus | Capsule
"""Any shape of this module."""


def _unit(vectors: Points, *, otherwise: Float64[np.ndarray, "..."]) -> Points:
    """Return vectors of length 1, and another vector for those that are zero."""
    # Scaled first, because the square of a tiny number is zero.
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    is_zero = largest == 0
    scaled = np.where(is_zero, otherwise, vectors / np.where(is_zero, 1.0, largest))
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True)


def _check_lengths(where: str, **lengths: float) -> None:
    for name, length in lengths.items():
        if not 0 < length < math.inf:
            raise ConfigError(
                f"{where}: expected a positive length {name}, got {length}. Lengths "
                "are in the unit of the points."
            )


def _check_points(where: str, points: np.ndarray) -> None:
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(
            f"{where}: expected points of shape n x 3, got {points.shape}. Put x, y "
            "and z last."
        )
