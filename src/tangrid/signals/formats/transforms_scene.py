"""Scenes in the formats of instant-ngp and nerfstudio: one transforms.json.

instant-ngp maps positions by x * scale + offset, 0.33 and 0.5 unless the file says
otherwise, and models the unit cube and cascades around it; here the frame of the file
is kept and the cube is mapped back instead.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from tangrid.errors import DataError
from tangrid.signals.formats.scene_draft import (
    Frame,
    SceneDraft,
    SplitName,
    positions_of,
    without_missing,
)
from tangrid.signals.formats.transforms_frames import (
    note_unused,
    number_at,
    photograph,
    read_frames,
    read_transforms,
)
from tangrid.signals.scene_bounds import (
    MOST_CASCADES,
    SceneBounds,
    around_cameras,
    distances_to_box,
    outer_box,
    point,
)
from tangrid.signals.scene_findings import SceneFindings

FILE = "transforms.json"

_SCALE, _OFFSET = 0.33, 0.5
_NEAR = 0.1
"""Where rays begin, in sides of the unit cube, if cameras stand in the box."""

_LISTS: Mapping[str, SplitName] = {
    "train_filenames": "train",
    "val_filenames": "val",
    "test_filenames": "test",
}


def is_transforms(folder: Path) -> bool:
    """Return whether a folder holds this format.

    Args:
        folder: The folder.
    """
    return (folder / FILE).is_file()


def read_transforms_scene(place: Path, findings: SceneFindings) -> SceneDraft:
    """Read the cameras of a scene of instant-ngp or nerfstudio.

    Args:
        place: The folder, or its file of cameras.
        findings: Where errors and remarks are noted.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If the file of cameras is broken, or says something unknown.
    """
    path = place / FILE if place.is_dir() else place
    content = read_transforms(path)
    note_unused(content, findings)
    listed = tuple(read_frames(path, content, findings))
    frames = without_missing(listed, findings)
    has_splits = any(name in content for name in _LISTS)
    if has_splits:
        frames = _with_listed_splits(path, content, frames, findings)
    return SceneDraft(
        source_format="transforms",
        folder=path.parent,
        frames=frames,
        bounds=_bounds(path, content, frames, findings),
        has_splits=has_splits,
    )


def _with_listed_splits(
    path: Path,
    content: Mapping[str, Any],
    frames: Sequence[Frame],
    findings: SceneFindings,
) -> tuple[Frame, ...]:
    """Return the frames that the lists of nerfstudio name."""
    splits: dict[str, SplitName] = {}
    for key, split in _LISTS.items():
        names = content.get(key) or []
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise DataError(
                f"{path}: expected a list of names for {key}, got {names!r}. Give the "
                "file_path of each frame, or leave the key out."
            )
        # Frames may be listed without the ending of their photographs.
        splits |= {photograph(path.parent, name)[0]: split for name in names}
    kept = tuple(
        replace(frame, split=splits[frame.name])
        for frame in frames
        if frame.name in splits
    )
    if len(kept) < len(frames):
        findings.add_note(
            f"{len(frames) - len(kept)} of {len(frames)} photographs are in none of "
            "the file's lists of names and were left out."
        )
    return kept


def _bounds(
    path: Path,
    content: Mapping[str, Any],
    frames: Sequence[Frame],
    findings: SceneFindings,
) -> SceneBounds:
    positions = positions_of(frames, findings)
    if "aabb_scale" in content:
        return _cube_of_instant_ngp(path, content, positions)
    bounds = around_cameras(str(path), positions)
    findings.add_note(
        "The file has no aabb_scale: the inner box is the cube around the cameras, and "
        f"{bounds.cascades} boxes reach {2 ** (bounds.cascades - 1)} times as far."
    )
    return bounds


def _cube_of_instant_ngp(
    path: Path, content: Mapping[str, Any], positions: Float[np.ndarray, "v 3"]
) -> SceneBounds:
    where = str(path)
    scale = number_at(where, content, "scale")
    scale = _SCALE if scale is None else scale
    named = content.get("offset", _OFFSET)
    axes = named if isinstance(named, list) and len(named) == 3 else [named] * 3
    offset = np.array([number_at(where, {"offset": x}, "offset") or 0.0 for x in axes])
    aabb_scale = number_at(where, content, "aabb_scale")
    doublings = math.log2(aabb_scale) if aabb_scale and aabb_scale > 0 else 0.0
    is_power = aabb_scale in (None, 2.0**doublings) and doublings == round(doublings)
    if not (scale > 0 and is_power and 0 <= doublings < MOST_CASCADES):
        raise DataError(
            f"{path}: expected a positive scale and an aabb_scale of 1, 2, 4 and so on "
            f"up to {2 ** (MOST_CASCADES - 1)}, got {scale:g} and "
            f"{content.get('aabb_scale')}. Repair the key, or leave it out."
        )
    cascades = 1 + round(doublings)
    low, high = point(-offset / scale), point((1 - offset) / scale)
    box = outer_box(low, high, cascades)
    near, far = distances_to_box(positions, *box, least=_NEAR / scale)
    return SceneBounds(
        scope="object" if cascades == 1 else "unbounded",
        low=low,
        high=high,
        near=near,
        far=far,
        cascades=cascades,
    )
