"""Scenes in LLFF's format: poses_bounds.npy beside folders of photographs.

A row of the file is a 3 x 5 matrix and two depths between which the scene lies. The
columns of the matrix are down, right, back, the position, and height, width and focal
length in pixels of the largest photographs.

LLFF's protocol, as NeRF has it, moves and scales the world: it is divided by three
quarters of the least depth, and the average camera stands at the origin and looks along
-z. Poses, boxes and depths of these scenes are in that frame.
"""

from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError

import numpy as np
from jaxtyping import Float

from tangrid.errors import DataError
from tangrid.signals.formats.image_folder import find_images, picture_files
from tangrid.signals.formats.scene_draft import Frame, Optics, SceneDraft, read_pose
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tangrid.signals.scene_bounds import SceneBounds, around_cameras, point
from tangrid.signals.scene_findings import SceneFindings

FILE = "poses_bounds.npy"

_DECODER_FAILURES = (
    OSError,
    ValueError,
    EOFError,
    SyntaxError,
    TokenError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
)
"""What numpy may say of a file whose header, a piece of Python, is damaged."""

_BOUND_FACTOR = 0.75
_NEAR_SHARE = 0.9
_NDC_NEAR = 1.0
_LARGEST = 1e9
_LEAST_FORWARD = 0.1
"""How far every ray must go along -z for coordinates that divide by z."""


def is_llff(folder: Path) -> bool:
    """Return whether a folder holds this format.

    Args:
        folder: The folder.
    """
    return (folder / FILE).is_file()


def read_llff(
    folder: Path, findings: SceneFindings, *, downscale: int, use_ndc: bool
) -> SceneDraft:
    """Read the cameras of a scene in LLFF's format.

    Args:
        folder: Holds ``poses_bounds.npy`` and folders of photographs.
        findings: Where errors and remarks are noted.
        downscale: Factor by which photographs are to be made smaller.
        use_ndc: Whether to model it in normalised device coordinates.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If the file is broken, or does not belong to the photographs.
    """
    path = folder / FILE
    rows = _read_rows(path)
    images, shrinking = find_images(folder, downscale)
    files = picture_files(images)
    if len(files) != len(rows):
        raise DataError(
            f"{folder}: expected a photograph for each of the {len(rows)} poses, got "
            f"{len(files)} in {images.name}. Fetch those that are missing, or remove "
            "what does not belong there."
        )
    scale = 1.0 / (_BOUND_FACTOR * float(rows[:, 15:].min()))
    poses = [_pose(path, number, row, scale) for number, row in enumerate(rows)]
    moved = np.linalg.inv(average_pose(np.stack(poses))) @ np.stack(poses)
    frames = tuple(
        Frame(
            name=f"{images.name}/{file.name}",
            file=file,
            pose=pose,
            optics=_optics(path, number, row),
        )
        for number, (file, pose, row) in enumerate(zip(files, moved, rows, strict=True))
    )
    findings.add_note(f"Photographs are those in {images.name}.")
    findings.add_note(
        f"The frame is that of LLFF's protocol: lengths times {scale:.4g}, the average "
        "camera at the origin, looking along -z."
    )
    return SceneDraft(
        source_format="llff",
        folder=folder,
        frames=frames,
        bounds=_bounds(frames, rows[:, 15:] * scale, findings, use_ndc=use_ndc),
        shrinking=shrinking,
    )


def _read_rows(path: Path) -> Float[np.ndarray, "v 17"]:
    try:
        rows = np.load(path, allow_pickle=False)
    except _DECODER_FAILURES as error:
        raise DataError(
            f"{path}: expected an array of numpy, got a file that is none ({error}). "
            "It may be cut short or damaged; fetch it again."
        ) from error
    is_table = rows.ndim == 2 and rows.shape[1] == 17 and len(rows) > 0
    if not is_table or rows.dtype.kind != "f":
        raise DataError(
            f"{path}: expected floats of shape [n, 17], got {rows.dtype} of shape "
            f"{list(rows.shape)}. Each row is a 3 x 5 matrix and two depths."
        )
    rows = rows.astype(np.float64)
    depths = rows[:, 15:]
    is_ordered = (depths[:, 0] > 0) & (depths[:, 0] < depths[:, 1])
    is_ordered &= np.isfinite(depths).all(axis=1)
    if not is_ordered.all():
        bad = int(np.argmin(is_ordered))
        raise DataError(
            f"{path}: expected depths with 0 < near < far, got {depths[bad, 0]:g} and "
            f"{depths[bad, 1]:g} in row {bad}. Repair the file."
        )
    return rows


