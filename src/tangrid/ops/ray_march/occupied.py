"""Which cells of nested cubic grids hold something, as bits that stay in the cache.

Cascade k covers the cube of side :math:`2^k` around the centre of the unit box with the
same number of cells. Bits are stored block by block: a block of 8 x 8 x 8 cells is 64
bytes, a cache line, and a byte holds a row of cells along x. A coarser grid says which
blocks hold anything.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from tangrid.errors import ShapeError

BLOCK = 8
"""Cells along each side of a block."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OccupiedCells:
    """Hold which cells of each cascade are occupied; make it with `occupied_cells`."""

    bits: UInt8[Tensor, "cascades blocks bytes"]
    """Rows of eight cells along x, the first in the lowest bit."""
    blocks: UInt8[Tensor, "cascades blocks"]
    """Whether a block has any occupied cell."""
    resolution: int
    """Cells along each side of a cascade."""

    @property
    def num_cascades(self) -> int:
        """Number of nested grids."""
        return len(self.bits)

    def to(self, device: torch.device) -> "OccupiedCells":
        """Return the same cells on another device.

        Args:
            device: Where rays are marched through them.
        """
        bits, blocks = self.bits.to(device), self.blocks.to(device)
        return replace(self, bits=bits, blocks=blocks)

    def unpacked(self) -> Bool[Tensor, "cascades z y x"]:
        """Return whether each cell is occupied."""
        num = self.resolution // BLOCK
        shape = (self.num_cascades, num, num, num, BLOCK, BLOCK)
        rows = self.bits.view(shape).permute(0, 1, 4, 2, 5, 3)
        cells = rows[..., None] >> _places(rows) & 1
        side = self.resolution
        return cells.bool().reshape(self.num_cascades, side, side, side)


def occupied_cells(cells: Bool[Tensor, "cascades z y x"]) -> OccupiedCells:
    """Return cells as bits, in blocks.

    Args:
        cells: Whether each is occupied; as many along each axis, a multiple of 8. The
            bits are where they are.

    Raises:
        ShapeError: If the grid is not cubic, or not made of blocks.

    Example:
        >>> cells = torch.zeros(1, 8, 8, 8, dtype=torch.bool)
        >>> cells[0, 1, 2, 3] = True
        >>> packed = occupied_cells(cells)
        >>> packed.bits.shape, int(packed.bits[0, 0, 10]), packed.blocks.tolist()
        (torch.Size([1, 1, 64]), 8, [[1]])
    """
    count, *sides = cells.shape
    side = sides[0]
    if len(set(sides)) != 1 or len(sides) != 3 or side % BLOCK or not side:
        raise ShapeError(
            "occupied_cells: expected [cascades, g, g, g] with g a multiple of "
            f"{BLOCK}, got {list(cells.shape)}."
        )
    num = side // BLOCK
    rows = _packed(cells).view(count, num, BLOCK, num, BLOCK, num)
    bits = rows.permute(0, 1, 3, 5, 2, 4).reshape(count, num**3, BLOCK * BLOCK)
    return OccupiedCells(
        bits=bits,
        blocks=(bits.view(torch.int64) != 0).any(-1).to(torch.uint8),
        resolution=side,
    )


def _packed(cells: Bool[Tensor, "*shape x"]) -> UInt8[Tensor, "*shape bytes"]:
    """Return rows of eight cells as bytes, the first in the lowest bit."""
    if cells.device.type == "cpu":
        return torch.from_numpy(np.packbits(cells.numpy(), axis=-1, bitorder="little"))
    eights = cells.unflatten(-1, (-1, BLOCK)).to(torch.uint8)
    return (eights << _places(eights)).sum(-1, dtype=torch.uint8)


def _places(like: Tensor) -> UInt8[Tensor, " eight"]:
    return torch.arange(BLOCK, dtype=torch.uint8, device=like.device)
