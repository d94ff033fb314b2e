"""Scenes as COLMAP reconstructs them: a sparse model beside folders of photographs.

A pose of COLMAP is world to camera in the axes of OpenCV: right, down, forward.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from tangrid.errors import DataError
from tangrid.signals.camera import FLIP
from tangrid.signals.formats.colmap_files import (
    ColmapCamera,
    ColmapImage,
    ColmapModel,
    has_model,
    read_model,
)
from tangrid.signals.formats.image_folder import find_images
from tangrid.signals.formats.scene_draft import (
    Frame,
    Optics,
    SceneDraft,
    positions_of,
    read_pose,
    without_missing,
)
from tangrid.signals.lens import Lens
from tangrid.signals.scene_bounds import SceneBounds, around_cameras
from tangrid.signals.scene_findings import SceneFindings

_PLACES = ("sparse/0", "sparse", "colmap/sparse/0")
_LEAST, _MOST = 0.1, 99.9
"""Percentiles of distances to points that count; a few points are always wrong."""
_LARGEST = 1e15
_NEAR_SHARE, _FAR_SHARE = 0.9, 1.1

_LENSES: dict[str, Callable[..., Lens]] = {
    "SIMPLE_PINHOLE": Lens,
    "PINHOLE": Lens,
    "SIMPLE_RADIAL": lambda k: Lens(k1=k),
    "RADIAL": lambda k, l: Lens(k1=k, k2=l),
    "OPENCV": lambda k, l, p, q: Lens(k1=k, k2=l, p1=p, p2=q),
    "OPENCV_FISHEYE": lambda k, l, m, n: Lens(k1=k, k2=l, k3=m, k4=n, is_fisheye=True),
    "SIMPLE_RADIAL_FISHEYE": lambda k: Lens(k1=k, is_fisheye=True),
    "RADIAL_FISHEYE": lambda k, l: Lens(k1=k, k2=l, is_fisheye=True),
}
"""Lenses of the coefficients that follow focal lengths and principal point."""
_TWO_FOCALS = {"PINHOLE", "OPENCV", "OPENCV_FISHEYE"}


def model_folder(folder: Path) -> Path | None:
    """Return where a scene's model is, None if there is none.

    Args:
        folder: The scene.
    """
    places = (folder / place for place in _PLACES)
    return next((place for place in places if has_model(place)), None)


def is_colmap(folder: Path) -> bool:
    """Return whether a folder holds this format.

    Args:
        folder: The folder.
    """
    return model_folder(folder) is not None


def read_colmap(folder: Path, findings: SceneFindings, *, downscale: int) -> SceneDraft:
    """Read the cameras of a scene that COLMAP has reconstructed.

    Args:
        folder: Holds ``sparse/0`` or ``sparse``, and folders of photographs.
        findings: Where errors and remarks are noted.
        downscale: Factor by which photographs are to be made smaller.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If a file of the model is damaged.
    """
    place = model_folder(folder)
    if place is None:
        raise DataError(
            f"{folder}: expected a model in sparse/0 or sparse, got none. Export it "
            "with `colmap model_converter`."
        )
    model = read_model(place)
    images, shrinking = find_images(folder, downscale)
    listed = []
    for image in model.images:
        try:
            listed.append(_frame(place, images, image, model))
        except DataError as error:
            findings.add_error("camera", str(error))
    findings.add_note(f"Photographs are those in {images.name}.")
    frames = without_missing(listed, findings)
    return SceneDraft(
        source_format="colmap",
        folder=folder,
        frames=frames,
        bounds=_bounds(place, model, frames, findings),
        shrinking=shrinking,
    )


def _frame(place: Path, images: Path, image: ColmapImage, model: ColmapModel) -> Frame:
    where = f"{place}, image {image.name}"
    camera = model.cameras.get(image.camera)
    if camera is None:
        raise DataError(
            f"{where}: expected one of {len(model.cameras)} cameras, got number "
            f"{image.camera}. The files of the model do not belong together; export "
            "it again."
        )
    return Frame(
        name=f"{images.name}/{image.name}",
        file=images / image.name,
        pose=read_pose(where, opengl_pose(image.quaternion, image.translation)),
        optics=_optics(where, camera),
    )


@np.errstate(all="ignore")
def opengl_pose(
    quaternion: Float[np.ndarray, " 4"], translation: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "4 4"]:
    """Return a pose of COLMAP as camera to world in OpenGL's axes.

    Args:
        quaternion: World to camera, w first; of any length but 0.
        translation: World to camera.

    Returns:
        The pose; not finite where the quaternion is 0.

    Example:
        >>> opengl_pose(np.array([1.0, 0, 0, 0]), np.array([0, 0, 2.0]))[:3, 3].tolist()
        [0.0, 0.0, -2.0]
    """
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + 2 * w * cross + 2 * cross @ cross
    pose = np.eye(4)
    pose[:3, :3] = turn.T * FLIP
    pose[:3, 3] = -turn.T @ translation + 0.0
    return pose


def _optics(where: str, camera: ColmapCamera) -> Optics:
    if camera.model not in _LENSES:
        raise DataError(
            f"{where}: expected a camera of {', '.join(_LENSES)}, got {camera.model}. "
            "Undistort the photographs with `colmap image_undistorter`."
        )
    focals = 2 if camera.model in _TWO_FOCALS else 1
    numbers = camera.parameters
    try:
        centre_x, centre_y = numbers[focals : focals + 2]
        lens = _LENSES[camera.model](*numbers[focals + 2 :])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: expected as many parameters as a camera {camera.model} has, got "
            f"{len(numbers)}. Export the model again."
        ) from error
    return Optics(
        size=(float(camera.width), float(camera.height)),
        focal=(numbers[0], numbers[focals - 1]),
        centre=(centre_x, centre_y),
        lens=lens,
    )


def _name(frame: Frame) -> str:
    """Return the name that COLMAP has for a photograph."""
    return frame.name.split("/", 1)[1]


def _bounds(
    place: Path,
    model: ColmapModel,
    frames: Sequence[Frame],
    findings: SceneFindings,
) -> SceneBounds:
    positions = positions_of(frames, findings)
    places = {_name(frame): frame.position for frame in frames}
    points, distances = _seen_from(model, places)
    half, reach = 0.0, None
    if len(points):
        away = np.abs(points - positions.mean(0)).max(1)
        half = float(np.median(away))
        reach = float(np.percentile(away, _MOST, method="lower"))
    bounds = around_cameras(str(place), positions, least_half=half, reach=reach)
    if not len(points):
        findings.add_note(
            "The model has no points: the inner box is the cube around the cameras, "
            f"and {bounds.cascades} boxes reach {2 ** (bounds.cascades - 1)} times as "
            "far."
        )
        return bounds
    least = float(np.percentile(distances, _LEAST, method="higher"))
    most = float(np.percentile(distances, _MOST, method="lower"))
    findings.add_note(
        f"Bounds come from {len(points)} points that cameras see between {least:.3g} "
        f"and {most:.3g} away; the inner box is a cube around the cameras that holds "
        "half of the points."
    )
    return replace(bounds, near=_NEAR_SHARE * least, far=_FAR_SHARE * most)


def _seen_from(
    model: ColmapModel, positions: Mapping[str, Float[np.ndarray, " 3"]]
) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, " d"]]:
    """Return points that cameras see, and how far away each camera sees each."""
    is_place = (np.abs(model.points) < _LARGEST).all(axis=1)
    numbers, points = model.numbers[is_place], model.points[is_place]
    rows, distances = [], []
    for image in model.images:
        if image.name in positions:
            seen = image.seen[np.isin(image.seen, numbers)]
            rows.append(np.searchsorted(numbers, seen))
            steps = points[rows[-1]] - positions[image.name]
            distances.append(np.linalg.norm(steps, axis=1))
    if not rows:
        return np.empty((0, 3)), np.empty(0)
    return points[np.unique(np.concatenate(rows))], np.concatenate(distances)
