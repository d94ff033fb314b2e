"""Rays of many cameras at once, for training on pixels of all photographs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.signals.camera import FLIP, Camera
from tangrid.signals.lens import (
    NUM_COEFFICIENTS,
    QUICK_STEPS,
    fisheye_directions,
    perspective_directions,
)

_NUM_VALUES = 16
"""Numbers of a camera in a row: three axes, the origin, the centre, 1 / focal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraStack:
    """Hold many cameras as tensors.

    Make one with `CameraStack.of`.

    Example:
        >>> camera = Camera(pose=np.eye(4), width=4, height=2, focal=(2.0, 2.0))
        >>> stack = CameraStack.of([camera, camera.finer(2)])
        >>> stack.num_cameras, stack.sizes.tolist()
        (2, [[4, 2], [8, 4]])
        >>> middle = torch.tensor([[2.0, 1.0], [4.0, 2.0]])
        >>> stack.rays(torch.tensor([0, 1]), middle)[1].tolist()
        [[0.0, 0.0, -1.0], [0.0, 0.0, -1.0]]
    """

    sizes: Int64[Tensor, "v 2"]
    """Width and height of each."""
    values: Float32[Tensor, "v 16"]
    """Right, down, forward and position in the world, then centre and 1 / focal."""
    lenses: Float32[Tensor, "v 6"] | None
    """Coefficients of the lenses; None if all are plain."""
    are_fisheyes: Bool[Tensor, " v"]
    """Which lenses follow the equidistant model."""
    num_fisheyes: int
    """How many do; known without a look at another device."""

    @classmethod
    def of(cls, cameras: Sequence[Camera]) -> "CameraStack":
        """Stack cameras, in the order given.

        Args:
            cameras: At least one; sizes and lenses may differ.

        Returns:
            The stack.

        Raises:
            ConfigError: If there is no camera.
        """
        if not cameras:
            raise ConfigError(
                "CameraStack.of: expected at least one camera, got none. Give the "
                "cameras of the views that are trained on."
            )
        values = np.empty((len(cameras), _NUM_VALUES))
        lenses = np.empty((len(cameras), NUM_COEFFICIENTS))
        for row, camera in enumerate(cameras):
            values[row, :9] = (camera.pose[:3, :3] * FLIP).T.reshape(-1)
            values[row, 9:12] = camera.position
            values[row, 12:14] = camera.principal_point
            values[row, 14:] = 1 / np.array(camera.focal)
            lenses[row] = camera.lens.coefficients
        is_plain = all(camera.lens.is_plain for camera in cameras)
        are_fisheyes = [camera.lens.is_fisheye for camera in cameras]
        return cls(
            sizes=torch.tensor([[camera.width, camera.height] for camera in cameras]),
            values=torch.from_numpy(values).float(),
            lenses=None if is_plain else torch.from_numpy(lenses).float(),
            are_fisheyes=torch.tensor(are_fisheyes),
            num_fisheyes=sum(are_fisheyes),
        )

    def to(self, device: torch.device) -> "CameraStack":
        """Return the same cameras on another device.

        Args:
            device: Where rays are wanted.
        """
        lenses = None if self.lenses is None else self.lenses.to(device)
        return replace(
            self,
            sizes=self.sizes.to(device),
            values=self.values.to(device),
            lenses=lenses,
            are_fisheyes=self.are_fisheyes.to(device),
        )

    @property
    def num_cameras(self) -> int:
        """Number of cameras."""
        return len(self.sizes)

    def rays(
        self, numbers: Int64[Tensor, " n"], pixels: Float[Tensor, "n 2"]
    ) -> tuple[Float32[Tensor, "n 3"], Float32[Tensor, "n 3"]]:
        """Return origins and unit directions of rays through places of pictures.

        Args:
            numbers: Which camera each ray belongs to.
            pixels: x and y in pixels from the top left corner of its picture; the
                centre of the first pixel is (0.5, 0.5).

        Returns:
            Two tensors of a row for each ray.
        """
        values = self.values.index_select(0, numbers)
        plane = (pixels.float() - values[:, 12:14]) * values[:, 14:]
        right, down, forward = values[:, :3], values[:, 3:6], values[:, 6:9]
        if self.lenses is None:
            along = torch.addcmul(forward, plane[:, :1], right)
        else:
            local = self._through_lenses(numbers, plane)
            plane = local[:, :2]
            along = torch.addcmul(local[:, 2:] * forward, plane[:, :1], right)
        along = along.addcmul_(plane[:, 1:], down)
        directions = along.div_(torch.linalg.vector_norm(along, dim=1, keepdim=True))
        return values[:, 9:12], directions

    def _through_lenses(
        self, numbers: Int64[Tensor, " n"], plane: Float32[Tensor, "n 2"]
    ) -> Float32[Tensor, "n 3"]:
        """Return what is right, down and forward of points of the pictures."""
        assert self.lenses is not None
        coefficients = self.lenses.index_select(0, numbers)
        if not self.num_fisheyes:
            return perspective_directions(plane, coefficients, steps=QUICK_STEPS)
        if self.num_fisheyes == self.num_cameras:
            return fisheye_directions(plane, coefficients, steps=QUICK_STEPS)
        return torch.where(
            self.are_fisheyes.index_select(0, numbers)[:, None],
            fisheye_directions(plane, coefficients, steps=QUICK_STEPS),
            perspective_directions(plane, coefficients, steps=QUICK_STEPS),
        )
