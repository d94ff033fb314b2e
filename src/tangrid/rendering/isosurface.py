"""Extract a level of a function on the unit box as a triangle mesh, slab by slab.

Every lattice point is evaluated once, so neighbouring blocks agree on its sign. A block
of cells says which lattice edges its triangles join; the number of the edge names a
vertex, so what two blocks share is one vertex, and its place comes from the two values.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from skimage.measure import marching_cubes
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError, ShapeError
from tangrid.notation import Coords
from tangrid.seeding import generator

MARGIN = 1e-3
"""Nearest that a vertex comes to a lattice point, in cells.

A level that passes through a lattice point would put all vertices around it into one
place and leave triangles without area.
"""

_TIE_BREAK = 1e-3
_TIE_PERIOD = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A triangle mesh whose normals point to larger values."""

    vertices: Float32[np.ndarray, "v 3"]
    """Places in the unit box; no two are the same."""
    faces: Int64[np.ndarray, "f 3"]
    """Corners of each triangle, counter-clockwise from outside."""


@dataclass(frozen=True)
class _Piece:
    """The triangles in one block."""

    numbers: np.ndarray
    """What edge or cell of the lattice each vertex is on."""
    places: np.ndarray
    """Vertices in the unit box."""
    faces: np.ndarray
    """Corners of each triangle among the vertices."""


def extract_surface(
    values: Callable[[Coords], Float[Tensor, " n"]],
    resolution: int,
    *,
    level: float = 0.0,
    block: int = 64,
    on_block: Callable[[int, int], None] | None = None,
) -> Surface:
    """Return the surface on which a function takes a value.

    The surface is closed where it does not leave the box. A lattice point on the level
    counts as inside, so a box whose sides are layers of the lattice keeps its edges.
    Memory is that of a slab of `block` layers of the lattice.

    Args:
        values: The function; it is asked for one block of points at a time.
        resolution: Cells along each side; lattice points are at i / resolution.
        level: The value.
        block: Cells along each side of a block.
        on_block: Told how many blocks are evaluated, and of how many.

    Returns:
        Vertices that lie on lattice edges but for a few within cells.

    Raises:
        ConfigError: If resolution or block are not positive.
        NumericalError: If a value is not finite, or none of the lattice is on one of
            the level's sides.
    """
    if resolution < 1 or block < 1:
        raise ConfigError(
            "extract_surface: expected a positive resolution and block, got "
            f"{resolution} and {block}. A resolution of 256 shows most details."
        )
    lattice = _Lattice(values, resolution, level, block, on_block)
    pieces = [
        _piece(values_of_block, start, resolution)
        for slab, x in lattice.slabs()
        for values_of_block, start in _crossed_blocks(slab, x, block)
    ]
    if not pieces:
        low, high = lattice.lowest, lattice.highest
        raise NumericalError(
            f"extract_surface: expected values on both sides of the level {level:g}, "
            f"got values from {low:g} to {high:g}. Choose a level between them or a "
            f"higher resolution than {resolution}, or fit the field for longer."
        )
    return _merged(pieces)


def _merged(pieces: list[_Piece]) -> Surface:
    """Return one mesh of all pieces; vertices of the same number are one."""
    numbers = np.concatenate([piece.numbers for piece in pieces])
    places = np.concatenate([piece.places for piece in pieces])
    starts = np.cumsum([0, *(len(piece.numbers) for piece in pieces)])
    corners = np.concatenate([
        piece.faces + start for piece, start in zip(pieces, starts[:-1], strict=True)
    ])
    _, first, index = np.unique(numbers, return_index=True, return_inverse=True)
    return Surface(vertices=places[first], faces=index[corners])


