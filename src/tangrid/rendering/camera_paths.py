"""Ways to place a camera around the unit box. In the world, y is up."""

import math

import numpy as np

from tangrid.errors import ConfigError
from tangrid.signals.camera import Camera

CENTRE = (0.5, 0.5, 0.5)
"""The middle of the unit box."""


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
    return Camera(pose=pose, width=width, height=height, focal=(focal, focal))


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
