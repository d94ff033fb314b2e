"""Look over the files of a scene and say everything that is wrong or odd with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from tangrid.errors import DataError, TangridError
from tangrid.signals.camera import Camera
from tangrid.signals.formats.scene_draft import SceneDraft
from tangrid.signals.formats.scene_reading import (
    ReadingOptions,
    format_of,
    read_draft,
    scene_folder,
)
from tangrid.signals.lens import bent
from tangrid.signals.scene import Scene
from tangrid.signals.scene_findings import SceneFindings
from tangrid.signals.scene_loading import OnImage, load_views
from tangrid.signals.scene_splits import split_frames
from tangrid.signals.view import View

_UNDONE = 0.01
"""Pixels by which a lens may be off where it is undone; more is seen."""
_STEPS = 33
"""Points between the axis and a corner."""
_SAME_AXIS = 1e-3
"""Least curvature of the sum of squared distances to axes that do meet somewhere."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneCheck:
    """Hold what was found in a folder."""

    folder: Path
    """The scene."""
    source_format: str
    """Format of its files."""
    views: tuple[View, ...]
    """Photographs that can be used."""
    scene: Scene | None
    """The scene; None where there is an error."""
    findings: SceneFindings
    """Errors and remarks."""


def check_scene(
    path: Path,
    *,
    options: ReadingOptions,
    holdout: int | None = None,
    skip: int = 1,
    scene_format: str | None = None,
    on_image: OnImage | None = None,
) -> SceneCheck:
    """Read a scene, go on where something is wrong, and collect it.

    Args:
        path: Its folder, or its file of cameras.
        options: As for `read_draft`.
        holdout: As in `Scene.open`.
        skip: As in `Scene.open`.
        scene_format: As in `Scene.open`.
        on_image: Is told how many photographs are read.

    Returns:
        What was found.

    Raises:
        DataError: If there is no scene of any known format.
    """
    findings = SceneFindings(folder=path)
    named = format_of(path, scene_format, SceneFindings(folder=path))
    draft, rule, views = None, "", ()
    try:
        draft = read_draft(path, findings, scene_format=scene_format, options=options)
    except DataError as error:
        # Where nothing is left, the first error that was met on the way is raised.
        if not _is_told(str(error), findings):
            findings.add_error("broken", str(error))
    if draft is not None:
        frames, rule = split_frames(draft, findings, holdout=holdout, skip=skip)
        views = load_views(frames, draft.shrinking, findings, on_image)
        _remark(views, draft, findings)
    return SceneCheck(
        folder=scene_folder(path),
        source_format=named,
        views=views,
        scene=_made(views, draft, findings, rule),
        findings=findings,
    )


def _is_told(message: str, findings: SceneFindings) -> bool:
    told = (line for lines in findings.errors.values() for line in lines)
    return any(message.startswith(line) for line in told)


def _made(
    views: Sequence[View],
    draft: SceneDraft | None,
    findings: SceneFindings,
    rule: str,
) -> Scene | None:
    if draft is None or findings.errors:
        return None
    try:
        return Scene.from_views(
            views,
            draft.bounds,
            name=draft.folder.resolve().name,
            source_format=draft.source_format,
            notes=findings.notes,
            split_rule=rule,
        )
    except TangridError as error:
        findings.add_error("scene", str(error))
        return None


def _remark(views: Sequence[View], draft: SceneDraft, findings: SceneFindings) -> None:
    """Note what is odd, though no error."""
    bounds = draft.bounds
    if bounds.scope == "object":
        middle = (np.array(bounds.low) + np.array(bounds.high)) / 2
        away = [view.name for view in views if not _looks_at(view.camera, middle)]
        if away:
            findings.add_note(
                f"{len(away)} of {len(views)} cameras look away from the middle of the "
                f"box, the first {away[0]}. If it is most of them, the poses may be in "
                "other axes: right, up and back are expected."
            )
    folded = [view.name for view in views if not is_lens_undone(view.camera)]
    if folded:
        findings.add_note(
            f"The lens of {len(folded)} photographs cannot be undone at their corners, "
            f"the first {folded[0]}: it folds the picture over there. Undistort them, "
            "or crop them."
        )
    places = {view.camera.pose.tobytes() for view in views}
    if len(places) < len(views):
        findings.add_note(
            f"{len(views) - len(places)} of {len(views)} photographs have the pose of "
            "another one."
        )


