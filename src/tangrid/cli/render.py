"""``tangrid render RUN``: draw a fitted field at any size."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Crop, Device, File, Real, Region, Switch
from tangrid.cli.flags import PluginFlags, check_device, check_threads, device_named
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ImageRenderFlags:
    """Which part of a fitted image is drawn, and how finely."""

    region: Region = None
    """Part to draw, in units of the whole picture: 0,0,0.5,0.5 is the upper left."""
    crop: Crop = None
    """Part to draw, in pixels of the fitted image: 64 or 64x48 (centre), 64x48+9+9."""
    bits: Literal[8, 16] = 8
    """Bits per channel of a picture."""


@dataclass(frozen=True, kw_only=True)
class ShapeRenderFlags:
    """Where a fitted shape is seen from."""

    azimuth: Real = None
    """Degrees around the upright axis (default: 25)."""
    elevation: Real = None
    """Degrees above the horizon (default: 15)."""
    turntable: Count = None
    """Number of pictures around the shape, as PNG files in a folder or as an MP4."""


@dataclass(frozen=True, kw_only=True)
class SceneRenderFlags:
    """Where a fitted scene is seen from, and what its pictures show."""

    path: Literal["views", "orbit", "spiral"] = "views"
    """Held-out views, or a way of a camera: around it, or to and fro before it."""
    frames: Count = None
    """Pictures of a way (default: 60); alone, it takes the way that suits the scene."""
    camera: File = None
    """JSON of a camera or several, as in transforms.json or RUN/cameras.json."""
    depth: Switch = False
    """Draw distances too, the nearest bright; each picture has a scale of its own."""
    background: Literal["auto", "transparent", "white", "black"] = "auto"
    """What stands behind; auto is transparent where photographs are, else black."""


@dataclass(frozen=True, kw_only=True)
class RenderRequest:
    """Draw a fitted field: an image or a part of it, views of a shape or of a scene.

    Images are sRGB-coded and clipped to 0..1; .npy keeps the field's own values.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit."""
    out: File = None
    """An image: .png, .tiff, .npy; others: .png, .mp4, a folder (default: by RUN)."""
    width: Count = None
    """Pixels along x (default: those of the image or the camera; 800 for a shape)."""
    height: Count = None
    """Pixels along y (default: as follows from the width)."""
    image: ImageRenderFlags = field(default_factory=ImageRenderFlags)
    shape: ShapeRenderFlags = field(default_factory=ShapeRenderFlags)
    scene: SceneRenderFlags = field(default_factory=SceneRenderFlags)
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""
    overwrite: Switch = False
    """Replace what is there."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: RenderRequest, command: Sequence[str]) -> None:
    """Draw the field and print where the picture is.

    Args:
        request: What was asked for.
        command: The whole command.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.render_image import render_image  # noqa: PLC0415
    from tangrid.cli.render_scene import render_scene  # noqa: PLC0415
    from tangrid.cli.render_shape import render_shape  # noqa: PLC0415
    from tangrid.cli.run_folder import named_folder  # noqa: PLC0415
    from tangrid.experiments import FitImage, FitScene, load  # noqa: PLC0415

    load_plugin(request.other.plugin)
    check_threads(request.threads)
    check_device(request.device)
    folder = named_folder(request.run)
    fitted = load(folder, device=device_named(request.device))
    if isinstance(fitted.experiment, FitImage):
        _refuse_others(request, "an image")
        render_image(request, folder, fitted.field, fitted.experiment)
    elif isinstance(fitted.experiment, FitScene):
        _refuse_others(request, "a scene")
        render_scene(request, folder, fitted)
    else:
        _refuse_others(request, "a shape")
        render_shape(request, folder, fitted)


def _refuse_others(request: RenderRequest, got: str) -> None:
    """Refuse flags that are for another kind of fit."""
    usual = RenderRequest(run=request.run)
    kinds = {
        "an image": (request.image, usual.image),
        "a shape": (request.shape, usual.shape),
        "a scene": (request.scene, usual.scene),
    }
    del kinds[got]
    for wanted, (given, own) in kinds.items():
        for name, value in vars(given).items():
            if value != getattr(own, name):
                raise ConfigError(
                    f"--{name}: expected a fit of {wanted}, got one of {got}. Leave "
                    f"--{name} out."
                )
