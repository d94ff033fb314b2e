"""A mesh as a signal: its signed distance in the unit box."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from tangrid.errors import DataError
from tangrid.notation import Coords
from tangrid.signals.bundled_meshes import BUNDLED_MESHES, bundled_mesh
from tangrid.signals.formats.mesh_file import MeshFile, mended, read_mesh
from tangrid.signals.orientation import turned_outward
from tangrid.signals.site import Site
from tangrid.signals.triangle_mesh import Points, TriangleMesh

FILLED = 0.9
"""Longest side of the mesh in the unit box; the rest is room around it."""

_NEAR = 0.005
_CLOSEST = 1e-3
"""Distance below which points count as equally near, for the placement of nodes."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """How the unit box lies in the mesh's own space.

    Example:
        >>> frame = Frame(centre=(0.0, 0.0, 0.0), side=2.0)
        >>> frame.to_own(np.array([[0.5, 0.5, 1.0]])).tolist()
        [[0.0, 0.0, 1.0]]
    """

    centre: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """The box's centre, in the mesh's units."""
    side: float = 1.0
    """The box's side, in the mesh's units."""

    def to_box(self, points: Points) -> Points:
        """Return points of the mesh's space in the unit box.

        Args:
            points: In the mesh's units.
        """
        return (points - np.array(self.centre)) / self.side + 0.5

    def to_own(self, points: Points) -> Points:
        """Return points of the unit box in the mesh's space.

        Args:
            points: In the unit box.
        """
        return (points - 0.5) * self.side + np.array(self.centre)


@dataclass(frozen=True, kw_only=True, eq=False)
class MeshSignal:
    """Hold a mesh, scaled into the unit box, as the signed distance that it defines.

    Make one with `MeshSignal.open` or `MeshSignal.from_arrays`. The longest side of its
    bounding box becomes 0.9, its centre the centre of the box.

    Example:
        >>> torus = MeshSignal.open("torus")
        >>> torus.name, torus.mesh.num_open_edges, torus.notes
        ('torus', 0, ())
        >>> torus.values(torch.tensor([[0.5, 0.5, 0.5]])).shape
        torch.Size([1, 1])
    """

    name: str
    """Name in tables: the file's, without its ending."""
    mesh: TriangleMesh
    """The triangles in the unit box, turned outward."""
    frame: Frame
    """Where the unit box lies in the mesh's own space."""
    notes: tuple[str, ...] = ()
    """What a reader of its results should know of the mesh, in words."""

    @classmethod
    def open(cls, path: str | Path) -> "MeshSignal":
        """Read a mesh from a file, or make one that tangrid knows by name.

        Args:
            path: An OBJ, PLY, STL, GLB, glTF or OFF file, or a name of
                `tangrid.signals.bundled_meshes.BUNDLED_MESHES` where no file has it.

        Returns:
            The mesh in the unit box.

        Raises:
            DataError: If the file holds no mesh, or none with a surface.
        """
        file = Path(path).expanduser()
        # A folder may have the name, too.
        made = None if file.is_file() else bundled_mesh(str(path))
        if made is not None:
            return cls.from_arrays(*made, name=str(path))
        if not file.exists() and str(path) == file.name and not file.suffix:
            raise DataError(
                f"{file}: expected a mesh file or one of the names "
                f"{list(BUNDLED_MESHES)}, got neither. Check the spelling."
            )
        return cls._framed(read_mesh(file), file.stem)

    @classmethod
    def from_arrays(
        cls,
        vertices: Float[np.ndarray, "v 3"],
        faces: Integer[np.ndarray, "f 3"],
        *,
        name: str = "mesh",
    ) -> "MeshSignal":
        """Make a signal of corners and triangles.

        Args:
            vertices: Corners, in any units.
            faces: Three numbers of corners for each triangle.
            name: Name in tables.

        Returns:
            The mesh in the unit box.

        Raises:
            DataError: If no triangle has an area.
        """
        where = f"MeshSignal '{name}'"
        faces = np.asarray(faces)
        is_list = faces.ndim == 2 and faces.shape[1] == 3 and len(faces) > 0
        if not is_list or faces.dtype.kind not in "iu":
            raise DataError(
                f"{where}: expected whole numbers of shape [f, 3] with f >= 1 for "
                f"faces, got {faces.dtype} of shape {list(faces.shape)}. Give three "
                "corners for each triangle."
            )
        corners = np.asarray(vertices, dtype=np.float64)
        if corners.ndim != 2 or corners.shape[1] != 3:
            raise DataError(
                f"{where}: expected vertices of shape [v, 3], got "
                f"{list(corners.shape)}. Give x, y and z of each corner."
            )
        return cls._framed(mended(where, corners, faces.astype(np.int64)), name)

    @classmethod
    def _framed(cls, file: MeshFile, name: str) -> "MeshSignal":
        low, high = file.vertices.min(0), file.vertices.max(0)
        centre = low + (high - low) / 2
        frame = Frame(
            centre=(float(centre[0]), float(centre[1]), float(centre[2])),
            side=float((high - low).max()) / FILLED,
        )
        read = TriangleMesh(frame.to_box(file.vertices), file.faces)
        mesh, turns = turned_outward(read)
        notes = (*file.notes, *_remarks(mesh), *turns)
        return cls(name=name, mesh=mesh, frame=frame, notes=notes)

    @property
    def digest(self) -> str:
        """A hash of the triangles in the unit box, to know them again."""
        digest = hashlib.sha256()
        for array in (self.mesh.vertices, self.mesh.faces):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:32]

    @property
    def is_open(self) -> bool:
        """Whether some edge belongs to a single triangle."""
        return self.mesh.num_open_edges > 0

    @property
    def site(self) -> Site:
        """What an encoding may know of the mesh."""
        return Site(num_dims=3, num_channels=1, sampler=self._draw)

    def values(self, coords: Coords) -> Float[Tensor, "n 1"]:
        """Return the signed distance at points, negative inside.

        Args:
            coords: Points in the unit box.

        Returns:
            float32 values on the CPU, in units of the box's side.
        """
        points = coords.detach().cpu().double().numpy()
        found = self.mesh.signed_distance(points).astype(np.float32)
        return torch.from_numpy(found)[:, None]

    def _draw(
        self, count: int, generator: torch.Generator
    ) -> tuple[Coords, Float[Tensor, " n"]]:
        """Return points near the surface and in the box, nearer ones weighing more."""
        seed = int(torch.randint(2**62, (1,), generator=generator))
        rng = np.random.default_rng(seed)
        few = count // 8
        near = self.mesh.sample(count - few, rng).points
        near = near + _NEAR * rng.standard_normal(near.shape)
        points = np.concatenate((near, rng.random((few, 3)))).clip(0, 1)
        detail = 1 / (self.mesh.distance(points) + _CLOSEST)
        return torch.from_numpy(points).float(), torch.from_numpy(detail).float()


def _remarks(mesh: TriangleMesh) -> Iterator[str]:
    if mesh.num_open_edges:
        yield (
            f"The mesh is open (edges of a single triangle: {mesh.num_open_edges}). "
            "Inside is where it winds around a point by more than half, so holes are "
            "closed smoothly."
        )
    if mesh.num_crowded_edges:
        yield (
            "The mesh is no manifold (edges of more than two triangles: "
            f"{mesh.num_crowded_edges})."
        )
    if mesh.num_shells > 1:
        yield f"The mesh has {mesh.num_shells} parts that share no corner."
