"""``tangrid render RUN``: draw a fitted field at any resolution or crop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Crop, File, Region, Switch
from tangrid.cli.flags import PluginFlags
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.experiments import FitImage
    from tangrid.experiments.drawing import Window


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """Draw a fitted field at any resolution or crop.

    Pictures are sRGB-coded and clipped to 0..1; .npy keeps the field's own values.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit."""
    out: File = None
    """Picture to write: .png, .tiff or .npy (default: RUN.png)."""
    width: Count = None
    """Pixels along x (default: those of the fitted image)."""
    height: Count = None
    """Pixels along y (default: as follows from the width)."""
    region: Region = None
    """Part to draw, in units of the whole picture: 0,0,0.5,0.5 is the upper left."""
    crop: Crop = None
    """Part to draw, in pixels of the fitted image: 64 or 64x48 (centre), 64x48+9+9."""
    bits: Literal[8, 16] = 8
    """Bits per channel of a picture."""
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    overwrite: Switch = False
    """Replace the file that is there."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: RenderRequest, command: Sequence[str]) -> None:
    """Draw the field and print where the picture is.

    Args:
        request: What was asked for.
        command: The whole command.

    Raises:
        ConfigError: If the file is there already.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.picture_file import PictureFile  # noqa: PLC0415
    from tangrid.experiments import load  # noqa: PLC0415
    from tangrid.experiments.drawing import draw_strips  # noqa: PLC0415
    from tangrid.progress import counted  # noqa: PLC0415

    load_plugin(request.other.plugin)
    if request.threads is not None and request.threads < 1:
        raise ConfigError(
            f"--threads: expected a whole number >= 1, got {request.threads}. Leave it "
            "out to use all."
        )
    folder = Path(request.run).expanduser()
    if folder.name in ("", ".."):
        folder = folder.resolve()
    fitted = load(folder)
    window = window_for(request, fitted.experiment)
    path = Path(request.out or f"{folder}.png").expanduser()
    picture = PictureFile(
        path=path,
        width=window.width,
        height=window.height,
        num_channels=fitted.experiment.num_channels,
        colour=fitted.experiment.signal.colour,
        bits=request.bits,
    )
    if path.exists() and not request.overwrite:
        raise ConfigError(
            f"{path}: expected a new file, got one that is there. Choose another with "
            "--out, or replace it with --overwrite."
        )
    strips = draw_strips(fitted.field, window, threads=request.threads)
    picture.write(counted(strips, window.height, "drawing"))
    print(f"{window.width} x {window.height} pixels")
    print(path)


def window_for(request: RenderRequest, experiment: "FitImage") -> "Window":
    """Return what to draw.

    Args:
        request: What was asked for.
        experiment: The fit, whose pixels are the measure.

    Raises:
        ConfigError: If the part is named twice, or not as it should be.
    """
    from tangrid.experiments.drawing import window_at  # noqa: PLC0415
    from tangrid.signals.crop import parse_crop  # noqa: PLC0415

    resolution = experiment.resolution
    region = (0.0, 0.0, 1.0, 1.0)
    if request.region is not None and request.crop is not None:
        raise ConfigError(
            "--region and --crop: expected one of them, got both. Leave one out."
        )
    if request.crop is not None:
        box = parse_crop(request.crop).box(*resolution)
        across, down = resolution
        right, bottom = box.x + box.width, box.y + box.height
        region = (box.x / across, box.y / down, right / across, bottom / down)
    elif request.region is not None:
        region = _region(request.region)
    return window_at(
        resolution, region=region, width=request.width, height=request.height
    )


def _region(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"--region: expected four numbers X0,Y0,X1,Y1, got '{text}'. Write for "
            "example --region 0.25,0.25,0.75,0.75."
        ) from error
    return x0, y0, x1, y1
