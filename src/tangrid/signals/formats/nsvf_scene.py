"""Scenes in NSVF's format: pose/, rgb/, intrinsics.txt and bbox.txt.

Poses are camera to world in the axes of OpenCV: right, down, forward. The name of a
photograph begins with 0 for training, 1 for validation, 2 for the test; real scenes
have no 2, and their 1 is the test.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tangrid.errors import DataError
from tangrid.runs.writing import unreadable
from tangrid.signals.camera import FLIP
from tangrid.signals.formats.image_folder import picture_files
from tangrid.signals.formats.scene_draft import (
    Frame,
    Optics,
    SceneDraft,
    SplitName,
    positions_of,
    read_pose,
)
from tangrid.signals.scene_bounds import SceneBounds, distances_to_box, point
from tangrid.signals.scene_findings import SceneFindings

_MARGIN = 1.05
"""By how much the box is made larger, for that of the file is tight; ngp_pl does so."""
_NEAR_SHARE = 0.02


def is_nsvf(folder: Path) -> bool:
    """Return whether a folder holds this format.

    Args:
        folder: The folder.
    """
    has_folders = (folder / "pose").is_dir() and (folder / "rgb").is_dir()
    return has_folders and (folder / "intrinsics.txt").is_file()


def read_nsvf(folder: Path, findings: SceneFindings) -> SceneDraft:
    """Read the cameras of a scene in NSVF's format.

    Args:
        folder: Holds ``pose``, ``rgb``, ``intrinsics.txt`` and ``bbox.txt``.
        findings: Where errors and remarks are noted.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If a file is broken.
    """
    optics = _optics(folder / "intrinsics.txt")
    files = picture_files(folder / "rgb")
    if not files:
        raise DataError(
            f"{folder / 'rgb'}: expected photographs, got none. Fetch them."
        )
    splits = _splits([file.name for file in files])
    frames = []
    for file in files:
        path = folder / "pose" / f"{file.stem}.txt"
        try:
            pose = read_pose(str(path), _numbers(path))
        except DataError as error:
            findings.add_error("camera", str(error))
            continue
        pose[:3, :3] = pose[:3, :3] * FLIP
        frames.append(
            Frame(
                name=f"rgb/{file.name}",
                file=file,
                pose=pose,
                optics=optics,
                split=splits.get(file.name[:2]),
            )
        )
    return SceneDraft(
        source_format="nsvf",
        folder=folder,
        frames=tuple(frames),
        bounds=_bounds(folder / "bbox.txt", frames, findings),
        has_splits=bool(splits),
    )


def _splits(names: Sequence[str]) -> dict[str, SplitName]:
    """Return what beginnings of names stand for; nothing if some have none."""
    beginnings = {name[:2] for name in names}
    if not beginnings <= {"0_", "1_", "2_"}:
        return {}
    return {"0_": "train", "1_": "val" if "2_" in beginnings else "test", "2_": "test"}


def _numbers(path: Path) -> list[list[float]]:
    """Return the numbers of a file, line by line."""
    try:
        lines = path.read_text("utf-8").splitlines()
        return [
            [float(word) for word in line.split()] for line in lines if line.split()
        ]
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise DataError(
            f"{path}: expected numbers, got something else ({error}). Repair the file."
        ) from error


def _optics(path: Path) -> Optics:
    """Return a camera from a matrix, or from focal length and centre in a line."""
    lines = _numbers(path)
    if len(lines) >= 3 and all(len(line) >= 3 for line in lines[:3]):
        (x, _, centre_x, *_), (_, y, centre_y, *_) = lines[:2]
    elif lines and len(lines[0]) >= 3:
        x, centre_x, centre_y = lines[0][:3]
        y = x
    else:
        raise DataError(
            f"{path}: expected a matrix of 4 x 4 numbers, or a line with the focal "
            f"length and the principal point, got {len(lines)} lines. Repair the file."
        )
    if not (0 < x < np.inf and 0 < y < np.inf):
        raise DataError(
            f"{path}: expected positive focal lengths, got {x:g} and {y:g}. They are "
            "counted in pixels."
        )
    return Optics(focal=(x, y), centre=(centre_x, centre_y))


def _bounds(
    path: Path, frames: Sequence[Frame], findings: SceneFindings
) -> SceneBounds:
    numbers = np.array([number for line in _numbers(path) for number in line])
    if len(numbers) < 6 or not np.isfinite(numbers).all():
        raise DataError(
            f"{path}: expected the two corners of a box, got {len(numbers)} numbers. "
            "Give x, y and z of both, lower ones first."
        )
    low, high = numbers[:3], numbers[3:6]
    if not (low < high).all():
        raise DataError(
            f"{path}: expected a box with low < high, got {low.tolist()} and "
            f"{high.tolist()}. Give the lower corner first."
        )
    middle, half = (low + high) / 2, (high - low) / 2 * _MARGIN
    low, high = middle - half, middle + half
    least = _NEAR_SHARE * float(half.max())
    positions = positions_of(frames, findings)
    near, far = distances_to_box(positions, low, high, least=least)
    findings.add_note(
        f"The box of bbox.txt was made larger by {_MARGIN:g}, for it is tight."
    )
    return SceneBounds(
        scope="object", low=point(low), high=point(high), near=near, far=far
    )
