"""Draw views of a fitted shape: one picture, or a turn around it."""

import io
import math
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from PIL import Image

from tangrid.cli.render import RenderRequest
from tangrid.cli.video_file import check_video, write_video
from tangrid.errors import ConfigError
from tangrid.experiments import FittedRun
from tangrid.experiments.shape_output import views_of_shape
from tangrid.progress import bar
from tangrid.rendering.camera_paths import orbit, turntable
from tangrid.runs.writing import unwritable, write_whole
from tangrid.signals.camera import Camera
from tangrid.tasks.sdf_pictures import DISTANCE, VIEWS

_SIDE = 800
_LARGEST_SIDE = 2**13
_MOST_VIEWS = 10_000
_FRAME = "turn_[0-9][0-9][0-9][0-9].png"


def render_shape(request: RenderRequest, folder: Path, run: FittedRun) -> None:
    """Draw the shape and print where the pictures are.

    Args:
        request: What was asked for.
        folder: The run.
        run: The fitted shape.

    Raises:
        ConfigError: If what would be written is there already, or cannot be.
    """
    count = request.shape.turntable
    if count is not None and not 1 <= count <= _MOST_VIEWS:
        raise ConfigError(
            f"--turntable: expected 1 to {_MOST_VIEWS} pictures, got {count}. Some 60 "
            "make a smooth turn."
        )
    usual = f"{folder}.png" if count is None else f"{folder}-turntable"
    path = Path(request.out or usual).expanduser()
    suffix = path.suffix.lower()
    if (suffix == ".png") != (count is None):
        raise ConfigError(
            f"{path}: expected a name that ends with .png for one picture, or a folder "
            "or a name that ends with .mp4 for a --turntable. Choose another with "
            "--out."
        )
    if suffix == ".mp4":
        check_video()
    _check_free(path, is_replaced=request.overwrite)
    cameras = _cameras(request, needs_even_sides=suffix == ".mp4")
    with bar("drawing") as show:
        views = views_of_shape(run, cameras, threads=request.threads)
        counted = _counted(views, len(cameras), show)
        if suffix == ".mp4":
            write_video(path, counted)
        elif count is None:
            _write_png(path, next(counted))
        else:
            for number, pixels in enumerate(counted):
                _write_png(path / f"turn_{number:04d}.png", pixels)
            _remove_longer_turn(path, len(cameras))
    print(f"{cameras[0].width} x {cameras[0].height} pixels")
    print(path)


def _check_free(path: Path, *, is_replaced: bool) -> None:
    """Refuse to write over what is there, and among what others have put there."""
    is_taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if is_taken and not is_replaced:
        raise ConfigError(
            f"{path}: expected a new file or an empty folder, got one that is there. "
            "Choose another with --out, or replace it with --overwrite."
        )
    items = path.iterdir() if path.is_dir() else ()
    foreign = [item.name for item in items if not fnmatchcase(item.name, _FRAME)]
    if foreign:
        raise ConfigError(
            f"{path}: expected a folder of an earlier turntable or an empty one, got "
            f"one that also holds {foreign[0]}. Choose another with --out."
        )


def _cameras(request: RenderRequest, *, needs_even_sides: bool) -> list[Camera]:
    for name, side in (("width", request.width), ("height", request.height)):
        if side is not None and not 1 <= side <= _LARGEST_SIDE:
            raise ConfigError(
                f"--{name}: expected 1 to {_LARGEST_SIDE} pixels, got {side}. "
                f"Leave it out for {_SIDE}."
            )
    width = request.width or request.height or _SIDE
    height = request.height or width
    if needs_even_sides:
        # The video's colours have half its resolution.
        width, height = width + width % 2, height + height % 2
    flags = request.shape
    if flags.turntable is not None and flags.azimuth is not None:
        raise ConfigError(
            "--turntable and --azimuth: expected one of them, got both. A turn goes "
            "all around, from 0 degrees on; leave --azimuth out."
        )
    usual_azimuth, usual_elevation = VIEWS["front"]
    azimuth = usual_azimuth if flags.azimuth is None else flags.azimuth
    elevation = usual_elevation if flags.elevation is None else flags.elevation
    if not math.isfinite(azimuth):
        raise ConfigError(
            f"--azimuth: expected a number of degrees, got {azimuth:g}. 0 looks along "
            "-z, 90 along -x."
        )
    if not -90 <= elevation <= 90:
        raise ConfigError(
            f"--elevation: expected -90 to 90 degrees, got {elevation:g}. 90 looks "
            "straight down."
        )
    size = {"distance": DISTANCE, "width": width, "height": height}
    if flags.turntable is None:
        return [orbit(azimuth, elevation, **size)]
    return turntable(flags.turntable, elevation, **size)


def _counted(
    views: Iterator[np.ndarray], total: int, show: Callable[[int, int], None]
) -> Iterator[np.ndarray]:
    """Yield pictures and show how many are done."""
    for number, pixels in enumerate(views, start=1):
        yield pixels
        show(number, total)


def _remove_longer_turn(folder: Path, count: int) -> None:
    """Remove the end of a turn that was replaced by one of fewer pictures."""
    for file in folder.glob(_FRAME):
        if int(file.stem.removeprefix("turn_")) >= count:
            file.unlink()


def _write_png(path: Path, pixels: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    write_whole(path, file.getvalue())
