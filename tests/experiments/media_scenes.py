"""Even media in scenes of every kind, of which it is known where rays end."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene
from tangrid.rendering.volume import MarchSettings
from tangrid.signals.camera import Camera
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tests.rendering.media import EvenMedium

NDC = NdcFrame(x_scale=2.0, y_scale=2.0, near=1.0)
NDC_SPACE = SceneSpace(low=NDC_LOW, high=NDC_HIGH, near=0.0, far=1.0, ndc=NDC)
STEP = 1 / 512


def medium(
    inside: Callable[[Tensor], Tensor], space: SceneSpace, density: float = 2000.0
) -> RadianceScene:
    """A medium that hides what is behind it within a thousandth of the box."""
    grid = OccupancySettings(resolution=32)
    return RadianceScene(
        field=EvenMedium(inside, density),
        space=space,
        occupancy=Occupancy(grid, (STEP,) * space.cascades),
        march=MarchSettings(step=STEP, least_transmittance=1e-4),
    )


def wall(coords: Tensor) -> Tensor:
    """From 2 to 10 units before the average camera, in device coordinates."""
    return (coords[:, 2] > 0.5) & (coords[:, 2] < 0.9)


def window(x: float = 0.0, y: float = 0.0, side: int = 16) -> Camera:
    """A camera that looks along -z, as the average one of a forward-facing scene."""
    pose = np.eye(4)
    pose[:2, 3] = x, y
    return Camera(pose=pose, width=side, height=side, focal=(1.0 * side, 1.0 * side))
