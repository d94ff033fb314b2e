"""What the files of a scene say of its photographs, before these are read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from tangrid.errors import ConfigError, DataError
from tangrid.signals.camera import Camera, check_rigid
from tangrid.signals.lens import Lens
from tangrid.signals.scene_bounds import SceneBounds
from tangrid.signals.scene_findings import SceneFindings

SplitName = Literal["train", "val", "test"]
"""What a view is for."""


@dataclass(frozen=True, kw_only=True)
class Optics:
    """Hold what a data set says of a camera's inside; the photograph may differ."""

    size: tuple[float, float] | None = None
    """Width and height for which the rest holds; None for the photograph's own."""
    focal: tuple[float, float] | None = None
    """Focal lengths in pixels; None where angles are given."""
    angles: tuple[float, float | None] | None = None
    """Radians across width and height; None for square pixels."""
    centre: tuple[float, float] | None = None
    """Principal point in pixels; None for the middle."""
    lens: Lens = field(default_factory=Lens)
    """What bends the rays."""

    def focal_at(self, width: float, height: float) -> tuple[float, float]:
        """Return the focal lengths in pixels.

        Args:
            width: Pixels of the photograph along x.
            height: Pixels along y.

        Raises:
            DataError: If neither focal lengths nor angles are known.
        """
        if self.focal is not None:
            return self.focal
        if self.angles is None:
            raise DataError(
                "expected a focal length or an angle of view, got neither. Give fl_x "
                "in pixels or camera_angle_x in radians."
            )
        across, down = self.angles
        angles = (across, across if down is None else down)
        if not all(0 < angle < math.pi for angle in angles):
            raise DataError(
                "expected angles of view between 0 and pi radians, got "
                f"{across:g} and {down}. Repair the angle."
            )
        focal = width / 2 / math.tan(across / 2)
        return focal, focal if down is None else height / 2 / math.tan(down / 2)

    def camera(self, pose: Float[np.ndarray, "4 4"], width: int, height: int) -> Camera:
        """Return the camera of a photograph.

        Args:
            pose: Camera to world, OpenGL axes.
            width: Pixels of the photograph along x.
            height: Pixels along y.

        Returns:
            The camera; where the photograph is a smaller or larger copy of what the
            data set describes, with everything scaled.

        Raises:
            DataError: If the photograph is of another shape, or there is no such
                camera.
        """
        said = self.size or (float(width), float(height))
        if not min(said) > 0:
            raise DataError(
                f"expected a positive width and height, got {said[0]:g} x {said[1]:g}. "
                "Repair w and h."
            )
        x, y = width / said[0], height / said[1]
        # A copy's sides are whole, so that each may be off by less than one pixel.
        if abs(x - y) >= 1 / said[0] + 1 / said[1]:
            raise DataError(
                f"expected a photograph of {said[0]:g} x {said[1]:g} pixels or a "
                f"scaled copy of it, got {width} x {height}. Fetch the photograph that "
                "the data set describes, or repair its width and height."
            )
        focal = self.focal_at(*said)
        centre = self.centre and (self.centre[0] * x, self.centre[1] * y)
        try:
            return Camera(
                pose=pose,
                width=width,
                height=height,
                focal=(focal[0] * x, focal[1] * y),
                centre=centre,
                lens=self.lens,
            )
        except ConfigError as error:
            raise DataError(str(error).removeprefix("Camera: ")) from error


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """Hold where a photograph is and how it was taken."""

    name: str
    """Path of the photograph, relative to the scene."""
    file: Path
    """The photograph."""
    pose: Float[np.ndarray, "4 4"]
    """Camera to world, OpenGL axes."""
    optics: Optics
    """The camera's inside."""
    split: SplitName | None = None
    """What the data set says that it is for; None where it does not."""

    @property
    def position(self) -> Float[np.ndarray, " 3"]:
        """Where the camera stands."""
        return self.pose[:3, 3]


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneDraft:
    """Hold a scene whose photographs are not yet read."""

    source_format: str
    """Name of the format."""
    folder: Path
    """Where it is."""
    frames: tuple[Frame, ...]
    """Photographs that exist, in the data set's order."""
    bounds: SceneBounds
    """What should be modelled."""
    has_splits: bool = False
    """Whether the data set says what each photograph is for."""
    shrinking: int = 1
    """Factor by which the photographs are still to be averaged."""


def read_pose(where: str, rows: Any) -> Float[np.ndarray, "4 4"]:  # noqa: ANN401
    """Return a pose from numbers of a file.

    Args:
        where: Which one it is, for the message.
        rows: 4 x 4 numbers, or the first 3 rows.

    Raises:
        DataError: If it is no pose that turns and moves only.
    """
    try:
        pose = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        pose = np.empty(0)
    if pose.shape == (3, 4):
        pose = np.vstack((pose, (0.0, 0.0, 0.0, 1.0)))
    if pose.shape != (4, 4):
        raise DataError(
            f"{where}: expected a pose of 4 x 4 numbers, got {brief(rows)}. Give the "
            "matrix from camera to world, row by row."
        )
    try:
        check_rigid(pose)
    except ConfigError as error:
        raise DataError(f"{where}: {str(error).removeprefix('Camera: ')}") from error
    return pose


def brief(value: object) -> str:
    """Return what stands in a file, shortened for a message.

    Args:
        value: The value.
    """
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def is_file(path: Path) -> bool:
    """Return whether there is a file; never an error, whatever the name.

    Args:
        path: Where it should be.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def positions_of(
    frames: Sequence[Frame], findings: SceneFindings
) -> Float[np.ndarray, "v 3"]:
    """Return where cameras stand.

    Args:
        frames: The frames that can be used.
        findings: Why others cannot.

    Returns:
        A row for each.

    Raises:
        DataError: If there is no frame.
    """
    if not frames:
        findings.refuse_errors()
        raise DataError(
            f"{findings.folder}: expected photographs with cameras, got none. Check "
            "that this is the whole scene."
        )
    return np.stack([frame.position for frame in frames])


def without_missing(
    frames: Sequence[Frame], findings: SceneFindings
) -> tuple[Frame, ...]:
    """Leave out frames whose photograph is not there.

    Args:
        frames: What the data set lists.
        findings: Where it is noted; an error where most are missing.

    Returns:
        The frames whose file exists.
    """
    kept = tuple(frame for frame in frames if is_file(frame.file))
    missing = [frame.name for frame in frames if not is_file(frame.file)]
    if not missing:
        return kept
    counted = f"{len(missing)} of {len(frames)} listed photographs are missing"
    if len(missing) * 2 > len(frames):
        findings.add_error(
            "missing",
            f"{findings.folder}: expected the photographs that the scene lists, got a "
            f"folder in which {counted}, the first {missing[0]}. Fetch them, or take "
            "them out of the list.",
        )
    else:
        findings.add_note(f"{counted} and were skipped, the first {missing[0]}.")
    return kept
