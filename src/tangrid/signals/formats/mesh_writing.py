"""Write triangles with normals as PLY, OBJ or GLB, whole or not at all."""

import math
from pathlib import Path

import numpy as np
import trimesh
from jaxtyping import Float, Int64
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.obj import export_obj

from tangrid.errors import ConfigError
from tangrid.runs.writing import atomic_path, unwritable

WRITTEN_SUFFIXES = (".ply", ".obj", ".glb")
"""Endings of files that can be written."""

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


def write_mesh(
    path: Path,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int64[np.ndarray, "f 3"],
    normals: Float[np.ndarray, "v 3"],
) -> None:
    """Write a mesh; the ending of the file says the format.

    PLY keeps double precision and OBJ seven digits of the mesh's size, also far from
    the origin; GLB has single precision by its standard.

    Args:
        path: The file.
        vertices: Corners.
        faces: Three corners each.
        normals: Unit normals of the corners.

    Raises:
        ConfigError: If the ending is unknown.
        DataError: If the file cannot be written.
    """
    check_mesh_path(path)
    suffix = path.suffix.lower()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    with atomic_path(path) as temporary:
        if suffix == ".ply":
            _write_ply(temporary, vertices, faces, normals)
            return
        mesh = trimesh.Trimesh(vertices, faces, vertex_normals=normals, process=False)
        if suffix == ".obj":
            text = export_obj(mesh, include_normals=True, digits=_digits(vertices))
            temporary.write_text(text, encoding="utf-8")
        else:
            temporary.write_bytes(export_glb(mesh, include_normals=True))


def _digits(vertices: np.ndarray) -> int:
    """Return the digits after the point that a mesh's size asks for."""
    side = float(np.ptp(vertices, axis=0).max())
    # Normals are written with as many, so a large mesh gets no fewer.
    return _DIGITS - min(math.floor(math.log10(side)), 0) if side > 0 else _DIGITS


def _write_ply(
    path: Path, vertices: np.ndarray, faces: np.ndarray, normals: np.ndarray
) -> None:
    # By hand: the library writes single precision alone.
    corner = [(name, "<f8") for name in ("x", "y", "z")]
    corner += [(name, "<f4") for name in ("nx", "ny", "nz")]
    rows = np.empty(len(vertices), corner)
    for axis, (place, normal) in enumerate((("x", "nx"), ("y", "ny"), ("z", "nz"))):
        rows[place], rows[normal] = vertices[:, axis], normals[:, axis]
    triangles = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces
    properties = [
        f"property {'double' if kind == '<f8' else 'float'} {name}"
        for name, kind in corner
    ]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment written by tangrid",
        f"element vertex {len(rows)}",
        *properties,
        f"element face {len(triangles)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    with path.open("wb") as file:
        file.write("\n".join(header).encode() + b"\n")
        file.write(rows.tobytes())
        file.write(triangles.tobytes())
