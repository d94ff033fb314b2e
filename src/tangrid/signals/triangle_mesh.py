"""Triangles in space: what they enclose, how far they are, where rays meet them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import igl
import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tangrid.errors import ShapeError

Points = Float[np.ndarray, "n 3"]

_POINTS_PER_CALL = 2**20


class Samples(NamedTuple):
    """Points of a surface with the unit normals there."""

    points: Points
    normals: Points


class RayHits(NamedTuple):
    """Where rays meet a surface first.

    Attributes:
        is_hit: Which rays do.
        points: Where; undefined for the others.
        normals: Unit normals of the triangles, as these are turned.
    """

    is_hit: Bool[np.ndarray, " n"]
    points: Points
    normals: Points


@dataclass(frozen=True, eq=False)
class TriangleMesh:
    """Hold triangles, and answer questions about them exactly.

    Args:
        vertices: Corners.
        faces: Three corners each, counter-clockwise from outside; every triangle has
            an area.

    Example:
        >>> corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
        >>> faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
        >>> mesh = TriangleMesh(corners, faces)
        >>> mesh.num_open_edges, round(mesh.volume, 4)
        (0, 0.1667)
        >>> mesh.signed_distance(np.array([[-1.0, 0, 0], [0.1, 0.1, 0.1]])).tolist()
        [1.0, -0.1]
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        if len(self.faces) == 0:
            raise ShapeError(
                "TriangleMesh: expected at least one triangle, got none. A signed "
                "distance needs a surface."
            )

    @cached_property
    def corners(self) -> Float[np.ndarray, "f 3 3"]:
        """The three corners of every triangle."""
        return self.vertices[self.faces]

    @cached_property
    def _area_vectors(self) -> Float[np.ndarray, "f 3"]:
        a, b, c = self.corners.transpose(1, 0, 2)
        return np.cross(b - a, c - a) / 2

    @cached_property
    def areas(self) -> Float[np.ndarray, " f"]:
        """The area of every triangle."""
        return np.linalg.norm(self._area_vectors, axis=1)

    @cached_property
    def face_normals(self) -> Float[np.ndarray, "f 3"]:
        """The unit normal of every triangle."""
        return self._area_vectors / self.areas[:, None]

    @property
    def face_volumes(self) -> Float[np.ndarray, " f"]:
        """What every triangle adds to the volume; only sums over shells are of use."""
        return (self.corners.mean(1) * self._area_vectors).sum(1) / 3

    @property
    def volume(self) -> float:
        """The enclosed volume; negative if triangles are turned inside out."""
        return float(self.face_volumes.sum())

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lowest and the highest corner of the box around it."""
        return self.corners.min((0, 1)), self.corners.max((0, 1))

    @cached_property
    def _edge_uses(self) -> Int64[np.ndarray, " e"]:
        ends = np.sort(self.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        numbers = ends[:, 0] * len(self.vertices) + ends[:, 1]
        return np.unique(numbers, return_counts=True)[1]

    @property
    def num_open_edges(self) -> int:
        """Edges of a single triangle; a closed surface has none."""
        return int((self._edge_uses == 1).sum())

    @property
    def num_crowded_edges(self) -> int:
        """Edges of more than two triangles; a manifold has none."""
        return int((self._edge_uses > 2).sum())

    @property
    def num_shells(self) -> int:
        """Parts that share no corner."""
        count, ends = len(self.vertices), self.faces[:, [0, 1, 1, 2]].reshape(-1, 2)
        links = coo_matrix((np.ones(len(ends)), ends.T), shape=(count, count))
        labels = connected_components(links, directed=False)[1]
        return len(np.unique(labels[self.faces[:, 0]]))

    def sample(self, count: int, rng: np.random.Generator) -> Samples:
        """Return random points of the surface, as many per area everywhere.

        Args:
            count: How many.
            rng: Source of random numbers.
        """
        shares = np.cumsum(self.areas)
        # Floating sums may end below the last draw.
        chosen = np.searchsorted(shares, rng.random(count) * shares[-1], side="right")
        chosen = np.minimum(chosen, len(self.faces) - 1)
        first, second = np.sqrt(rng.random(count)), rng.random(count)
        weights = np.stack((1 - first, first * (1 - second), first * second), axis=1)
        points = np.einsum("nk,nkd->nd", weights, self.corners[chosen])
        return Samples(points, self.face_normals[chosen])

    def distance(self, points: Points) -> Float[np.ndarray, " n"]:
        """Return how far points are from the nearest triangle.

        Args:
            points: Where.
        """
        # Not by the tree that rays use: its answers come on one thread.
        parts = [
            igl.point_mesh_squared_distance(part, self.vertices, self.faces)[0]
            for part in _parts(points)
        ]
        return np.sqrt(np.concatenate(parts))

    def is_inside(self, points: Points) -> Bool[np.ndarray, " n"]:
        """Return which points the surface winds around, by more than half.

        It is right for closed surfaces whose triangles agree, even if a whole shell is
        turned inside out, and sensible for those with holes. Closer to the surface than
        1e-7 of the coordinates either answer may come.

        Args:
            points: Where.
        """
        return np.abs(self.winding(points)) > 0.5

    def winding(self, points: Points) -> Float[np.ndarray, " n"]:
        """Return how often the surface winds around points: 1 inside, 0 outside.

        It is -1 where triangles are turned inside out, and between these where the
        surface is open. It is summed in single precision.

        Args:
            points: Where.

        References:
            Barill et al. 2018, "Fast Winding Numbers for Soups and Clouds".
        """
        found = igl.fast_winding_number(self.vertices, self.faces, _plain(points))
        return np.asarray(found)

    def signed_distance(self, points: Points) -> Float[np.ndarray, " n"]:
        """Return the distance to the surface, negative inside.

        Args:
            points: Where.
        """
        # Sign and size apart: one call of libigl for both scales the distance by how
        # far the winding number is from one half.
        return np.where(self.is_inside(points), -1.0, 1.0) * self.distance(points)

    @cached_property
    def _tree(self) -> Any:  # noqa: ANN401
        tree = igl.AABB()
        tree.init(self.vertices, self.faces)
        return tree

    def meet(self, origins: Points, directions: Points) -> RayHits:
        """Return where rays meet the surface first, to single precision.

        Args:
            origins: Where rays begin.
            directions: Their unit directions.
        """
        starts, ways = _plain(origins), _plain(directions)
        faces, lengths, _ = self._tree.intersect_ray_first(
            self.vertices, self.faces, starts, ways
        )
        is_hit = faces >= 0
        lengths = np.where(is_hit, lengths, 0.0)
        points = starts + lengths[:, None] * ways
        return RayHits(is_hit, points, self.face_normals[np.maximum(faces, 0)])


def _plain(points: Points) -> Points:
    return np.ascontiguousarray(points, dtype=np.float64)


def _parts(points: Points) -> Iterator[Points]:
    for start in range(0, max(len(points), 1), _POINTS_PER_CALL):
        yield _plain(points[start : start + _POINTS_PER_CALL])
