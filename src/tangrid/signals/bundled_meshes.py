"""Closed surfaces made on the spot, so that a first fit needs no file."""

from collections.abc import Callable

import numpy as np
import trimesh

_AROUND, _ALONG = 64, 512


def _knot() -> tuple[np.ndarray, np.ndarray]:
    """Return a tube along a trefoil knot."""
    angle = 2 * np.pi * np.arange(_ALONG) / _ALONG
    centre = np.stack(
        (
            np.sin(angle) + 2 * np.sin(2 * angle),
            np.cos(angle) - 2 * np.cos(2 * angle),
            -np.sin(3 * angle),
        ),
        axis=1,
    )
    along = np.roll(centre, -1, axis=0) - np.roll(centre, 1, axis=0)
    along /= np.linalg.norm(along, axis=1)[:, None]
    # Across the way from the middle: the trefoil never runs along it.
    across = np.cross(along, centre)
    across /= np.linalg.norm(across, axis=1)[:, None]
    third = np.cross(along, across)
    turn = 2 * np.pi * np.arange(_AROUND) / _AROUND
    ring = np.cos(turn)[None, :, None] * across[:, None]
    ring = ring + np.sin(turn)[None, :, None] * third[:, None]
    vertices = (centre[:, None] + 0.55 * ring).reshape(-1, 3)
    return vertices, _wrapped(_ALONG, _AROUND)


def _wrapped(rows: int, columns: int) -> np.ndarray:
    """Return the triangles of a lattice that closes along both directions."""
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    down, right = (row + 1) % rows, (column + 1) % columns
    corners = [
        (r * columns + c).reshape(-1)
        for r, c in ((row, column), (down, column), (down, right), (row, right))
    ]
    a, b, c, d = corners
    return np.concatenate((np.stack((a, c, b), 1), np.stack((a, d, c), 1)))


def _primitive(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


_MAKERS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "box": lambda: _primitive(trimesh.creation.box(extents=(1.0, 0.7, 0.5))),
    "knot": _knot,
    "sphere": lambda: _primitive(trimesh.creation.icosphere(subdivisions=5)),
    "torus": lambda: _primitive(
        trimesh.creation.torus(1.0, 0.4, major_sections=128, minor_sections=64)
    ),
}

BUNDLED_MESHES = tuple(_MAKERS)
"""Names that `MeshSignal.open` understands where no file has that name."""


def bundled_mesh(name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return corners and faces of a surface by name.

    Args:
        name: One of `BUNDLED_MESHES`.

    Returns:
        Both as arrays; None for another name.

    Example:
        >>> vertices, faces = bundled_mesh("box")
        >>> vertices.shape, faces.shape
        ((8, 3), (12, 3))
    """
    if name not in _MAKERS:
        return None
    vertices, faces = _MAKERS[name]()
    return vertices.astype(np.float64), faces.astype(np.int64)