def _looks_at(camera: Camera, place: Float[np.ndarray, " 3"]) -> bool:
    """Return whether a place lies before a camera."""
    return bool((place - camera.position) @ -camera.pose[:3, 2] > 0)


def is_lens_undone(camera: Camera) -> bool:
    """Return whether a lens can be undone at the corners, and so everywhere.

    From the axis outward what is seen must move outward, too; beyond a fold there is a
    second way back, which is wrong.

    Args:
        camera: The camera; a fisheye is taken to be right.
    """
    if camera.lens.is_plain or camera.lens.is_fisheye:
        return True
    right, bottom = float(camera.width), float(camera.height)
    places = np.array([[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]])
    seen = torch.from_numpy((places - camera.principal_point) / camera.focal)
    plane = camera.lens.directions(seen)[:, :2]
    outward = torch.linspace(0, 1, _STEPS, dtype=torch.float64)[:, None, None] * plane
    coefficients = plane.new_tensor(camera.lens.coefficients)
    back = bent(outward.reshape(-1, 2), coefficients).reshape(outward.shape)
    error = float((back[-1] - seen).abs().max()) * max(camera.focal)
    is_outward = bool((back.norm(dim=2).diff(dim=0) > 0).all())
    return is_outward and error < _UNDONE


def meeting_point(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"] | None:
    """Return the point that is nearest to the axes of all cameras.

    Args:
        cameras: At least one.

    Returns:
        The point of the least sum of squared distances; None where the axes are
        parallel, or nearly so.
    """
    positions = np.stack([camera.position for camera in cameras])
    axes = np.stack([-camera.pose[:3, 2] for camera in cameras])
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    curvature = across.mean(0)
    if np.linalg.eigvalsh(curvature)[0] < _SAME_AXIS:
        return None
    pulls = np.einsum("vij,vj->i", across, positions) / len(axes)
    return np.linalg.solve(curvature, pulls)


def looked_at(
    cameras: Sequence[Camera],
) -> tuple[Float[np.ndarray, " 3"], float] | None:
    """Return the ball that all cameras look at and see whole.

    Args:
        cameras: At least one.

    Returns:
        The point that is nearest to all their axes, and the radius around it that fits
        into every picture; None where the axes are parallel, or some camera looks away.

    Example:
        >>> pose = np.eye(4)
        >>> pose[:3, 3] = (0.0, 0.0, 2.0)
        >>> front = Camera(pose=pose, width=2, height=2, focal=(1.0, 1.0))
        >>> turned = np.array([[0, 0, 1.0, 2.0], [0, 1, 0, 0], [-1, 0, 0, 0]])
        >>> turned = np.vstack((turned, (0, 0, 0, 1)))
        >>> side = Camera(pose=turned, width=2, height=2, focal=(1.0, 1.0))
        >>> ball = looked_at([front, side])
        >>> ball[0].round(6).tolist(), round(ball[1], 4)
        ([0.0, 0.0, 0.0], 1.4142)
    """
    centre = meeting_point(cameras)
    if centre is None:
        return None
    radii = []
    for camera in cameras:
        if not _looks_at(camera, centre):
            return None
        # The sides of the picture are planes through the camera.
        corners = camera.corners
        sides = np.cross(corners, np.roll(corners, -1, axis=0))
        sides /= np.linalg.norm(sides, axis=1, keepdims=True)
        radii.append(float(((centre - camera.position) @ sides.T).min()))
    return (centre, min(radii)) if min(radii) > 0 else None
