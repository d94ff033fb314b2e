"""Write a scene in Blender's format of NeRF: a file of cameras for each split, PNGs."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from tangrid.errors import ConfigError
from tangrid.runs.plain_json import to_json
from tangrid.runs.writing import unwritable, write_whole
from tangrid.signals.camera import Camera
from tangrid.signals.formats.blender_scene import HALF_SIDE
from tangrid.signals.formats.scene_draft import SplitName
from tangrid.signals.scene import Scene, View


def write_blender(folder: Path, scene: Scene) -> None:
    """Write a scene so that other programs read it, and tangrid the same again.

    Photographs are named by their splits and numbers. Cameras that have no lens and
    their axis through the middle are written as NeRF's authors did, by one angle;
    others by the keys of instant-ngp in every frame.

    Args:
        folder: A new folder, or an empty one.
        scene: An object in the box of this format, which has no other.

    Raises:
        ConfigError: If the scene does not fit into the format, or the folder is taken.
        DataError: If a file cannot be written.
    """
    _check_fit(scene)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder}: expected a new or empty folder, got one that is taken. Choose "
            "another."
        )
    for split in get_args(SplitName):
        views = [view for view in scene.views if view.split == split]
        if views:
            _write_split(folder, split, views)


def _check_fit(scene: Scene) -> None:
    wanted = ((-HALF_SIDE,) * 3, (HALF_SIDE,) * 3)
    if scene.scope != "object" or (scene.low, scene.high) != wanted:
        raise ConfigError(
            f"write_blender: expected an object in a box of {-HALF_SIDE:g} to "
            f"{HALF_SIDE:g}, got '{scene.name}' ({scene.scope}) in {scene.low} to "
            f"{scene.high}. The format has no other box; move and scale the scene."
        )


def _write_split(folder: Path, split: SplitName, views: Sequence[View]) -> None:
    place = folder / split
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(place, error) from error
    angles = {_angle(view.camera) for view in views}
    shared = angles.pop() if len(angles) == 1 else None
    frames = []
    for number, view in enumerate(views):
        file = io.BytesIO()
        Image.fromarray(view.pixels).save(file, "PNG")
        write_whole(place / f"r_{number}.png", file.getvalue())
        own = {} if shared is not None else _intrinsics(view.camera)
        frames.append({
            "file_path": f"./{split}/r_{number}",
            **own,
            "transform_matrix": view.camera.pose,
        })
    content: dict[str, Any] = {"frames": frames}
    if shared is not None:
        content = {"camera_angle_x": shared, **content}
    write_whole(folder / f"transforms_{split}.json", to_json(content))


def _angle(camera: Camera) -> float | None:
    """Return the angle of view that says all of a camera, None where it does not."""
    middle = (camera.width / 2, camera.height / 2)
    is_square = camera.focal[0] == camera.focal[1]
    if not (is_square and camera.lens.is_plain and camera.principal_point == middle):
        return None
    return 2 * math.atan(camera.width / 2 / camera.focal[0])


def _intrinsics(camera: Camera) -> dict[str, Any]:
    return {
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal[0],
        "fl_y": camera.focal[1],
        "cx": camera.principal_point[0],
        "cy": camera.principal_point[1],
        **vars(camera.lens),
    }
