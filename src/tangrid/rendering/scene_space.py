"""From the world of a scene to the unit box, where rays are marched and fields live.

The unit box holds what the cameras look at. Around it stand larger boxes, each twice
the one before; a field sees all of them, scaled into one unit box, or all of space
contracted into it.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError
from tangrid.notation import Coords
from tangrid.ops.ray_march import spans
from tangrid.signals.ndc import NdcFrame
from tangrid.signals.scene_bounds import MOST_CASCADES

Outside = Literal["scaled", "contracted"]


class BoxRays(NamedTuple):
    """Rays in the frame of the unit box, with directions of unit length."""

    origins: Float[Tensor, "r 3"]
    """Where they begin."""
    directions: Float[Tensor, "r 3"]
    """Where they go."""
    nears: Float[Tensor, " r"]
    """Least distance of what they see, in sides of the box."""
    fars: Float[Tensor, " r"]
    """Largest distance."""
    scales: Float[Tensor, " r"]
    """Sides of the box per unit of distance in the world, along each ray."""


@dataclass(frozen=True, kw_only=True)
class SceneSpace:
    """Where the unit box lies in the world, and what is beyond it.

    Example:
        >>> space = SceneSpace(low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0))
        >>> ray = torch.tensor([[0.0, 0.0, 4.0]]), torch.tensor([[0.0, 0.0, -1.0]])
        >>> rays = space.rays(*ray)
        >>> rays.origins.tolist(), rays.scales.tolist()
        ([[0.5, 0.5, 2.5]], [0.5])
    """

    low: tuple[float, float, float] = (-1.0, -1.0, -1.0)
    """The box's lowest corner, in the scene's units."""
    high: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Its highest corner."""
    near: float = 0.0
    """Least distance from a camera of what it sees, in the scene's units."""
    far: float = 1e6
    """Largest distance from a camera of what it sees."""
    cascades: int = 1
    """Number of boxes, each twice as large as the one before around the same centre."""
    outside: Outside = "scaled"
    """How a field sees the larger boxes: all scaled down, or space contracted."""
    ndc: NdcFrame | None = None
    """Normalised device coordinates, in which low and high then are; their planes stand
    in the place of near and far."""

    def __post_init__(self) -> None:
        """Refuse a box that is none.

        Raises:
            ConfigError: If a number is out of range.
        """
        check_choice("space.outside", self.outside, Outside)
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ConfigError(
                f"space: expected a box with low < high along every axis, got "
                f"{self.low} and {self.high}."
            )
        if not 0 <= self.near < self.far:
            raise ConfigError(
                f"space: expected 0 <= near < far, got {self.near:g} and {self.far:g}. "
                "Say --set space.near=A and --set space.far=B in the scene's units."
            )
        if not 1 <= self.cascades <= MOST_CASCADES:
            raise ConfigError(
                f"space.cascades: expected 1 to {MOST_CASCADES}, got {self.cascades}."
            )

    @property
    def sides(self) -> tuple[float, float, float]:
        """The sides of the box, in the scene's units."""
        x, y, z = (b - a for a, b in zip(self.low, self.high, strict=True))
        return x, y, z

    def rays(
        self, origins: Float[Tensor, "r 3"], directions: Float[Tensor, "r 3"]
    ) -> BoxRays:
        """Return rays of the world in the frame of the box.

        Args:
            origins: Where they begin.
            directions: Where they go, of unit length.
        """
        near, far = self.near, self.far
        if self.ndc is not None:
            origins, directions = self.ndc.warp(origins, directions)
            near, far = 0.0, 1.0
        sides = origins.new_tensor(self.sides)
        along = directions / sides
        scales = torch.linalg.vector_norm(along, dim=1)
        return BoxRays(
            (origins - origins.new_tensor(self.low)) / sides,
            along / scales[:, None],
            near * scales,
            far * scales,
            scales,
        )

    def is_met(
        self, origins: Float[Tensor, "r 3"], directions: Float[Tensor, "r 3"]
    ) -> Bool[Tensor, " r"]:
        """Return which rays of the world pass through the largest box.

        Args:
            origins: Where they begin.
            directions: Where they go, of unit length.

        Example:
            >>> origins = torch.tensor([[0.0, 0.0, 4.0], [0.0, 2.0, 4.0]])
            >>> directions = torch.tensor([[0.0, 0.0, -1.0]]).expand(2, 3)
            >>> SceneSpace().is_met(origins, directions).tolist()
            [True, False]
        """
        first, last = spans(*self.rays(origins, directions)[:4], self.cascades)
        return first.clamp(min=0) < last

    def coords(self, points: Float[Tensor, "n 3"]) -> Coords:
        """Return where a field has the points of the box's frame, in its unit box.

        Args:
            points: In the frame of the box, in it or around it.
        """
        if self.cascades > 1 and self.outside == "contracted":
            # The box becomes the middle half of the field's, along each axis.
            centred = 2 * points - 1
            size = centred.abs().amax(1, keepdim=True).clamp(min=1)
            points = centred * ((2 - 1 / size) / size) / 4 + 0.5
        elif self.cascades > 1:
            points = (points - 0.5) / 2 ** (self.cascades - 1) + 0.5
        return points.clamp(0, 1)

    def world(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return points of the box's frame in the scene's units.

        Args:
            points: In the frame of the box.
        """
        sides, low = points.new_tensor(self.sides), points.new_tensor(self.low)
        own = points * sides + low
        return own if self.ndc is None else self.ndc.world(own)
