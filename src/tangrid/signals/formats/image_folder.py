"""Folders of photographs beside smaller copies: images, images_2 and so on."""

import re
from pathlib import Path

from tangrid.errors import DataError

_COPIES = re.compile(r"images(?:_(\d+))?")
_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


def find_images(folder: Path, downscale: int) -> tuple[Path, int]:
    """Choose the copies that are nearest to a wanted size, and no smaller.

    Args:
        folder: The scene.
        downscale: Factor by which photographs are to be made smaller.

    Returns:
        The folder of photographs, and the factor that is still to be averaged.

    Raises:
        DataError: If there are none of the wanted size or of a multiple of it.
    """
    copies = {
        int(match[1] or 1): item
        for item in folder.iterdir()
        if item.is_dir() and (match := _COPIES.fullmatch(item.name))
    }
    fitting = [size for size in copies if size and downscale % size == 0]
    if fitting:
        return copies[max(fitting)], downscale // max(fitting)
    if copies:
        names = ", ".join(copies[size].name for size in sorted(copies))
        raise DataError(
            f"{folder}: expected photographs for downscale {downscale}, in images"
            f"{'' if downscale == 1 else f' or images_{downscale}'}, got {names}. Say "
            f"downscale {min(copies)}."
        )
    raise DataError(
        f"{folder}: expected a folder of photographs that is called images, or "
        "images_8 for copies of an eighth of the size, got neither. Put them there."
    )


def picture_files(folder: Path) -> list[Path]:
    """Return the pictures of a folder, sorted by name.

    Args:
        folder: Where they are.
    """
    return sorted(item for item in folder.iterdir() if item.suffix.lower() in _ENDINGS)
