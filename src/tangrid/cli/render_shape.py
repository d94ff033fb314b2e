"""Draw views of a fitted shape: one picture, or a turn around it."""

import math
from pathlib import Path

from tangrid.cli.picture_folder import (
    check_free,
    check_sides,
    counted,
    remove_others,
    write_picture,
)
from tangrid.cli.render import RenderRequest
from tangrid.cli.video_file import check_video, write_video
from tangrid.errors import ConfigError
from tangrid.experiments import FittedRun
from tangrid.experiments.shape_output import views_of_shape
from tangrid.progress import bar
from tangrid.rendering.camera_paths import orbit, turntable
from tangrid.signals.camera import Camera
from tangrid.tasks.sdf_pictures import DISTANCE, VIEWS
from tangrid.tasks.view_pictures import as_png

_SIDE = 800
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
    check_free(path, [_FRAME], is_replaced=request.overwrite)
    cameras = _cameras(request, needs_even_sides=suffix == ".mp4")
    with bar("drawing") as show:
        views = views_of_shape(run, cameras, threads=request.threads)
        drawn = counted(views, len(cameras), show)
        if suffix == ".mp4":
            write_video(path, drawn)
        elif count is None:
            write_picture(path, as_png(next(drawn)))
        else:
            names = [f"turn_{number:04d}.png" for number in range(len(cameras))]
            for name, pixels in zip(names, drawn, strict=True):
                write_picture(path / name, as_png(pixels))
            remove_others(path, [_FRAME], names)
    print(f"{cameras[0].width} x {cameras[0].height} pixels")
    print(path)


def _cameras(request: RenderRequest, *, needs_even_sides: bool) -> list[Camera]:
    check_sides(request.width, request.height, str(_SIDE))
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
