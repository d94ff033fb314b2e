"""Photographs that come with scikit-image, so that a first fit needs no download."""

from importlib.resources import files
from pathlib import Path

_FILES = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "ihc": "ihc.png",
    "moon": "moon.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}

BUNDLED_IMAGES = tuple(_FILES)
"""Names that `ImageSignal.open` understands where no file has that name."""


def bundled_path(name: str) -> Path | None:
    """Find a photograph inside the installed scikit-image.

    Args:
        name: One of `BUNDLED_IMAGES`.

    Returns:
        Its file; None for another name, or if this scikit-image lacks the file.

    Example:
        >>> bundled_path("astronaut").name
        'astronaut.png'
    """
    if name not in _FILES:
        return None
    # By folder and not by import: skimage.data pulls in much that is not needed.
    path = Path(str(files("skimage"))) / "data" / _FILES[name]
    return path if path.is_file() else None
