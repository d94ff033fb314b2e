"""``tangrid check data FOLDER``: what posed photographs say, and what is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Folder, Name, Number, Switch
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.signals.scene_check import SceneCheck

_DRAWING, _RECORD = "cameras.png", "scene.json"


@dataclass(frozen=True, kw_only=True)
class CheckDataRequest:
    """Look over posed photographs: cameras, splits, bounds, and everything amiss.

    It draws the cameras and writes what was found; exit code 0 if they can be used.
    """

    scene: Annotated[Positional[str], arg(metavar="FOLDER")]
    """Folder as of Blender, instant-ngp, nerfstudio, LLFF, COLMAP or NSVF."""
    downscale: Number = 1
    """Whole factor by which photographs are made smaller."""
    holdout: Count = None
    """Hold out every Nth view, where the data set does not say (default: 8)."""
    skip: Number = 1
    """Of views that the data set holds out, read every Nth."""
    format: Name = None
    """blender, transforms, llff, colmap or nsvf (default: as recognised)."""
    no_ndc: Switch = False
    """Model a forward-facing scene in the world itself."""
    out: Folder = None
    """Where cameras.png and scene.json go (default: runs/check/NAME)."""
    overwrite: Switch = False
    """Replace those that are in the folder that --out names."""


def run(request: CheckDataRequest, command: Sequence[str]) -> int:
    """Print what was found and write the drawing and the record.

    Args:
        request: What was asked for.
        command: The whole command.

    Returns:
        0 if the scene can be used, 1 if not.

    Raises:
        ConfigError: If a file would be replaced and that is not asked for.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.check_lines import check_lines, scene_record  # noqa: PLC0415
    from tangrid.progress import bar  # noqa: PLC0415
    from tangrid.runs.plain_json import to_json  # noqa: PLC0415
    from tangrid.runs.writing import unwritable, write_whole  # noqa: PLC0415
    from tangrid.signals.formats.scene_reading import ReadingOptions  # noqa: PLC0415
    from tangrid.signals.scene_check import check_scene  # noqa: PLC0415

    _check_new(request)
    options = ReadingOptions(downscale=request.downscale, use_ndc=not request.no_ndc)
    with bar("reading") as show:
        check = check_scene(
            Path(request.scene).expanduser(),
            options=options,
            holdout=request.holdout,
            skip=request.skip,
            scene_format=request.format,
            on_image=show,
        )
    name = check.folder.resolve().name
    out = Path(request.out or Path("runs", "check", name)).expanduser()
    try:
        out.mkdir(parents=True, exist_ok=True)
        # One of what was there before would be taken for this scene's.
        (out / _DRAWING).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(out, error) from error
    for line in check_lines(check):
        print(line)
    if check.views:
        write_whole(out / _DRAWING, _drawing(check, name))
        print(out / _DRAWING)
    write_whole(out / _RECORD, to_json(scene_record(check)))
    print(out / _RECORD)
    return 0 if check.scene else 1


def _check_new(request: CheckDataRequest) -> None:
    """Refuse to replace files in a folder that somebody has chosen."""
    if request.out is None or request.overwrite:
        return
    for name in (_DRAWING, _RECORD):
        path = Path(request.out).expanduser() / name
        if path.exists():
            raise ConfigError(
                f"{path}: expected a new file, got one that is there. Choose another "
                "folder with --out, or replace it with --overwrite."
            )


def _drawing(check: "SceneCheck", name: str) -> bytes:
    import numpy as np  # noqa: PLC0415

    from tangrid.reports.camera_plot import (  # noqa: PLC0415
        CameraPlot,
        draw_cameras,
        up_axis,
    )
    from tangrid.signals.scene_bounds import outer_box  # noqa: PLC0415

    cameras = [view.camera for view in check.views]
    scene = check.scene
    boxes = []
    if scene is not None and scene.ndc is None:
        boxes = [
            outer_box(scene.low, scene.high, number + 1)
            for number in range(scene.cascades)
        ]
    return draw_cameras(
        CameraPlot(
            title=f"{name}: {len(cameras)} cameras ({check.source_format})",
            positions=np.stack([camera.position for camera in cameras]),
            corners=np.stack([camera.corners for camera in cameras]),
            splits=[view.split for view in check.views],
            boxes=boxes,
            up=up_axis(np.stack([camera.pose[:3, 1] for camera in cameras])),
        )
    )
