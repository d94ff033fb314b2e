"""Ways of a camera through a scene that the scene's own cameras suggest."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from tangrid.errors import ConfigError
from tangrid.rendering.camera_paths import turntable
from tangrid.signals.camera import Camera
from tangrid.signals.formats.llff_scene import average_pose
from tangrid.signals.scene_check import meeting_point

_LEAST_TURN = 1e-2
"""Share of the squared sides to the right that says something of which way is up."""
_LEAST_AGREEMENT = 0.7
"""Length of the mean of directions from which they are about the same."""
_TURNS = 2
_NEARER_SHARE = 0.75
_FAR_FACTOR = 5.0
_PERCENTILE = 90


def at_size(
    camera: Camera, width: int | None = None, height: int | None = None
) -> Camera:
    """Return the same view with another number of pixels, which stay as square.

    All of the view is seen; where the picture has another shape, more is seen beside.

    Args:
        camera: The view.
        width: Pixels along x; None for as many as follow from the height.
        height: Pixels along y; None for as many as follow from the width.

    Example:
        >>> camera = Camera(pose=np.eye(4), width=40, height=20, focal=(50.0, 50.0))
        >>> half, square = at_size(camera, 20), at_size(camera, 20, 20)
        >>> (half.height, half.focal), (square.height, square.focal)
        ((10, (25.0, 25.0)), (20, (25.0, 25.0)))
    """
    scales = [
        new / old
        for new, old in ((width, camera.width), (height, camera.height))
        if new is not None
    ]
    scale = min(scales, default=1.0)
    width = width or max(round(camera.width * scale), 1)
    height = height or max(round(camera.height * scale), 1)
    centre = camera.centre
    if centre is not None:
        x, y = centre
        centre = (
            width / 2 + scale * (x - camera.width / 2),
            height / 2 + scale * (y - camera.height / 2),
        )
    focal = (scale * camera.focal[0], scale * camera.focal[1])
    return replace(camera, width=width, height=height, focal=focal, centre=centre)


def looked_at(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    """Return the point that is nearest to the axes of all cameras.

    Args:
        cameras: At least two.

    Returns:
        The point of the least sum of squared distances.

    Raises:
        ConfigError: If the cameras look the same way, or away from each other.
    """
    point = meeting_point(cameras)
    if point is None:
        raise _no_orbit("that all look the same way")
    before = [(point - one.position) @ -one.pose[:3, 2] > 0 for one in cameras]
    if np.mean(before) < 0.5:
        raise _no_orbit("that look away from each other")
    return point


def _no_orbit(found: str) -> ConfigError:
    return ConfigError(
        f"path orbit: expected cameras that look at one place, got cameras {found}. "
        "Choose the path spiral, or give cameras of your own."
    )


def upward(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    """Return the direction that is up for cameras which are held level.

    It is the one to which their right sides are most nearly at right angles. Where they
    hardly turn, several are, of which the one nearest to their mean up is returned.

    Args:
        cameras: At least one.

    Raises:
        ConfigError: If their ups cancel out.
    """
    rights = np.stack([camera.pose[:3, 0] for camera in cameras])
    mean = np.mean([camera.pose[:3, 1] for camera in cameras], axis=0)
    values, axes = np.linalg.eigh(rights.T @ rights)
    is_level = values < _LEAST_TURN * values[-1]
    is_level[0] = True
    level = axes[:, is_level]
    found = level @ (level.T @ mean)
    length = float(np.linalg.norm(found))
    if length < 1e-6:
        raise ConfigError(
            "path: expected cameras that agree on which way is up, got some that are "
            "held every way. Give cameras of your own."
        )
    return found / length


def orbit_around(cameras: Sequence[Camera], count: int) -> list[Camera]:
    """Place cameras evenly around what some others look at.

    The circle has their mean distance from it and their mean elevation above it.

    Args:
        cameras: Those of a scene.
        count: Number of new ones, which have the optics of the first, without a lens.

    Returns:
        Level cameras, the first in the direction of the first one given.

    Raises:
        ConfigError: If they look at no place in common.
    """
    centre, up = looked_at(cameras), upward(cameras)
    offsets = np.stack([camera.position - centre for camera in cameras])
    distances = np.linalg.norm(offsets, axis=1)
    sines = (offsets @ up / np.maximum(distances, 1e-12)).clip(-1, 1)
    elevation = math.degrees(float(np.arcsin(sines).mean()))
    back = offsets[0] - (offsets[0] @ up) * up
    if np.linalg.norm(back) < 1e-6 * distances[0]:
        # The first one looks straight down: its up is where it would look from.
        back = -cameras[0].pose[:3, 1] + (cameras[0].pose[:3, 1] @ up) * up
    back /= np.linalg.norm(back)
    frame = np.eye(4)
    frame[:3] = np.stack((np.cross(up, back), up, back, centre), axis=1)
    around = turntable(
        count,
        elevation,
        centre=(0.0, 0.0, 0.0),
        distance=float(distances.mean()),
        width=1,
        height=1,
    )
    return [_placed(cameras[0], frame @ camera.pose) for camera in around]


def spiral(
    cameras: Sequence[Camera], count: int, *, near: float, far: float
) -> list[Camera]:
    """Place cameras on a spiral before a scene that all cameras look at one way.

    It goes twice around the average camera, as widely as nine tenths of the cameras are
    from it, and to and fro once. All look at a point between near and far.

    Args:
        cameras: Those of a scene.
        count: Number of new ones, which have the optics of the first, without a lens.
        near: Least depth of what they see.
        far: Largest depth; it may be infinite.

    Returns:
        The cameras; the last is as near to the first as to the one before.

    Raises:
        ConfigError: If the cameras do not look the same way, or none is to be placed.

    References:
        [mildenhall2019]
    """
    poses = np.stack([camera.pose for camera in cameras])
    agreement = float(np.linalg.norm(poses[:, :3, 2].mean(0)))
    if agreement < _LEAST_AGREEMENT:
        raise ConfigError(
            "path spiral: expected cameras that look about the same way, got some that "
            "look at it from all around. Choose the path orbit, or give cameras of "
            "your own."
        )
    if not (count >= 1 and near > 0):
        raise ConfigError(
            "path spiral: expected at least one camera and a positive depth of what it "
            f"sees, got {count} and {near:g}. Give cameras of your own."
        )
    middle = average_pose(poses)
    axes, position = middle[:3, :3], middle[:3, 3]
    places = np.stack([camera.position - position for camera in cameras]) @ axes
    radii = np.percentile(np.abs(places), _PERCENTILE, axis=0)
    # The mean of the inverse depths: what is near moves most.
    depth = 1 / ((1 - _NEARER_SHARE) / near + _NEARER_SHARE / (_FAR_FACTOR * far))
    target = position - depth * axes[:, 2]
    angles = 2 * math.pi * _TURNS * np.arange(count) / count
    waves = np.stack((np.cos(angles), -np.sin(angles), -np.sin(angles / 2)), axis=1)
    return [
        _placed(cameras[0], _looking(position + axes @ (wave * radii), target, middle))
        for wave in waves
    ]


def _looking(
    position: np.ndarray, target: np.ndarray, middle: np.ndarray
) -> Float[np.ndarray, "4 4"]:
    """Return a pose that looks at a target, with the up of another pose."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross(middle[:3, 1], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack((right, np.cross(back, right), back, position), axis=1)
    return pose


def _placed(like: Camera, pose: Float[np.ndarray, "4 4"]) -> Camera:
    """Return a pinhole of the focal length of another camera."""
    return Camera(pose=pose, width=like.width, height=like.height, focal=like.focal)
