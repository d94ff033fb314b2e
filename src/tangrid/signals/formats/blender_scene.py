"""Scenes in Blender's format of NeRF: one file of cameras for each split.

Boxes and distances are not in the files; the synthetic scenes lie within 1.5 of the
origin, between 2 and 6 from the cameras, which stand about 4 away from it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

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
    read_frames,
    read_transforms,
)
from tangrid.signals.scene_bounds import SceneBounds, distances_to_box
from tangrid.signals.scene_findings import SceneFindings

HALF_SIDE = 1.5
"""How far the box reaches from the origin."""

_NEAR, _FAR = 2.0, 6.0
_LEAST_NEAR = 0.03
_USUAL_DISTANCES = (3.4, 4.6)
"""Between which cameras stand away from the origin where near and far are usual."""


def is_blender(folder: Path) -> bool:
    """Return whether a folder holds this format.

    Args:
        folder: The folder.
    """
    return (folder / "transforms_train.json").is_file()


def is_split(path: Path) -> bool:
    """Return whether a file of cameras is one of those of this format.

    Args:
        path: The file.
    """
    return path.name in {f"transforms_{split}.json" for split in get_args(SplitName)}


def read_blender(folder: Path, findings: SceneFindings) -> SceneDraft:
    """Read the cameras of a scene in Blender's format.

    Args:
        folder: Holds ``transforms_train.json`` and, mostly, those of val and test.
        findings: Where errors and remarks are noted.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If a file of cameras is broken.
    """
    frames: list[Frame] = []
    for split in get_args(SplitName):
        path = folder / f"transforms_{split}.json"
        if not path.is_file():
            if split == "train":
                raise DataError(
                    f"{path}: expected the cameras of the training views, got no such "
                    "file. A scene of this format has transforms_train.json."
                )
            continue
        content = read_transforms(path)
        frames += read_frames(path, content, findings, split)
        note_unused(content, findings)
        if split == "train":
            _note_other_box(content, findings)
    kept = without_missing(frames, findings)
    return SceneDraft(
        source_format="blender",
        folder=folder,
        frames=kept,
        bounds=_bounds(kept, findings),
        has_splits=True,
    )


def _note_other_box(content: Mapping[str, Any], findings: SceneFindings) -> None:
    named = [name for name in ("aabb_scale", "scale", "offset") if name in content]
    if named:
        findings.add_note(
            f"{', '.join(named)} in transforms_train.json: not used. The box of this "
            f"format reaches {HALF_SIDE:g} from the origin; a file transforms.json may "
            "say another."
        )


def _bounds(frames: tuple[Frame, ...], findings: SceneFindings) -> SceneBounds:
    near, far = _NEAR, _FAR
    positions = positions_of(frames, findings)
    away = np.linalg.norm(positions, axis=1)
    least, most = _USUAL_DISTANCES
    if not (least <= away.min() and away.max() <= most):
        box = np.full(3, HALF_SIDE)
        near, far = distances_to_box(positions, -box, box, least=_LEAST_NEAR)
        findings.add_note(
            f"Cameras stand {away.min():.3g} to {away.max():.3g} from the origin, not "
            f"about 4: near and far, {near:.3g} and {far:.3g}, are how far the box is "
            "away from them."
        )
    return SceneBounds(
        scope="object",
        low=(-HALF_SIDE, -HALF_SIDE, -HALF_SIDE),
        high=(HALF_SIDE, HALF_SIDE, HALF_SIDE),
        near=near,
        far=far,
    )
