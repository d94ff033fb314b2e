"""Cameras of a browser: where they begin, and what they are in this house.

viser's cameras look along their own +z with y down, as OpenCV's; `Camera` looks along
-z with y up. A browser says the angle of view from top to bottom, and how wide its
window is; its pixels need not be square, since it stretches a picture to the window.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from tangrid.rendering.scene_space import SceneSpace
from tangrid.signals.camera import FLIP, Camera

_BESIDE = np.array([0.75, -1.0, 0.6]) / np.linalg.norm([0.75, -1.0, 0.6])
"""Where a camera stands of which nothing is known, seen from the box."""
Y_UP, Z_UP = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
_USUAL_ANGLE = math.radians(40)


@dataclass(frozen=True, kw_only=True, eq=False)
class BrowserCamera:
    """A camera as viser has it.

    Example:
        >>> camera = Camera(pose=np.eye(4), width=4, height=2, focal=(1.0, 1.0))
        >>> seen = BrowserCamera.of(camera)
        >>> seen.wxyz.round(3).tolist(), round(math.degrees(seen.angle))
        ([0.0, 1.0, 0.0, 0.0], 90)
    """

    wxyz: Float[np.ndarray, " 4"]
    """Rotation from its right, down, forward to the world, as a unit quaternion."""
    position: Float[np.ndarray, " 3"]
    """Where it stands in the world."""
    angle: float
    """Radians from the top of the window to the bottom."""
    aspect: float
    """Width of the window over its height."""

    @classmethod
    def of(cls, camera: Camera) -> "BrowserCamera":
        """Return a camera as viser has it, about the middle of its picture.

        Args:
            camera: Its lens and its principal point are left out.
        """
        x, y, z, w = Rotation.from_matrix(camera.pose[:3, :3] * FLIP).as_quat()
        return cls(
            wxyz=np.array([w, x, y, z]),
            position=camera.position,
            angle=angle_of(camera),
            aspect=camera.width / camera.focal[0] * camera.focal[1] / camera.height,
        )

    def camera(self, height: int) -> Camera:
        """Return the camera of a picture that fills the window.

        Args:
            height: Pixels of the picture from top to bottom.
        """
        w, x, y, z = self.wxyz
        pose = np.eye(4)
        pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix() * FLIP
        pose[:3, 3] = self.position
        width = max(round(self.aspect * height), 1)
        half = math.tan(self.angle / 2)
        focal = width / 2 / (half * self.aspect), height / 2 / half
        return Camera(pose=pose, width=width, height=height, focal=focal)


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """Where the camera of a new window stands."""

    position: Float[np.ndarray, " 3"]
    """Its place in the world."""
    target: Float[np.ndarray, " 3"]
    """The point that it looks at, and that it is turned around."""
    up: Float[np.ndarray, " 3"] = field(default_factory=Z_UP.copy)
    """What is up in the scene; the horizon is level."""
    angle: float = _USUAL_ANGLE
    """Radians from the top of the window to the bottom."""

    @classmethod
    def at(
        cls, camera: Camera, space: SceneSpace, up: Float[np.ndarray, " 3"]
    ) -> "Start":
        """Return the place of a known camera.

        Args:
            camera: The camera.
            space: Where the scene lies; its middle is as far away as the target.
            up: What is up in the scene.
        """
        forward = -camera.pose[:3, 2]
        distance = float(forward @ (_middle(space) - camera.position))
        if distance <= 0:
            distance = float(np.linalg.norm(space.sides)) / 2
        return cls(
            position=camera.position,
            target=camera.position + distance * forward,
            up=up,
            angle=angle_of(camera),
        )

    @classmethod
    def before(cls, space: SceneSpace) -> "Start":
        """Return a place for a scene whose cameras are not known.

        Args:
            space: Where the scene lies.
        """
        middle = _middle(space)
        if space.ndc is not None:
            angle = 2 * math.atan(1 / space.ndc.y_scale)
            return cls(position=np.zeros(3), target=middle, up=Y_UP, angle=angle)
        # Cameras of what is larger than the box have stood in the box.
        far = 1.0 if space.cascades == 1 else 0.25
        distance = far * float(np.linalg.norm(space.sides))
        return cls(position=middle + distance * _BESIDE, target=middle)


def angle_of(camera: Camera) -> float:
    """Return the radians from the top of a camera's picture to the bottom.

    Args:
        camera: The camera.
    """
    return 2 * math.atan(camera.height / 2 / camera.focal[1])


def _middle(space: SceneSpace) -> Float[np.ndarray, " 3"]:
    return space.world(torch.full((1, 3), 0.5))[0].numpy().astype(np.float64)
