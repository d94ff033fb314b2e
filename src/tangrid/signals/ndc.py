"""Normalised device coordinates: the space before a camera as a box."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

NDC_LOW = (-1.5, -1.67, -1.0)
NDC_HIGH = (1.5, 1.67, 1.0)
"""The box that holds forward-facing scenes in these coordinates [chen2022]."""


@dataclass(frozen=True, kw_only=True)
class NdcFrame:
    """Map what lies beyond a plane before the average camera into a box.

    A point (x, y, z) with z < -near becomes (-sx x / z, -sy y / z, 1 + 2 near / z):
    rays stay straight, the plane goes to -1 and infinity to 1.

    References:
        [mildenhall2020]
    """

    x_scale: float
    """sx: twice the focal length over the picture's width."""
    y_scale: float
    """sy: twice the focal length over the picture's height."""
    near: float
    """Distance of the plane from the origin, along -z."""

    def points(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return points of the world in these coordinates.

        Args:
            points: Before the plane z = 0.

        Example:
            >>> frame = NdcFrame(x_scale=2.0, y_scale=2.0, near=1.0)
            >>> points = torch.tensor([[0.5, 0.0, -1.0], [1.0, 2.0, -4.0]])
            >>> frame.points(points).tolist()
            [[1.0, 0.0, -1.0], [0.5, 1.0, 0.5]]
        """
        x, y, z = points.unbind(1)
        return torch.stack(
            (-self.x_scale * x / z, -self.y_scale * y / z, 1 + 2 * self.near / z), dim=1
        )

    def world(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Return where points of these coordinates are in the world.

        Args:
            points: With z below 1, which is infinitely far away.
        """
        x, y, depth = points.unbind(1)
        z = 2 * self.near / (depth - 1)
        return torch.stack((-x * z / self.x_scale, -y * z / self.y_scale, z), dim=1)

    def warp(
        self, origins: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Return rays of the world in these coordinates.

        Args:
            origins: Where the rays begin.
            directions: Where they go; their z must be negative.

        Returns:
            Points on the near plane, and directions of such a length that 0 is there
            and 1 at infinity.
        """
        shift = -(self.near + origins[:, 2:]) / directions[:, 2:]
        starts = origins + shift * directions
        x, y, z = starts.unbind(1)
        right, up, back = directions.unbind(1)
        along = (
            -self.x_scale * (right / back - x / z),
            -self.y_scale * (up / back - y / z),
            -2 * self.near / z,
        )
        return self.points(starts), torch.stack(along, dim=1)
