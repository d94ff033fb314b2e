"""Draw a fitted image at any resolution or crop."""

from pathlib import Path

from tangrid.cli.picture_file import PictureFile
from tangrid.cli.render import RenderRequest
from tangrid.errors import ConfigError
from tangrid.experiments import FitImage
from tangrid.experiments.drawing import Window, draw_strips, window_at
from tangrid.fields import Field
from tangrid.progress import counted
from tangrid.signals.crop import parse_crop


def render_image(
    request: RenderRequest, folder: Path, field: Field, experiment: FitImage
) -> None:
    """Draw the field and print where the picture is.

    Args:
        request: What was asked for.
        folder: The run.
        field: Its field.
        experiment: What was fitted.

    Raises:
        ConfigError: If the file is there already.
    """
    window = window_for(request, experiment)
    path = Path(request.out or f"{folder}.png").expanduser()
    picture = PictureFile(
        path=path,
        width=window.width,
        height=window.height,
        num_channels=experiment.num_channels,
        colour=experiment.signal.colour,
        bits=request.image.bits,
    )
    if path.exists() and not request.overwrite:
        raise ConfigError(
            f"{path}: expected a new file, got one that is there. Choose another with "
            "--out, or replace it with --overwrite."
        )
    strips = draw_strips(field, window, threads=request.threads)
    picture.write(counted(strips, window.height, "drawing"))
    print(f"{window.width} x {window.height} pixels")
    print(path)


def window_for(request: RenderRequest, experiment: FitImage) -> Window:
    """Return what to draw.

    Args:
        request: What was asked for.
        experiment: The fit, whose pixels are the measure.

    Raises:
        ConfigError: If the part is named twice, or not as it should be.
    """
    resolution = experiment.resolution
    region = (0.0, 0.0, 1.0, 1.0)
    if request.image.region is not None and request.image.crop is not None:
        raise ConfigError(
            "--region and --crop: expected one of them, got both. Leave one out."
        )
    if request.image.crop is not None:
        box = parse_crop(request.image.crop).box(*resolution)
        across, down = resolution
        right, bottom = box.x + box.width, box.y + box.height
        region = (box.x / across, box.y / down, right / across, bottom / down)
    elif request.image.region is not None:
        region = _region(request.image.region)
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
