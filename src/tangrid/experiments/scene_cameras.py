"""The cameras of a scene, kept with a fit: no photograph is needed to draw its views.

They are kept as instant-ngp and nerfstudio list them, in the frame in which the scene
was fitted, so that a file of cameras to look from may be made from this one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from tangrid.errors import ConfigError, DataError
from tangrid.runs.store import RunFolder
from tangrid.runs.writing import unreadable
from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SplitName, brief, read_pose
from tangrid.signals.formats.transforms_frames import read_optics
from tangrid.signals.scene import Scene
from tangrid.signals.scene_bounds import Scope
from tangrid.signals.view import View

CAMERAS_FILE = "cameras.json"

_OTHER_NAMES = {"width": "w", "height": "h"}


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedCamera:
    """A camera and what it is called."""

    name: str
    """Path of its photograph relative to the scene, or a name with its number."""
    camera: Camera
    """Where it stands, in the frame in which the scene was fitted."""
    split: SplitName | None = None
    """What its photograph was for; None for a camera without one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneCameras:
    """All cameras that photographed a scene."""

    views: tuple[NamedCamera, ...]
    """The cameras of all splits."""
    scope: Scope
    """Kind of scene."""
    has_alpha: bool
    """Whether photographs are transparent where nothing is."""

    @property
    def training(self) -> tuple[NamedCamera, ...]:
        """Those whose photographs were trained on."""
        return self._of_split("train")

    @property
    def heldout(self) -> tuple[NamedCamera, ...]:
        """Those whose photographs judge the fit: for the test, or for validation."""
        return self._of_split("test") or self._of_split("val")

    def _of_split(self, name: SplitName) -> tuple[NamedCamera, ...]:
        return tuple(view for view in self.views if view.split == name)


def keep_cameras(folder: RunFolder, scene: Scene) -> None:
    """Write the cameras of a scene into the folder of a fit.

    Args:
        folder: The run.
        scene: What it fits.
    """
    value = {
        "scope": scene.scope,
        "has_alpha": any(view.has_alpha for view in scene.views),
        "frames": [_plain(view) for view in scene.views],
    }
    folder.write_json(CAMERAS_FILE, value)


def _plain(view: View) -> dict[str, Any]:
    camera = view.camera
    keys: dict[str, Any] = {
        "file_path": view.name,
        "split": view.split,
        "transform_matrix": camera.pose,
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.focal[0],
        "fl_y": camera.focal[1],
    }
    if camera.centre is not None:
        keys["cx"], keys["cy"] = camera.centre
    if not camera.lens.is_plain:
        keys |= {
            field.name: getattr(camera.lens, field.name)
            for field in fields(camera.lens)
        }
    return keys


def kept_cameras(folder: RunFolder | None) -> SceneCameras:
    """Return the cameras that were kept with a fit.

    Args:
        folder: The folder of the run; None for a run that kept nothing.

    Raises:
        DataError: If it holds none, or the file is damaged.
    """
    where = "this run" if folder is None else str(folder.path)
    if folder is None or not folder.has(CAMERAS_FILE):
        is_done = folder is None or folder.has("metrics.json")
        to_do = "Fit the scene again" if is_done else "Repeat its command with --resume"
        raise DataError(
            f"{where}: expected the cameras of the scene in {CAMERAS_FILE}, got a run "
            f"without this file. {to_do}: a fit that has a folder keeps them."
        )
    path = folder.path / CAMERAS_FILE
    content = folder.read_json(CAMERAS_FILE)
    scope, has_alpha = content.get("scope"), content.get("has_alpha")
    views = _read_frames(path, content, usual_size=None)
    is_known = scope in get_args(Scope) and all(view.split for view in views)
    if not is_known or scope is None or not isinstance(has_alpha, bool):
        raise DataError(
            f"{path}: expected the scope of the scene and a split for each camera, got "
            "a file without them. It is damaged, or from another version; fit again."
        )
    return SceneCameras(views=views, scope=scope, has_alpha=has_alpha)


def read_cameras(
    path: Path, *, usual_size: tuple[int, int] | None = None
) -> tuple[NamedCamera, ...]:
    """Read cameras that somebody wrote down.

    Args:
        path: JSON of one camera, of a list of them, or a transforms.json. A camera has
            a transform_matrix (camera to world, OpenGL axes), width and height, and
            fl_x or camera_angle_x.
        usual_size: Pixels along x and y where a file says only an angle.

    Returns:
        The cameras in the order of the file.

    Raises:
        DataError: If it cannot be read, or describes no camera.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected JSON, got text that is none ({error}). The file may be "
            "cut short or damaged; write it again."
        ) from error
    if isinstance(content, list):
        content = {"frames": content}
    elif isinstance(content, dict) and "frames" not in content:
        content = {"frames": [content]}
    return _read_frames(path, content, usual_size=usual_size)


def _read_frames(
    path: Path,
    content: Any,  # noqa: ANN401
    *,
    usual_size: tuple[int, int] | None,
) -> tuple[NamedCamera, ...]:
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        got = "none" if frames == [] else brief(content)
        raise DataError(
            f"{path}: expected a camera or a list of cameras, got {got}. Each "
            "has a transform_matrix, width, height and fl_x, or camera_angle_x."
        )
    shared = {name: value for name, value in content.items() if name != "frames"}
    return tuple(
        _read_frame(f"{path}, camera {number}", number, shared, keys, usual_size)
        for number, keys in enumerate(frames)
    )


def _read_frame(
    where: str,
    number: int,
    shared: Mapping[str, Any],
    keys: object,
    usual_size: tuple[int, int] | None,
) -> NamedCamera:
    if not isinstance(keys, dict):
        raise DataError(
            f"{where}: expected an object with a transform_matrix, got {brief(keys)}. "
            "Write one for each camera."
        )
    said = {
        _OTHER_NAMES.get(str(key), str(key)): value
        for key, value in {**shared, **keys}.items()
    }
    name, split = said.get("file_path"), said.get("split")
    pose = read_pose(where, said.get("transform_matrix"))
    optics = read_optics(where, said)
    size = optics.size or (usual_size if optics.focal is None else None)
    if size is None:
        raise DataError(
            f"{where}: expected width and height, got a camera without them. Say both "
            "in pixels; the focal length is counted in the same."
        )
    try:
        camera = optics.camera(pose, round(size[0]), round(size[1]))
    except (DataError, ConfigError) as error:
        raise DataError(f"{where}: {error}") from error
    return NamedCamera(
        name=name if isinstance(name, str) and name else f"camera_{number:04d}",
        camera=camera,
        split=split if split in get_args(SplitName) else None,
    )
