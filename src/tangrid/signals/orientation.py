"""Turn triangles so that all face outward, where they tell what outward is."""

from typing import NamedTuple

import igl
import numpy as np
from jaxtyping import Int64

from tangrid.signals.triangle_mesh import TriangleMesh

_PROBES = 2**13


class Turned(NamedTuple):
    """A mesh whose triangles agree, and what was done to it, in words."""

    mesh: TriangleMesh
    notes: tuple[str, ...]


def turned_outward(mesh: TriangleMesh) -> Turned:
    """Return a mesh whose neighbouring triangles agree and whose whole faces outward.

    Where neighbours disagree, each patch is turned to agree with itself and to enclose
    a positive volume; patches that agree are left as they are, since a shell turned
    inward may be a hollow. Then the whole is turned if it winds the wrong way around
    what it encloses.

    Args:
        mesh: Any mesh.

    Returns:
        The mesh and a note for each thing that was done.
    """
    notes = []
    if num_disagreeing(mesh.faces):
        mesh = TriangleMesh(mesh.vertices, _agreeing(mesh))
        notes.append(
            "Some neighbouring triangles faced opposite sides and have been turned to "
            "agree."
        )
    if _winds_inward(mesh):
        mesh = TriangleMesh(mesh.vertices, np.ascontiguousarray(mesh.faces[:, ::-1]))
        notes.append("Its triangles were turned inside out and have been turned back.")
    return Turned(mesh, tuple(notes))


def num_disagreeing(faces: Int64[np.ndarray, "f 3"]) -> int:
    """Return how many edges two triangles run along in the same direction.

    Neighbours that face the same side run along their edge in opposite directions.
    Edges of more than two triangles say nothing and are left out.

    Args:
        faces: Three corners each.

    Example:
        >>> num_disagreeing(np.array([[0, 1, 2], [0, 1, 3]]))
        1
        >>> num_disagreeing(np.array([[0, 1, 2], [1, 0, 3]]))
        0
    """
    ends = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    count = int(faces.max()) + 1
    is_up = ends[:, 0] < ends[:, 1]
    numbers = ends.min(1) * count + ends.max(1)
    _, places = np.unique(numbers, return_inverse=True)
    uses, ups = np.bincount(places), np.bincount(places, weights=is_up)
    return int(((uses == 2) & (ups != 1)).sum())


def _agreeing(mesh: TriangleMesh) -> Int64[np.ndarray, "f 3"]:
    """Return faces turned patch by patch to agree, each patch outward."""
    oriented, labels = igl.bfs_orient(mesh.faces)
    # libigl's whole numbers are of another kind with the same name.
    faces, patches = np.empty_like(mesh.faces), np.asarray(labels)
    faces[:] = oriented
    turned = TriangleMesh(mesh.vertices, faces)
    # The same patches as they were: those in which nobody had to turn stay so.
    changed = np.any(faces != mesh.faces, axis=1)
    touched = np.bincount(patches, weights=changed) > 0
    volumes = np.bincount(patches, weights=turned.face_volumes)
    inward = (touched & (volumes < 0))[patches]
    kept = ~touched[patches]
    faces[kept] = mesh.faces[kept]
    faces[inward] = faces[inward, ::-1]
    return faces


def _winds_inward(mesh: TriangleMesh) -> bool:
    """Return whether the mesh winds the wrong way around most of what it encloses."""
    if mesh.num_open_edges == 0:
        return mesh.volume < 0
    # The volume of an open mesh depends on where the origin is; windings do not.
    low, high = mesh.bounds
    places = low + np.random.default_rng(0).random((_PROBES, 3)) * (high - low)
    turns = mesh.winding(places)
    inside = turns[np.abs(turns) > 0.5]
    return len(inside) > 0 and float(np.sign(inside).mean()) < 0
