"""Cameras and photographs as transforms.json lists them, in all of its dialects.

The original one is Blender's of NeRF; instant-ngp added focal lengths, lenses and the
box, nerfstudio models of cameras and lists of names. Every key may stand once for the
whole file or in a frame, which then wins.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tangrid.errors import DataError
from tangrid.runs.writing import unreadable
from tangrid.signals.formats.scene_draft import (
    Frame,
    Optics,
    SplitName,
    brief,
    is_file,
    read_pose,
)
from tangrid.signals.lens import Lens
from tangrid.signals.scene_findings import SceneFindings

_ENDINGS = ("", ".png", ".jpg", ".jpeg", ".webp")
"""What is added to a name until there is such a file; Blender's have no ending."""

_LARGEST = 1e15
"""More than any length in pixels or in a scene."""

_FISHEYES = {"OPENCV_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_RADIAL_FISHEYE"}
_PERSPECTIVES = {
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE",
}  # fmt: skip

_UNUSED = {
    "applied_transform": "the frame of the file is kept",
    "mask_path": "every pixel counts",
    "depth_path": "depth is not used",
    "depth_file_path": "depth is not used",
    "n_extra_learnable_dims": "views have no parameters of their own",
    "rolling_shutter": "all of a photograph is taken from one place",
}
_HALVES = {
    "cx": ("cy", "the principal point is in the middle"),
    "cy": ("cx", "the principal point is in the middle"),
    "w": ("h", "the photograph says how large it is"),
    "h": ("w", "the photograph says how large it is"),
}
"""Keys that say nothing alone, what they lack, and what holds instead."""

_OTHER_AXES = ("from_mitsuba", "normal_mts_args", "from_na")
"""Keys of instant-ngp with which it turns the axes of cameras."""
_OTHER_LENSES = ("latlong", "equirectangular", "orthographic")
"""Keys of instant-ngp that name lenses; f-theta has numbers of its own."""


