"""Write points and triangles as binary PLY, with every bit of double precision."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int64, UInt8

_PROPERTIES = {"<f8": "double", "<f4": "float", "u1": "uchar"}


def write_ply(
    path: Path,
    vertices: Float[np.ndarray, "v 3"],
    *,
    faces: Int64[np.ndarray, "f 3"] | None = None,
    normals: Float[np.ndarray, "v 3"] | None = None,
    colours: UInt8[np.ndarray, "v 3"] | None = None,
) -> None:
    """Write a PLY file.

    By hand, for the library that reads meshes writes single precision alone.

    Args:
        path: The file.
        vertices: Points, or corners of triangles.
        faces: Three corners each; None for points alone.
        normals: Unit normals of the vertices.
        colours: sRGB-coded red, green and blue of the vertices.
    """
    columns = [(("x", "y", "z"), "<f8", vertices)]
    if normals is not None:
        columns.append((("nx", "ny", "nz"), "<f4", normals))
    if colours is not None:
        columns.append((("red", "green", "blue"), "u1", colours))
    corner = [(name, kind) for names, kind, _ in columns for name in names]
    rows = np.empty(len(vertices), corner)
    for names, _, values in columns:
        for axis, name in enumerate(names):
            rows[name] = values[:, axis]
    header = [
        "ply",
        "format binary_little_endian 1.0",
        "comment written by tangrid",
        f"element vertex {len(rows)}",
        *(f"property {_PROPERTIES[kind]} {name}" for name, kind in corner),
    ]
    data = rows.tobytes()
    if faces is not None:
        triangles = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
        triangles["count"], triangles["corners"] = 3, faces
        header.append(f"element face {len(triangles)}")
        header.append("property list uchar int vertex_indices")
        data += triangles.tobytes()
    header.append("end_header\n")
    path.write_bytes("\n".join(header).encode() + data)
