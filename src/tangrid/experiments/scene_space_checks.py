"""Refuse a space in which a scene cannot be fitted, before anything is."""

import numpy as np
import torch

from tangrid.errors import ConfigError
from tangrid.rendering.scene_space import SceneSpace
from tangrid.signals.camera import Camera
from tangrid.signals.scene import Scene

_GLANCES = 17
"""Rays along each side of a picture that look for the box; the middle is one."""


def check_space(space: SceneSpace, signal: Scene) -> None:
    """Refuse settings of space that would change nothing, or a box that is not seen.

    Args:
        space: Where the scene is to be fitted.
        signal: The scene.

    Raises:
        ConfigError: If there is such a setting, or no ray of training meets the box.
    """
    if space.outside == "contracted" and space.cascades == 1:
        raise ConfigError(
            "space.outside: expected contracted space where there are boxes outside "
            "the first, got space.cascades=1. Say --set space.cascades=5 too, or leave "
            "space.outside as it is."
        )
    limits = f"{space.near:g} and {space.far:g}"
    if space.ndc is not None and (space.near, space.far) != (signal.near, signal.far):
        raise ConfigError(
            "space.near and space.far: expected none in normalised device coordinates, "
            f"which say the planes themselves, got {limits}. Leave them out, or fit "
            "the scene in the world with --no-ndc."
        )
    if any(_sees(view.camera, space) for view in signal.of_split("train")):
        return
    between = "" if space.ndc is not None else f" between near and far, {limits}"
    raise ConfigError(
        f"space: expected a box that training cameras see, got one from {space.low} to "
        f"{space.high}, which no ray of theirs meets{between}. Say another box with "
        "--set space.low=X,Y,Z and --set space.high=X,Y,Z; `tangrid check data` tells "
        "where the cameras look."
    )


def _sees(camera: Camera, space: SceneSpace) -> bool:
    """Return whether the box is in a picture, as far as some rays through it tell."""
    across = np.linspace(0, camera.width, _GLANCES)
    down = np.linspace(0, camera.height, _GLANCES)
    places = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
    directions = torch.from_numpy(camera.directions(places))
    origins = torch.from_numpy(camera.position.copy()).expand_as(directions)
    return bool(space.is_met(origins, directions).any())
