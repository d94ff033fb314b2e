"""What is known of where a radiance field holds anything, cell by cell."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.ops.ray_march import OccupiedCells, observe, occupied_cells


@dataclass(frozen=True, kw_only=True)
class OccupancySettings:
    """How closely it is known, and how it is kept up to date."""

    resolution: int = 128
    """Cells along each side of a box, a multiple of 32."""
    threshold: float = 0.01
    """Optical thickness of a step above which a cell holds something."""
    decay: float = 0.95
    """What is left of a cell's density after each refreshing, if none is seen."""
    interval: int = 16
    """Steps between refreshings."""
    warmup_steps: int = 256
    """Steps in which a 16th of all cells is looked at each time, later a 256th."""

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


class Occupancy:
    """Remember the largest and the smallest density seen lately in each cell.

    A cell that has never been looked at counts as occupied.

    Args:
        settings: How closely.
        num_cascades: Number of nested boxes.
        step: Length of the shortest step, in sides of the box.
    """

    def __init__(
        self, settings: OccupancySettings, num_cascades: int, step: float
    ) -> None:
        side = settings.resolution
        self.settings = settings
        self.num_cascades = num_cascades
        self.densities = torch.zeros(num_cascades * side**3)
        self.floors = torch.zeros_like(self.densities)
        self._lowest = torch.full_like(self.densities, torch.inf)
        self._is_known = torch.zeros_like(self.densities, dtype=torch.bool)
        self._step = step
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

    def draw(
        self, step: int, source: torch.Generator
    ) -> tuple[Int64[Tensor, " m"], Float[Tensor, "m 3"]]:
        """Return cells to look at, and a random place in each.

        Args:
            step: Number of the step of training.
            source: Source of the draws.

        Returns:
            The cells, and places in the frame of the box.
        """
        total = len(self.densities)
        share = 16 if step < self.settings.warmup_steps else 256
        cells = torch.randint(total, (total // share,), generator=source)
        return cells, self._places(cells, source)

    def _places(
        self, cells: Int64[Tensor, " m"], source: torch.Generator
    ) -> Float[Tensor, "m 3"]:
        """Return a random place in each of some cells, in the frame of the box."""
        side = self.settings.resolution
        x, y, z = cells % side, cells // side % side, cells // side**2 % side
        places = torch.stack((x, y, z), dim=1) + torch.rand(
            len(cells), 3, generator=source
        )
        scales = 2.0 ** (cells // side**3).float()
        return (places / side - 0.5) * scales[:, None] + 0.5

    def refresh(self) -> None:
        """Forget a little, and decide anew which cells are occupied.

        A cell is if a step in it is thicker than the threshold, or than the mean while
        that is lower, so that a field which is thin everywhere is not taken for empty.
        """
        least = min(self.settings.threshold / self._step, float(self.densities.mean()))
        is_seen = self._lowest < torch.inf
        self._is_known |= is_seen
        is_occupied = (self.densities > least) | ~self._is_known
        if not is_occupied.any():
            is_occupied.fill_(True)
        self.cells = self._packed(is_occupied)
        self.densities *= self.settings.decay
        torch.where(is_seen, self._lowest, self.floors, out=self.floors)
        self._lowest.fill_(torch.inf)

    @property
    def state(self) -> dict[str, Tensor]:
        """All of it by name; changing it changes the grid."""
        return {
            "densities": self.densities,
            "floors": self.floors,
            "lowest": self._lowest,
            "known": self._is_known,
            "bits": self.cells.bits,
            "blocks": self.cells.blocks,
        }
