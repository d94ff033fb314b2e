"""A pinhole camera and ways to place it around the unit box.

A pose is camera to world as in OpenGL: x goes right, y up, and the camera looks along
its own -z. In the world, y is up.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError

CENTRE = (0.5, 0.5, 0.5)
"""The middle of the unit box."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera with square pixels and its axis through the middle."""

    pose: Float[np.ndarray, "4 4"]
    """Camera to world, float64, read-only."""
    width: int
    """Pixels along x."""
    height: int
    """Pixels along y."""
    focal: float
    """Distance from the pinhole to the picture, in pixels."""

    def __post_init__(self) -> None:
        """Refuse what is no camera.

        Raises:
            ShapeError: If the pose is no 4 x 4 matrix.
            ConfigError: If a size or the focal length is out of range.
        """
        pose = np.array(self.pose, dtype=np.float64)
        if pose.shape != (4, 4):
            raise ShapeError(
                f"Camera: expected a pose of 4 x 4, got shape {pose.shape}. Give the "
                "matrix from camera to world, with the last row 0 0 0 1."
            )
        if self.width < 1 or self.height < 1 or not self.focal > 0:
            raise ConfigError(
                "Camera: expected at least one pixel on each side and a positive focal "
                f"length, got {self.width} x {self.height} and {self.focal:g}. The "
                "focal length is counted in pixels."
            )
        pose.flags.writeable = False
        object.__setattr__(self, "pose", pose)

    def rays(
        self, rows: range | None = None
    ) -> tuple[Float32[Tensor, "n 3"], Float32[Tensor, "n 3"]]:
        """Return origins and unit directions of the rays through pixel centres.

        Args:
            rows: Rows of the picture, from 0 at the top; None for all.

        Returns:
            Two tensors of a row for each pixel, row by row from the top left.

        Example:
            >>> camera = orbit(0.0, 0.0, distance=2.0, width=3, height=3)
            >>> origins, directions = camera.rays()
            >>> directions[4].tolist()
            [0.0, 0.0, -1.0]
        """
        x = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        numbers = np.arange(self.height) if rows is None else np.array(rows)
        y = (self.height / 2 - numbers - 0.5) / self.focal
        right, up = np.meshgrid(x, y)
        local = np.stack((right, up, -np.ones_like(right)), axis=-1).reshape(-1, 3)
        directions = local @ self.pose[:3, :3].T
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        origins = np.broadcast_to(self.pose[:3, 3], directions.shape)
        return (
            torch.from_numpy(origins.astype(np.float32)),
            torch.from_numpy(directions.astype(np.float32)),
        )

    @property
    def pixel_side(self) -> float:
        """The length that a pixel covers at the distance of the box's centre."""
        distance = np.linalg.norm(self.pose[:3, 3] - np.array(CENTRE))
        return float(distance) / self.focal

    def finer(self, factor: int) -> "Camera":
        """Return the same view with more pixels.

        Args:
            factor: Pixels of the new camera along each side of one of these.
        """
        return Camera(
            pose=self.pose,
            width=self.width * factor,
            height=self.height * factor,
            focal=self.focal * factor,
        )


def orbit(
    azimuth: float,
    elevation: float,
    *,
    centre: tuple[float, float, float] = CENTRE,
    distance: float,
    width: int,
    height: int,
    field_of_view: float = 30.0,
) -> Camera:
    """Place a camera on a sphere, looking at its centre.

    Args:
        azimuth: Degrees around y; 0 looks along -z, 90 along -x.
        elevation: Degrees above the horizon; 90 looks straight down.
        centre: The point in the middle of the picture.
        distance: Radius of the sphere.
        width: Pixels along x.
        height: Pixels along y.
        field_of_view: Degrees across the shorter side of the picture.

    Returns:
        The camera; x stays level.

    Raises:
        ConfigError: If distance or field of view are out of range.
    """
    if not (distance > 0 and 0 < field_of_view < 180):
        raise ConfigError(
            "orbit: expected a positive distance and a field of view between 0 and 180 "
            f"degrees, got {distance:g} and {field_of_view:g}. A distance of 2.2 and "
            "30 degrees show a shape that fills the unit box."
        )
    around, above = math.radians(azimuth), math.radians(elevation)
    # x stays level, so it exists at the poles too, where "up" has no direction.
    right = np.array([math.cos(around), 0.0, -math.sin(around)])
    back = np.array([
        math.cos(above) * math.sin(around),
        math.sin(above),
        math.cos(above) * math.cos(around),
    ])
    pose = np.eye(4)
    pose[:3, :3] = np.stack((right, np.cross(back, right), back), axis=1)
    pose[:3, 3] = np.asarray(centre) + distance * back
    focal = min(width, height) / 2 / math.tan(math.radians(field_of_view) / 2)
    return Camera(pose=pose, width=width, height=height, focal=focal)


def turntable(
    count: int,
    elevation: float,
    *,
    centre: tuple[float, float, float] = CENTRE,
    distance: float,
    width: int,
    height: int,
    field_of_view: float = 30.0,
) -> list[Camera]:
    """Place cameras evenly around a centre, the first at azimuth 0.

    Args:
        count: Number of cameras.
        elevation: Degrees above the horizon.
        centre: The point in the middle of each picture.
        distance: Distance of the cameras from the centre.
        width: Pixels along x.
        height: Pixels along y.
        field_of_view: Degrees across the shorter side of the picture.

    Returns:
        The cameras, by growing azimuth.

    Raises:
        ConfigError: If there is no camera to place.
    """
    if count < 1:
        raise ConfigError(
            f"turntable: expected at least one camera, got {count}. Some 60 make a "
            "smooth turn."
        )
    return [
        orbit(
            360.0 * number / count,
            elevation,
            centre=centre,
            distance=distance,
            width=width,
            height=height,
            field_of_view=field_of_view,
        )
        for number in range(count)
    ]