def read_transforms(path: Path) -> dict[str, Any]:
    """Read a file of cameras.

    Args:
        path: The JSON file.

    Returns:
        Its object, with at least one frame.

    Raises:
        DataError: If it cannot be read, is no JSON, lists no frames, or has other axes.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected JSON, got text that is none ({error}). The file may be "
            "cut short or damaged; fetch or write it again."
        ) from error
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        got = "none" if frames in (None, []) else f"frames of {type(frames).__name__}"
        raise DataError(
            f"{path}: expected an object with a list of frames, got {got}. Each frame "
            "has a file_path and a transform_matrix."
        )
    for name in _OTHER_AXES:
        if content.get(name):
            raise DataError(
                f"{path}: expected cameras in the axes of OpenGL, got {name}. Turn "
                "their axes into right, up and back, and take the key out."
            )
    return content


def number_at(where: str, keys: Mapping[str, Any], name: str) -> float | None:
    """Return a number of a file, None where there is none.

    Args:
        where: File and frame, for the message.
        keys: What is said there.
        name: The key.

    Raises:
        DataError: If there is something else.
    """
    value = keys.get(name)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= _LARGEST:
        raise DataError(
            f"{where}: expected a finite number for {name}, got {brief(value)}. Repair "
            "it, or leave the key out."
        )
    return float(value)


def _pair(
    where: str, keys: Mapping[str, Any], names: tuple[str, str]
) -> tuple[float, float] | None:
    first, second = (number_at(where, keys, name) for name in names)
    if first is None or second is None:
        return None
    return first, second


def _angles(where: str, keys: Mapping[str, Any]) -> tuple[float, float | None] | None:
    """Return angles of view in radians, from either of two pairs of keys."""
    across = number_at(where, keys, "camera_angle_x")
    down = number_at(where, keys, "camera_angle_y")
    if across is not None:
        return across, down
    across, down = (number_at(where, keys, name) for name in ("x_fov", "y_fov"))
    if across is None:
        return None
    return math.radians(across), None if down is None else math.radians(down)


def _refuse_other_lenses(where: str, keys: Mapping[str, Any]) -> None:
    named = [name for name in _OTHER_LENSES if keys.get(name)]
    named += [name for name in keys if name.startswith("ftheta_")]
    if named:
        raise DataError(
            f"{where}: expected a lens of OpenCV's models, got {named[0]}. Undistort "
            "the photographs, and take the key out."
        )


def _lens(where: str, keys: Mapping[str, Any]) -> Lens:
    _refuse_other_lenses(where, keys)
    model = keys.get("camera_model")
    is_known = isinstance(model, str) and model in _FISHEYES | _PERSPECTIVES
    if model is not None and not is_known:
        known = ", ".join(sorted(_FISHEYES | _PERSPECTIVES))
        raise DataError(
            f"{where}: expected a camera_model of {known}, got {brief(model)}. "
            "Undistort the photographs, for instance with `colmap image_undistorter`."
        )
    names = ("k1", "k2", "k3", "k4", "p1", "p2")
    found = {name: number_at(where, keys, name) or 0.0 for name in names}
    is_fisheye = model in _FISHEYES or bool(keys.get("is_fisheye"))
    if is_fisheye:
        found |= {"p1": 0.0, "p2": 0.0}
    return Lens(is_fisheye=is_fisheye, **found)


def read_optics(where: str, keys: Mapping[str, Any]) -> Optics:
    """Return what is said of a camera's inside.

    Args:
        where: File and frame, for messages.
        keys: What is said of the file and of the frame together.

    Returns:
        A focal length in pixels where there is one, else angles.

    Raises:
        DataError: If a number is none, or the model is unknown.
    """
    x = number_at(where, keys, "fl_x")
    y = number_at(where, keys, "fl_y")
    x = y if x is None else x
    focal = None if x is None else (x, x if y is None else y)
    if focal is not None and not min(focal) > 0:
        raise DataError(
            f"{where}: expected a positive focal length, got fl_x {focal[0]:g} and "
            f"fl_y {focal[1]:g}. It is counted in pixels."
        )
    return Optics(
        size=_pair(where, keys, ("w", "h")),
        focal=focal,
        angles=_angles(where, keys),
        centre=_pair(where, keys, ("cx", "cy")),
        lens=_lens(where, keys),
    )


def photograph(folder: Path, file_path: str) -> tuple[str, Path]:
    """Find the photograph of a frame.

    Args:
        folder: Where the file of cameras is.
        file_path: Its name there.

    Returns:
        Its path relative to the folder, and the file, which may be missing.
    """
    name = file_path.replace("\\", "/").removeprefix("./")
    for ending in _ENDINGS:
        if is_file(folder / f"{name}{ending}"):
            return f"{name}{ending}", folder / f"{name}{ending}"
    whole = name if Path(name).suffix.lower() in _ENDINGS[1:] else f"{name}.png"
    return whole, folder / whole


def read_frames(
    path: Path,
    content: Mapping[str, Any],
    findings: SceneFindings,
    split: SplitName | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a file of cameras.

    Args:
        path: The file.
        content: Its object.
        findings: Where frames are noted that are left out because of an error.
        split: What all of them are for.

    Yields:
        Frames in the order of the file; the photographs may be missing.
    """
    shared = {name: value for name, value in content.items() if name != "frames"}
    for number, keys in enumerate(content["frames"]):
        where = f"{path}, frame {number}"
        file_path = keys.get("file_path") if isinstance(keys, dict) else None
        if not isinstance(file_path, str) or not file_path:
            findings.add_error(
                "frame",
                f"{where}: expected a file_path, got {file_path!r}. Give the path of "
                "the photograph, relative to the file of cameras.",
            )
            continue
        where += f" ({file_path})"
        try:
            pose = read_pose(where, keys.get("transform_matrix"))
            optics = read_optics(where, shared | keys)
        except DataError as error:
            findings.add_error("camera", str(error))
            continue
        name, file = photograph(path.parent, file_path)
        yield Frame(name=name, file=file, pose=pose, optics=optics, split=split)


def note_unused(content: dict[str, Any], findings: SceneFindings) -> None:
    """Note which keys of a file play no part, each once for all files of a scene.

    Args:
        content: The file's object.
        findings: Where it is noted.
    """
    frames = [keys for keys in content["frames"] if isinstance(keys, dict)]
    named = set(content).union(*frames)
    notes = [
        f"The key {name} is not used: {consequence}."
        for name, consequence in _UNUSED.items()
        if name in named
    ]
    for name, (other, consequence) in _HALVES.items():
        if any(_lacks(content | keys, name, other) for keys in frames):
            notes.append(f"The key {name} is not used without {other}: {consequence}.")
    for note in notes:
        if note not in findings.notes:
            findings.add_note(note)


def _lacks(keys: Mapping[str, Any], name: str, other: str) -> bool:
    return keys.get(name) is not None and keys.get(other) is None