def _pose(
    path: Path, number: int, row: Float[np.ndarray, " 17"], scale: float
) -> Float[np.ndarray, "4 4"]:
    down, right, back, position = row[:15].reshape(3, 5)[:, :4].T
    columns = np.stack((right, -down, back, position * scale), axis=1)
    return read_pose(f"{path}, row {number}", columns)


def _optics(path: Path, number: int, row: Float[np.ndarray, " 17"]) -> Optics:
    height, width, focal = (float(value) for value in row[:15].reshape(3, 5)[:, 4])
    is_size = min(height, width) >= 1 and max(height, width) < _LARGEST
    if not (is_size and 1 / _LARGEST < focal < _LARGEST):
        raise DataError(
            f"{path}, row {number}: expected positive height, width and focal length, "
            f"got {height:g}, {width:g} and {focal:g}. Repair the file."
        )
    return Optics(size=(width, height), focal=(focal, focal))


def average_pose(poses: Float[np.ndarray, "v 4 4"]) -> Float[np.ndarray, "4 4"]:
    """Return a pose in the middle of others.

    Args:
        poses: Camera to world.

    Returns:
        At the mean position, looking along the mean direction, with the mean of up in
        its plane of up and back [mildenhall2020].

    Raises:
        DataError: If directions cancel out.
    """
    back, up = poses[:, :3, 2].sum(0), poses[:, :3, 1].sum(0)
    right = np.cross(up, back)
    if min(np.linalg.norm(back), np.linalg.norm(right)) < 1e-6 * len(poses):
        raise DataError(
            f"{FILE}: expected cameras with a direction in common, got some that look "
            "everywhere alike. Read such a scene from another format."
        )
    back /= np.linalg.norm(back)
    right /= np.linalg.norm(right)
    average = np.eye(4)
    average[:3] = np.stack(
        (right, np.cross(back, right), back, poses[:, :3, 3].mean(0)), axis=1
    )
    return average


def _bounds(
    frames: Sequence[Frame],
    depths: Float[np.ndarray, "v 2"],
    findings: SceneFindings,
    *,
    use_ndc: bool,
) -> SceneBounds:
    cameras = [
        frame.optics.camera(frame.pose, *map(round, frame.optics.size or ()))
        for frame in frames
    ]
    corners = np.stack([camera.corners for camera in cameras])
    positions = np.stack([camera.position for camera in cameras])
    is_forward = corners[..., 2].max() <= -_LEAST_FORWARD
    near, depth = _NEAR_SHARE * float(depths.min()), float(depths.max())
    # Depths are along the axis, and rays to the corners are longer.
    axes = np.stack([-camera.pose[:3, 2] for camera in cameras])
    lengths = 1 / np.einsum("vci,vi->vc", corners, axes)
    far = depth * float(lengths.max())
    if is_forward and use_ndc:
        first = cameras[0]
        ndc = NdcFrame(
            x_scale=2 * first.focal[0] / first.width,
            y_scale=2 * first.focal[1] / first.height,
            near=_NDC_NEAR,
        )
        return SceneBounds(
            scope="forward-facing",
            low=NDC_LOW,
            high=NDC_HIGH,
            near=0.0,
            far=1.0,
            ndc=ndc,
        )
    if not is_forward:
        findings.add_note(
            "Cameras do not look the same way, so that there are no normalised device "
            "coordinates: the inner box is the cube around the cameras."
        )
        return around_cameras(FILE, positions, reach=far)
    edges = (corners * lengths[..., None])[:, :, None] * np.array([[near], [depth]])
    ends = (positions[:, None, None] + edges).reshape(-1, 3)
    return SceneBounds(
        scope="forward-facing",
        low=point(ends.min(0)),
        high=point(ends.max(0)),
        near=near,
        far=far,
    )
