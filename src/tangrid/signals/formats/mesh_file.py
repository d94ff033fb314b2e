"""Read triangles from OBJ, PLY, STL, GLB, glTF and OFF files, and mend what can be."""

import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int64

from tangrid.errors import DataError

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf", ".off")
"""Endings of files that can be read."""

_LARGEST = 1e300
"""Least coordinate that counts as no number: differences of larger ones overflow."""

_TEXTS = (".obj", ".off")

_RELATIVE = re.compile(r"^f[^\n]*\s-\d", re.MULTILINE)
_ZERO = re.compile(r"^f[^\n]*\s0+(?![.\d])", re.MULTILINE)

_FLATTEST = 1e-12
"""Least height of a triangle, as a share of the whole mesh's size."""


@dataclass(frozen=True)
class MeshFile:
    """What a file of triangles holds.

    Attributes:
        vertices: Corners in the file's own units, none of them twice.
        faces: Three corners each; every triangle has an area.
        notes: What was mended on the way, in words.
    """

    vertices: Float[np.ndarray, "v 3"]
    faces: Int64[np.ndarray, "f 3"]
    notes: tuple[str, ...]


def read_mesh(path: Path) -> MeshFile:
    """Read a file of triangles; all parts of a scene become one mesh.

    Args:
        path: The file; its ending says the format.

    Returns:
        Its triangles, without those that have no area or a corner that is no number.

    Raises:
        DataError: If there is no such file, it is damaged or no mesh is in it; the
            message says which.
    """
    _check_file(path)
    try:
        parts = list(_parts(_loaded(path)))
    except MemoryError:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: expected a mesh, got a file that cannot be read "
            f"({_reason(error)}). It may be damaged, or of another format than its "
            "ending says."
        ) from error
    if not any(len(faces) for _, faces in parts):
        points = sum(len(vertices) for vertices, _ in parts)
        if not points:
            raise DataError(
                f"{path}: expected a mesh of triangles, got a file without any. It may "
                "be damaged, or of another format than its ending says."
            )
        raise DataError(
            f"{path}: expected a mesh of triangles, got {points} points without faces. "
            "A signed distance needs a surface: reconstruct one from the points first, "
            "for example by Poisson reconstruction."
        )
    return mended(path, *_joined(parts))


def _loaded(path: Path) -> Any:  # noqa: ANN401
    suffix = path.suffix.lower()
    settings: dict[str, Any] = {"process": False, "maintain_order": True}
    with warnings.catch_warnings():
        # What it warns of are textures and normals, which nobody asks for here; but
        # numbers that cannot be read would end the list of faces without an error.
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "string or file could not be read")
        if suffix not in _TEXTS:
            return trimesh.load(path, **settings)
        # Names and comments may be in any encoding; numbers are the same in all.
        text = path.read_bytes().decode("utf-8", errors="replace")
        if suffix == ".obj":
            text = _counted_from_one(text)
        return trimesh.load(
            io.BytesIO(text.encode()),
            file_type=suffix[1:],
            skip_materials=True,
            **settings,
        )


def _counted_from_one(text: str) -> str:
    """Return the text of an OBJ file without relative numbers of corners.

    The reader counts those back from the end of the file, not from where they stand,
    and takes 0 for the first corner.
    """
    text = text.replace("\r\n", "\n").replace("\\\n", " ")
    if zero := _ZERO.search(text):
        raise ValueError(f"corners count from 1, got '{zero[0]}'")
    if not _RELATIVE.search(text):
        return text
    lines, count = [], 0
    for line in text.split("\n"):
        kind, *words = line.split() or [""]
        count += kind == "v"
        if kind != "f":
            lines.append(line)
            continue
        corners = [int(word.split("/")[0]) for word in words]
        if min(corners) < -count:
            raise ValueError(f"corner {min(corners)} where {count} are given")
        places = [place if place > 0 else count + 1 + place for place in corners]
        lines.append(" ".join(map(str, ("f", *places))))
    return "\n".join(lines)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeError | ModuleNotFoundError):
        # The reader looks for a package that guesses encodings of text.
        return "its bytes are neither a whole mesh nor text"
    return f"{type(error).__name__}: {str(error) or 'no reason given'}"


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise DataError(
            f"{path}: expected a mesh file, got a folder. Name one file inside it."
        )
    if not path.exists():
        raise DataError(
            f"{path}: expected a mesh file, got a path where there is none. Check the "
            "spelling and the folder that the path starts from."
        )
    if not path.is_file():
        raise DataError(
            f"{path}: expected a mesh file, got a device or a pipe. Copy it into a "
            "file first."
        )
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise DataError(
            f"{path}: expected a mesh that ends with {', '.join(MESH_SUFFIXES)}, got "
            f"'{path.suffix or path.name}'. Convert it to one of these."
        )
    try:
        size = path.stat().st_size
        path.open("rb").close()
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable mesh file, got: {error.strerror}. Check its "
            "permissions."
        ) from error
    if size == 0:
        raise DataError(
            f"{path}: expected a mesh file, got an empty file. Fetch it again."
        )


