"""Open the scene that is asked for, and show how many photographs are read."""

import sys
from typing import TYPE_CHECKING

from tangrid.errors import ConfigError
from tangrid.progress import bar

if TYPE_CHECKING:
    from tangrid.cli.scene_flags import SceneFlags
    from tangrid.experiments.fit_scene import SceneSource
    from tangrid.signals.scene import Scene


def open_scene(path: str | None, flags: "SceneFlags") -> "tuple[SceneSource, Scene]":
    """Return where a scene comes from, and the scene.

    What a reader should know of the data is said on standard error.

    Args:
        path: Its folder; None for the scene that tangrid makes.
        flags: Which photographs.

    Raises:
        ConfigError: If the name of the folder is empty.
    """
    from tangrid.experiments.demo_scene import DEMO_PATH  # noqa: PLC0415
    from tangrid.experiments.fit_scene import SceneSource  # noqa: PLC0415

    if path == "":
        raise ConfigError(
            "FOLDER: expected the folder of a scene, got an empty name. Write . for "
            "the folder in which you are."
        )
    source = SceneSource(
        path=DEMO_PATH if path is None else path,
        downscale=flags.downscale,
        holdout=flags.holdout,
        uses_ndc=not flags.no_ndc,
        scene_format=flags.format,
    )
    with bar("reading photographs") as show:
        signal = source.open(show)
    for note in signal.notes:
        print(f"tangrid: {note}", file=sys.stderr)
    return source, signal
