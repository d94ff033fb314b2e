"""One door for every format of posed photographs, told apart by a folder's files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tangrid.errors import ConfigError, DataError
from tangrid.signals.formats.blender_scene import is_blender, is_split, read_blender
from tangrid.signals.formats.colmap_scene import is_colmap, read_colmap
from tangrid.signals.formats.llff_scene import is_llff, read_llff
from tangrid.signals.formats.nsvf_scene import is_nsvf, read_nsvf
from tangrid.signals.formats.scene_draft import SceneDraft
from tangrid.signals.formats.transforms_scene import (
    is_transforms,
    read_transforms_scene,
)
from tangrid.signals.scene_findings import SceneFindings


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Hold what a reader may need to know besides the folder."""

    downscale: int = 1
    """Factor by which photographs are made smaller."""
    use_ndc: bool = True
    """Whether forward-facing scenes are modelled in normalised device coordinates."""

    def __post_init__(self) -> None:
        """Refuse a factor that is none.

        Raises:
            ConfigError: If it is below 1.
        """
        if self.downscale < 1:
            raise ConfigError(
                f"downscale: expected a whole number >= 1, got {self.downscale}. "
                "Use 1 for the full size, 2 for half the width and height."
            )


@dataclass(frozen=True, kw_only=True)
class _Format:
    what: str
    is_there: Callable[[Path], bool]
    read: Callable[[Path, SceneFindings, ReadingOptions], SceneDraft]


FORMATS: Mapping[str, _Format] = {
    "blender": _Format(
        what="transforms_train.json (Blender)",
        is_there=is_blender,
        read=lambda place, findings, options: _averaged(
            read_blender(place, findings), options
        ),
    ),
    "transforms": _Format(
        what="transforms.json (instant-ngp, nerfstudio)",
        is_there=is_transforms,
        read=lambda place, findings, options: _averaged(
            read_transforms_scene(place, findings), options
        ),
    ),
    "llff": _Format(
        what="poses_bounds.npy (LLFF)",
        is_there=is_llff,
        read=lambda place, findings, options: read_llff(
            place, findings, downscale=options.downscale, use_ndc=options.use_ndc
        ),
    ),
    "colmap": _Format(
        what="sparse/0 (COLMAP)",
        is_there=is_colmap,
        read=lambda place, findings, options: read_colmap(
            place, findings, downscale=options.downscale
        ),
    ),
    "nsvf": _Format(
        what="pose, rgb and intrinsics.txt (NSVF)",
        is_there=is_nsvf,
        read=lambda place, findings, options: _averaged(
            read_nsvf(place, findings), options
        ),
    ),
}
"""Every format, in the order in which they are looked for."""


def _averaged(draft: SceneDraft, options: ReadingOptions) -> SceneDraft:
    return replace(draft, shrinking=options.downscale)


def _is_cameras(path: Path) -> bool:
    """Return whether a file of cameras is named that may have any name."""
    return path.is_file() and path.suffix.lower() == ".json" and not is_split(path)


def scene_folder(path: Path) -> Path:
    """Return the folder of a scene, of which a file may have been named.

    Args:
        path: What was named.

    Raises:
        DataError: If there is nothing.
    """
    if path.is_file() and path.suffix.lower() == ".json":
        return path.parent
    if path.is_dir():
        return path
    got = "a file" if path.exists() else "a path where there is none"
    raise DataError(
        f"{path}: expected a folder with posed photographs, got {got}. Check the "
        "spelling and the folder that the path starts from."
    )


def find_format(folder: Path, wanted: str | None, findings: SceneFindings) -> str:
    """Return the name of the format that a folder holds.

    Args:
        folder: The folder.
        wanted: The format that was asked for; None to look.
        findings: Where it is noted if there is a choice.

    Raises:
        ConfigError: If the format asked for is unknown.
        DataError: If the folder holds no format, or not the one asked for.
    """
    if wanted is not None and wanted not in FORMATS:
        raise ConfigError(
            f"scene_format: expected one of {', '.join(FORMATS)}, got '{wanted}'. "
            "Leave --format out to have it recognised."
        )
    found = [name for name, format_ in FORMATS.items() if format_.is_there(folder)]
    if wanted in found:
        return str(wanted)
    if wanted is None and found:
        if len(found) > 1:
            findings.add_note(
                f"The folder holds formats {', '.join(found)}: {found[0]} was read. "
                "Name another one with --format."
            )
        return found[0]
    names = sorted(item.name for item in folder.iterdir())
    got = f"one with {', '.join(names[:4])}" if names else "an empty folder"
    got += f" and {len(names) - 4} more" if len(names) > 4 else ""
    expected = FORMATS[wanted].what if wanted else _any_format()
    raise DataError(
        f"{folder}: expected a folder with {expected}, got {got}. Name the folder that "
        "holds the cameras."
    )


def format_of(path: Path, wanted: str | None, findings: SceneFindings) -> str:
    """Return the name of the format of a folder, or of a file of cameras.

    Args:
        path: What was named.
        wanted: The format that was asked for; None to look.
        findings: Where it is noted if there is a choice.

    Raises:
        ConfigError: If the format asked for is unknown.
        DataError: If there is nothing, or no format, or not the one asked for.
    """
    folder = scene_folder(path)
    if _is_cameras(path) and wanted in (None, "transforms"):
        return "transforms"
    return find_format(folder, wanted, findings)


def _any_format() -> str:
    *most, last = [format_.what for format_ in FORMATS.values()]
    return f"{', '.join(most)} or {last}" if most else last


def read_draft(
    path: Path,
    findings: SceneFindings,
    *,
    scene_format: str | None = None,
    options: ReadingOptions | None = None,
) -> SceneDraft:
    """Read the cameras of a scene of any format.

    Args:
        path: Its folder, or its file of cameras.
        findings: Where errors and remarks are noted.
        scene_format: Name of the format; None to recognise it.
        options: What else is asked for.

    Returns:
        The scene, photographs not read.

    Raises:
        DataError: If there is no such scene, or its files are broken.
    """
    options = options or ReadingOptions()
    name = format_of(path, scene_format, findings)
    is_named = name == "transforms" and _is_cameras(path)
    place = path if is_named else scene_folder(path)
    return FORMATS[name].read(place, findings, options)
