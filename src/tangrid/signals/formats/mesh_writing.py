"""Write triangles as PLY, OBJ or GLB, and points as PLY, whole or not at all."""

import math
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int64, UInt8
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.obj import export_obj

from tangrid.errors import ConfigError
from tangrid.runs.writing import atomic_path, unwritable
from tangrid.signals.colour import linear_from_srgb
from tangrid.signals.formats.ply_writing import write_ply

WRITTEN_SUFFIXES = (".ply", ".obj", ".glb")
"""Endings of files that a mesh can be written to."""
POINTS_SUFFIX = ".ply"
"""Ending of files that points can be written to."""

_DIGITS = 7


def check_mesh_path(path: Path) -> None:
    """Refuse a file that no mesh can be written to.

    Args:
        path: The file; its ending says the format.

    Raises:
        ConfigError: If the ending is unknown.
    """
    if path.suffix.lower() not in WRITTEN_SUFFIXES:
        raise ConfigError(
            f"{path}: expected a name that ends with {', '.join(WRITTEN_SUFFIXES)}, "
            f"got '{path.suffix or path.name}'. Choose one with --out."
        )


def check_points_path(path: Path) -> None:
    """Refuse a file that no points can be written to.

    Args:
        path: The file.

    Raises:
        ConfigError: If it is no PLY file.
    """
    if path.suffix.lower() != POINTS_SUFFIX:
        raise ConfigError(
            f"{path}: expected a name that ends with {POINTS_SUFFIX}, got "
            f"'{path.suffix or path.name}'. Choose one with --out."
        )


def write_points(
    path: Path,
    points: Float[np.ndarray, "n 3"],
    colours: UInt8[np.ndarray, "n 3"],
) -> None:
    """Write coloured points as PLY in double precision.

    Args:
        path: The file.
        points: Where they are.
        colours: sRGB-coded red, green and blue.

    Raises:
        ConfigError: If the ending is not that of a PLY file.
        DataError: If the file cannot be written.
    """
    check_points_path(path)
    _make_folder(path)
    with atomic_path(path) as temporary:
        write_ply(temporary, points, colours=colours)


def write_mesh(
    path: Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int64[np.ndarray, "f 3"],
    normals: Float[np.ndarray, "v 3"],
    colours: UInt8[np.ndarray, "v 3"] | None = None,
) -> None:
    """Write a mesh; the ending of the file says the format.

    PLY keeps double precision and OBJ seven digits of the mesh's size, also far from
    the origin; GLB has single precision by its standard, and linear colours.

    Args:
        path: The file.
        vertices: Corners.
        faces: Three corners each.
        normals: Unit normals of the corners.
        colours: sRGB-coded red, green and blue of the corners; None for none.

    Raises:
        ConfigError: If the ending is unknown.
        DataError: If the file cannot be written.
    """
    check_mesh_path(path)
    suffix = path.suffix.lower()
    _make_folder(path)
    with atomic_path(path) as temporary:
        if suffix == ".ply":
            write_ply(
                temporary, vertices, faces=faces, normals=normals, colours=colours
            )
            return
        if colours is not None and suffix == ".glb":
            light = linear_from_srgb(colours.astype(np.float64) / 255)
            colours = np.round(255 * light).astype(np.uint8)
        mesh = trimesh.Trimesh(
            vertices,
            faces,
            vertex_normals=normals,
            vertex_colors=colours,
            process=False,
        )
        if suffix == ".obj":
            text = export_obj(mesh, include_normals=True, digits=_digits(vertices))
            temporary.write_text(text, encoding="utf-8")
        else:
            temporary.write_bytes(export_glb(mesh, include_normals=True))


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def _digits(vertices: np.ndarray) -> int:
    """Return the digits after the point that a mesh's size asks for."""
    side = float(np.ptp(vertices, axis=0).max())
    # Normals are written with as many, so a large mesh gets no fewer.
    return _DIGITS - min(math.floor(math.log10(side)), 0) if side > 0 else _DIGITS
