"""A camera: where it stands, what its pixels see.

A pose is camera to world as in OpenGL: x goes right, y up, and the camera looks along
its own -z. Places in the picture are counted in pixels from its top left corner, x
rightward and y downward, so that the centre of the first pixel is (0.5, 0.5).
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from tangrid.errors import ConfigError, ShapeError
from tangrid.signals.lens import Lens

_RIGID = 1e-3
"""How far axes may be from unit length and from right angles; files round them."""

_LARGEST = 1e15
"""More than any place in a scene; squares and products stay finite."""

FLIP = np.array([1.0, -1.0, -1.0])
"""Turns right, down, forward into the camera's own right, up, back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A camera with a pinhole or with a lens.

    Example:
        >>> camera = Camera(pose=np.eye(4), width=4, height=2, focal=(2.0, 2.0))
        >>> camera.principal_point, camera.coarser(2).focal
        ((2.0, 1.0), (1.0, 1.0))
    """

    pose: Float[np.ndarray, "4 4"]
    """Camera to world, float64, read-only."""
    width: int
    """Pixels along x."""
    height: int
    """Pixels along y."""
    focal: tuple[float, float]
    """Distance from the pinhole to the picture, in pixels along x and along y."""
    centre: tuple[float, float] | None = None
    """Where the axis meets the picture, in pixels; None for the middle."""
    lens: Lens = field(default_factory=Lens)
    """What bends the rays."""

    def __post_init__(self) -> None:
        """Refuse what is no camera, and make plain floats of lengths.

        Raises:
            ShapeError: If the pose is no 4 x 4 matrix.
            ConfigError: If the pose is not rigid, or a number is out of range.
        """
        pose = np.array(self.pose, dtype=np.float64)
        if pose.shape != (4, 4):
            raise ShapeError(
                f"Camera: expected a pose of 4 x 4, got shape {pose.shape}. Give the "
                "matrix from camera to world, with the last row 0 0 0 1."
            )
        check_rigid(pose)
        # Numbers of other kinds are equal to these, and yet are written otherwise.
        x, y = (float(length) for length in self.focal)
        object.__setattr__(self, "focal", (x, y))
        if self.centre is not None:
            across, down = (float(place) for place in self.centre)
            object.__setattr__(self, "centre", (across, down))
        others = (*(self.centre or ()), *self.lens.coefficients)
        if not np.isfinite(others).all():
            raise ConfigError(
                "Camera: expected a finite principal point and finite coefficients of "
                f"the lens, got {self.centre} and {self.lens.as_words()}. Use None and "
                "Lens() for a plain camera."
            )
        is_focal = min(x, y) > 1 / _LARGEST and max(x, y) < _LARGEST
        if self.width < 1 or self.height < 1 or not is_focal:
            raise ConfigError(
                "Camera: expected at least one pixel on each side and a positive focal "
                f"length, got {self.width} x {self.height} and {x:g}, {y:g}. The "
                "focal length is counted in pixels."
            )
        pose.flags.writeable = False
        object.__setattr__(self, "pose", pose)

    @property
    def principal_point(self) -> tuple[float, float]:
        """Where the axis meets the picture, in pixels."""
        return self.centre or (self.width / 2, self.height / 2)

    @property
    def position(self) -> Float[np.ndarray, " 3"]:
        """Where the camera stands in the world."""
        return self.pose[:3, 3]

    def rays(
        self, rows: range | None = None
    ) -> tuple[Float32[Tensor, "n 3"], Float32[Tensor, "n 3"]]:
        """Return origins and unit directions of the rays through pixel centres.

        Args:
            rows: Rows of the picture, from 0 at the top; None for all.

        Returns:
            Two tensors of a row for each pixel, row by row from the top left.

        Example:
            >>> camera = Camera(pose=np.eye(4), width=3, height=3, focal=(3.0, 3.0))
            >>> origins, directions = camera.rays()
            >>> directions[4].tolist()
            [0.0, 0.0, -1.0]
        """
        numbers = range(self.height) if rows is None else rows
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.array(numbers) + 0.5)
        directions = self.directions(np.stack((x, y), axis=-1).reshape(-1, 2))
        origins = np.broadcast_to(self.position, directions.shape)
        return (
            torch.from_numpy(origins.astype(np.float32)),
            torch.from_numpy(directions.astype(np.float32)),
        )

    def directions(self, places: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        """Return the unit directions that are seen at places of the picture.

        Args:
            places: x and y in pixels.

        Returns:
            float64, in the world's axes.
        """
        plane = (places - self.principal_point) / self.focal
        local = self.lens.directions(torch.from_numpy(plane)).numpy()
        along = local @ (self.pose[:3, :3] * FLIP).T
        # Adding zero turns the -0 of the flip into 0.
        return along / np.linalg.norm(along, axis=1, keepdims=True) + 0.0

    @property
    def corners(self) -> Float[np.ndarray, "4 3"]:
        """Return the unit directions at the corners, around from the top left."""
        right, bottom = float(self.width), float(self.height)
        places = np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
        return self.directions(places)

    @property
    def pixel_side(self) -> float:
        """The length that a pixel covers at the distance of the unit box's centre."""
        return float(np.linalg.norm(self.position - 0.5)) / min(self.focal)

    def finer(self, factor: int) -> "Camera":
        """Return the same view with more pixels.

        Args:
            factor: Pixels of the new camera along each side of one of these.
        """
        return self._scaled(self.width * factor, self.height * factor, float(factor))

    def coarser(self, factor: int) -> "Camera":
        """Return the same view with fewer pixels, each the mean of a square of these.

        Args:
            factor: Side of the squares. Pixels beyond the last whole square are left
                out, as `tangrid.signals.downscale.area_average` leaves them out.
        """
        return self._scaled(self.width // factor, self.height // factor, 1 / factor)

    def _scaled(self, width: int, height: int, scale: float) -> "Camera":
        x, y = self.principal_point
        centre = (x * scale, y * scale)
        is_middle = self.centre is None and centre == (width / 2, height / 2)
        return replace(
            self,
            width=width,
            height=height,
            focal=(self.focal[0] * scale, self.focal[1] * scale),
            centre=None if is_middle else centre,
        )


@np.errstate(all="ignore")
def check_rigid(pose: Float[np.ndarray, "4 4"]) -> None:
    """Refuse a pose that does more than turn and move.

    Args:
        pose: Camera to world.

    Raises:
        ConfigError: If it is not finite, or stretches, bends or mirrors; what files
            lose by rounding is accepted.
    """
    is_number = np.abs(pose) <= _LARGEST
    if not is_number.all():
        bad = int((~is_number).sum())
        raise ConfigError(
            f"Camera: expected a pose of finite numbers, got {bad} of 16 that are not. "
            "Leave this view out, or repair its pose."
        )
    axes = pose[:3, :3]
    error = float(np.abs(axes.T @ axes - np.eye(3)).max())
    # The squares of lengths differ by twice as much as the lengths.
    is_rigid = error <= 2 * _RIGID and np.linalg.det(axes) > 0
    if not is_rigid or np.abs(pose[3] - (0, 0, 0, 1)).max() > _RIGID:
        lengths = ", ".join(f"{length:.4g}" for length in np.linalg.norm(axes, axis=0))
        raise ConfigError(
            "Camera: expected a pose that turns and moves only, with the last row "
            f"0 0 0 1, got axes of lengths {lengths} with determinant "
            f"{np.linalg.det(axes):.4g} and the last row "
            f"{' '.join(f'{number:g}' for number in pose[3])}. Give the matrix from "
            "camera to world, with right, up and back as its columns."
        )
