"""What is known of where a radiance field holds anything, cell by cell."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.ops.ray_march import OccupiedCells, observe, occupied_cells


@dataclass(frozen=True, kw_only=True)
class OccupancySettings:
    """How closely it is known, and how it is kept up to date."""

    resolution: int = 128
    """Cells along each side of a box, a multiple of 32."""
    threshold: float = 0.01
    """Optical thickness of the longest step in a box above which a cell of it holds
    something."""
    decay: float = 0.95
    """What is left of a cell's density after each refreshing, if none is seen."""
    interval: int = 16
    """Steps between refreshings."""
    warmup_steps: int = 256
    """Steps in which a 16th of all cells is looked at each time, later a 256th."""
    floor_looks: int = 8
    """Looks at a cell that what it holds at least is the least of. A single one may be
    at the dense half of a cell; rays that end there then miss what is behind."""

    def __post_init__(self) -> None:
        """Refuse a grid without cells.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.resolution < 32 or self.resolution % 32:
            raise ConfigError(
                "occupancy.resolution: expected a multiple of 32, got "
                f"{self.resolution}. 128 is usual."
            )
        if not (self.threshold > 0 and 0 < self.decay <= 1 and self.interval >= 1):
            raise ConfigError(
                "occupancy: expected threshold > 0, decay in (0, 1] and interval >= 1, "
                f"got {self.threshold}, {self.decay} and {self.interval}."
            )
        if self.floor_looks < 1:
            raise ConfigError(
                "occupancy.floor_looks: expected at least 1 look at a cell, got "
                f"{self.floor_looks}. 8 is usual."
            )


class Occupancy:
    """Remember the largest and the smallest density seen lately in each cell.

    A cell that has never been looked at counts as occupied. ``floors`` are the smallest
    of a few looks, 0 before these: less may be found by another look, so that floors
    serve training and not judging.

    Args:
        settings: How closely.
        steps: Longest step in each of the nested boxes, in sides of the smallest.
        device: Where it is kept, and rays are marched.
    """

    def __init__(
        self,
        settings: OccupancySettings,
        steps: Sequence[float],
        device: torch.device = HOST,
    ) -> None:
        side, num_cascades = settings.resolution, len(steps)
        self.settings = settings
        self.num_cascades = num_cascades
        self.densities = torch.zeros(num_cascades * side**3, device=device)
        self.floors = torch.zeros_like(self.densities)
        self._lowest = torch.full_like(self.densities, torch.inf)
        self._looks = torch.zeros_like(self.densities, dtype=torch.int32)
        self._is_known = torch.zeros_like(self.densities, dtype=torch.bool)
        # Of the cells of one box after the other.
        self._steps = torch.tensor(steps, device=device)[:, None]
        self.cells = self._packed(torch.ones_like(self.densities, dtype=torch.bool))

    def _packed(self, is_occupied: Bool[Tensor, " c"]) -> OccupiedCells:
        side = self.settings.resolution
        return occupied_cells(is_occupied.view(self.num_cascades, side, side, side))

    @property
    def fraction(self) -> float:
        """Share of the cells that are occupied."""
        return float(self.cells.unpacked().float().mean())

    def see(self, cells: Int64[Tensor, " m"], densities: Float[Tensor, " m"]) -> None:
        """Take in densities that have been found.

        Args:
            cells: The cell that each was found in.
            densities: Per side of the box.
        """
        observe(cells, densities, self.densities, self._lowest)
        self._looks.index_add_(0, cells, torch.ones_like(cells, dtype=torch.int32))

    def draw(
        self, step: int, source: torch.Generator
    ) -> tuple[Int64[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Return cells to look at, and a random place in each.

        Args:
            step: Number of the step of training.
            source: Source of the draws, where the grid is.

        Returns:
            The cells, and places in the frame of the box.
        """
        total = len(self.densities)
        share = 16 if step < self.settings.warmup_steps else 256
        cells = torch.randint(
            total,
            (total // share,),
            generator=source,
            device=self.densities.device,
        )
        return cells, self._places(cells, source)

    def _places(
        self, cells: Int64[Tensor, " m"], source: torch.Generator
    ) -> Float[Tensor, "m 3"]:
        """Return a random place in each of some cells, in the frame of the box."""
        side = self.settings.resolution
        x, y, z = cells % side, cells // side % side, cells // side**2 % side
        within = torch.rand(len(cells), 3, generator=source, device=cells.device)
        places = torch.stack((x, y, z), dim=1) + within
        scales = 2.0 ** (cells // side**3).float()
        return (places / side - 0.5) * scales[:, None] + 0.5

    def refresh(self) -> None:
        """Forget a little, and decide anew which cells are occupied.

        A cell is if a step in it, of the longest in its box, is thicker than the
        threshold, or denser than the mean while that is lower, so that a field which is
        thin everywhere is not taken for empty.
        """
        least = self.settings.threshold / self._steps
        least = least.minimum(self.densities.mean())
        is_dense = self.densities.view(self.num_cascades, -1) > least
        self._is_known |= self._lowest < torch.inf
        is_occupied = is_dense.flatten() | ~self._is_known
        # Of a field without anything all is looked at.
        is_occupied |= ~is_occupied.any()
        self.cells = self._packed(is_occupied)
        self.densities *= self.settings.decay
        # They fall at once, and rise when there were enough looks.
        torch.minimum(self.floors, self._lowest, out=self.floors)
        is_enough = self._looks >= self.settings.floor_looks
        torch.where(is_enough, self._lowest, self.floors, out=self.floors)
        self._lowest.masked_fill_(is_enough, torch.inf)
        self._looks.masked_fill_(is_enough, 0)

    @property
    def state(self) -> dict[str, Tensor]:
        """All of it by name; changing it changes the grid."""
        return {
            "densities": self.densities,
            "floors": self.floors,
            "lowest": self._lowest,
            "looks": self._looks,
            "known": self._is_known,
            "bits": self.cells.bits,
            "blocks": self.cells.blocks,
        }