class _Lattice:
    """The values on the lattice, each asked for once."""

    def __init__(
        self,
        values: Callable[[Coords], Tensor],
        resolution: int,
        level: float,
        block: int,
        on_block: Callable[[int, int], None] | None,
    ) -> None:
        self.values = values
        self.resolution = resolution
        self.level = level
        self.block = block
        self.on_block = on_block
        self.lowest, self.highest = np.inf, -np.inf

    def slabs(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield values less the level, some layers of cells at a time, and where."""
        parts = list(_parts(self.resolution, self.block))
        total, done = len(parts) ** 3, 0
        side = self.resolution + 1
        kept = np.empty((0, side, side), dtype=np.float32)
        for x in parts:
            new = np.empty((x.stop - x.start, side, side), dtype=np.float32)
            for y in parts:
                for z in parts:
                    new[:, y, z] = self._evaluate(x, y, z)
                    done += 1
                    if self.on_block is not None:
                        self.on_block(done, total)
            slab = np.concatenate((kept, new))
            yield slab, x.start - len(kept)
            kept = slab[-1:]

    def _evaluate(self, x: slice, y: slice, z: slice) -> np.ndarray:
        axes = [
            torch.arange(s.start, s.stop).double() / self.resolution for s in (x, y, z)
        ]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
        with torch.no_grad():
            found = self.values(grid.reshape(-1, 3).float()).double().cpu()
        centred = (found - self.level).float()
        count = grid.shape[:-1].numel()
        if found.shape != (count,):
            raise ShapeError(
                f"extract_surface: expected one value for each of {count} points, got "
                f"shape {tuple(found.shape)}. Choose one channel of the field."
            )
        if not bool(centred.isfinite().all()):
            wrong = int((~centred.isfinite()).sum())
            raise NumericalError(
                f"extract_surface: expected finite values, got {wrong} of "
                f"{len(found)} that are not. The field's training has most likely "
                "diverged."
            )
        self.lowest = min(self.lowest, float(found.min()))
        self.highest = max(self.highest, float(found.max()))
        return centred.numpy().reshape(grid.shape[:-1])


def _parts(resolution: int, block: int) -> Iterator[slice]:
    """Yield the lattice points of one axis that each block is the first to have."""
    for start in range(0, resolution, block):
        yield slice(start + (start > 0), min(start + block, resolution) + 1)


def _crossed_blocks(
    slab: np.ndarray, x: int, block: int
) -> Iterator[tuple[np.ndarray, tuple[int, int, int]]]:
    """Yield the blocks of a slab that have both signs, and where each starts."""
    cells = slab.shape[1] - 1
    for y in range(0, cells, block):
        for z in range(0, cells, block):
            part = slab[:, y : y + block + 1, z : z + block + 1]
            if part.min() <= 0 < part.max():
                yield part, (x, y, z)


def _piece(part: np.ndarray, start: tuple[int, int, int], resolution: int) -> _Piece:
    """Return the triangles between the two signs of a block."""
    found, faces, _, _ = marching_cubes(
        _tame(part, start), 0.0, gradient_direction="descent"
    )
    base = np.floor(found).astype(np.int64)
    between = found != base
    # One coordinate between lattice points: the vertex is on an edge. Else in a cell.
    on_edge = between.sum(1) == 1
    axis = np.where(on_edge, between.argmax(1), 3)
    places = found.astype(np.float64)
    low = base[on_edge]
    high = low + np.eye(3, dtype=np.int64)[axis[on_edge]]
    below, above = (part[tuple(end.T)].astype(np.float64) for end in (low, high))
    share = np.clip(below / (below - above), MARGIN, 1 - MARGIN)
    places[on_edge] = low + share[:, None] * (high - low)
    side = resolution + 1
    x, y, z = (base + start).T
    numbers = ((x * side + y) * side + z) * 4 + axis
    vertices = ((places + start) / resolution).astype(np.float32)
    return _Piece(numbers, vertices, faces.astype(np.int64))


def _tame(part: np.ndarray, start: tuple[int, int, int]) -> np.ndarray:
    """Return values of the same signs from which every lattice edge can be told.

    Where values differ by orders of magnitude a vertex would be rounded into a lattice
    point, and it could not be said on which edge it is. A root keeps signs and the
    order of the products that decide how the corners of a face are joined. Where two
    such products are equal, cells on both sides of the face may decide differently and
    leave a hole; so each lattice point has a factor of its own, close to 1.
    """
    draws = torch.rand((_TIE_PERIOD,) * 3, generator=generator(0, "isosurface"))
    factors = 1 + _TIE_BREAK * draws.numpy()
    places = [
        np.arange(first, first + count) % _TIE_PERIOD
        for first, count in zip(start, part.shape, strict=True)
    ]
    size = np.clip(np.abs(part), 1e-24, 1e8) ** 0.125 * factors[np.ix_(*places)]
    return np.where(part <= 0, -size, size).astype(np.float32)