def _parts(loaded: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # noqa: ANN401
    """Yield corners and faces of every part that a file holds, placed as it says."""
    if isinstance(loaded, trimesh.Scene):
        for node in loaded.graph.nodes_geometry:
            placement, name = loaded.graph[node]
            part = loaded.geometry[name]
            for vertices, faces in _parts(part):
                # A mirror turns triangles inside out.
                is_mirrored = np.linalg.det(placement[:3, :3]) < 0
                turned = faces[:, ::-1] if is_mirrored else faces
                yield trimesh.transform_points(vertices, placement), turned
        return
    vertices = getattr(loaded, "vertices", ())
    faces = getattr(loaded, "faces", ())
    yield (
        np.asarray(vertices, dtype=np.float64).reshape(-1, 3),
        np.asarray(faces, dtype=np.int64).reshape(-1, 3),
    )


def _joined(
    parts: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    faces = [faces + start for (_, faces), start in zip(parts, starts, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def mended(where: str | Path, vertices: np.ndarray, faces: np.ndarray) -> MeshFile:
    """Return triangles that have an area, with every corner once.

    Args:
        where: What they are, for messages.
        vertices: Corners.
        faces: Three corners each.

    Raises:
        DataError: If a face names a corner that is not there, or no triangle is left.
    """
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise DataError(
            f"{where}: expected faces that name corners 0 to {len(vertices) - 1}, got "
            f"{faces.min()} to {faces.max()}. The file or the array is damaged."
        )
    notes = []
    finite = np.all((np.abs(vertices) < _LARGEST)[faces], axis=(1, 2))
    if not finite.all():
        count = int((~finite).sum())
        notes.append(
            f"{count} of {len(finite)} triangles have a corner that is no finite "
            "number and were left out."
        )
        faces = faces[finite]
    vertices, faces = _used_once(vertices, faces)
    flat = _is_flat(vertices[faces])
    if flat.any() and not flat.all():
        notes.append(
            f"{int(flat.sum())} of {len(faces)} triangles have no area and were left "
            "out."
        )
    vertices, faces = _used_once(vertices, faces[~flat])
    if len(faces) == 0:
        raise DataError(
            f"{where}: expected triangles with an area and finite corners, got "
            f"{len(finite)} without. Repair the mesh first."
        )
    return MeshFile(vertices, faces, tuple(notes))


def _used_once(
    vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners that faces use, equal ones as one: seams are no openings."""
    if len(faces) == 0:
        return vertices[:0], faces
    is_used = np.zeros(len(vertices), bool)
    is_used[faces] = True
    # Adding 0 makes negative zeros zeros.
    kept = vertices[is_used] + 0.0
    # Sorted like this, since np.unique takes four times as long for rows.
    order = np.lexsort(kept.T[::-1])
    rows = kept[order]
    is_new = np.ones(len(kept), bool)
    is_new[1:] = (rows[1:] != rows[:-1]).any(1)
    places = np.empty(len(kept), np.int64)
    places[order] = np.cumsum(is_new) - 1
    return rows[is_new], places[(np.cumsum(is_used) - 1)[faces]]


def _is_flat(corners: np.ndarray) -> np.ndarray:
    """Return which triangles are so thin that they have no direction."""
    if len(corners) == 0:
        return np.zeros(0, bool)
    # Scaled by a power of two, which changes no digit: squares of huge or tiny numbers
    # would leave the range.
    corners = np.ldexp(corners, -int(np.frexp(np.abs(corners).max())[1]))
    # Near the origin, or far from it the differences would lose their digits.
    sides = corners - corners[:, :1]
    size = np.linalg.norm(np.ptp(corners.reshape(-1, 3), axis=0))
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    areas = np.linalg.norm(np.cross(sides[:, 1], sides[:, 2]), axis=1) / 2
    return areas <= _FLATTEST * size * lengths
