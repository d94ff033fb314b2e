"""``tangrid analyze image PATH``: tangent kernels of untrained models at pixels."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flags import (
    ModelFlags,
    OutputFlags,
    PictureFlags,
    check_device,
    check_seeds,
    models_in,
    seeds_of,
    settings_of,
)
from tangrid.cli.kernel_flags import KernelFlags, kernel_settings
from tangrid.cli.plugin import load_plugin

if TYPE_CHECKING:
    from tangrid.experiments.analyze_image import AnalyzeImage
    from tangrid.signals.image import ImageSignal


@dataclass(frozen=True, kw_only=True)
class AnalyzeImageRequest:
    """Look at the tangent kernels of untrained models at pixels of an image.

    Spectra, bounds, pictures, and gradient descent as predicted and as it goes.
    """

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """Picture file, or name of an installed photograph."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to look at, with commas; `tangrid catalogue` lists all."""
    kernels: KernelFlags = field(default_factory=KernelFlags)
    image: PictureFlags = field(default_factory=PictureFlags)
    model: ModelFlags = field(default_factory=ModelFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: AnalyzeImageRequest, command: Sequence[str]) -> None:
    """Look at all models, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    check_seeds(request.model)
    check_device(request.kernels.device)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.kernel_outcome import keep_analysis  # noqa: PLC0415
    from tangrid.experiments.analyze_image import plan_image_analysis  # noqa: PLC0415

    load_plugin(request.output.plugin)
    experiment, signal = _experiment(request)
    # Everything is tried before a folder is made.
    analysis, plan = plan_image_analysis(experiment, signal)
    own = f"runs/{signal.name}-kernels"
    device = request.kernels.device
    keep_analysis(analysis, plan, request.output, own, command, device)


def _experiment(
    request: AnalyzeImageRequest,
) -> "tuple[AnalyzeImage, ImageSignal]":
    """Return what is asked for, and the image, opened."""
    from tangrid.experiments.analyze_image import AnalyzeImage  # noqa: PLC0415
    from tangrid.experiments.fit_image import ImageSource  # noqa: PLC0415

    image, flags = request.image, request.model
    models = models_in(request.models)
    source = ImageSource(
        path=request.path,
        colour=image.colour,
        crop=image.crop,
        downscale=image.downscale,
    )
    signal = source.open()
    experiment = AnalyzeImage(
        models=models,
        signal=dataclasses.replace(source, name=signal.name),
        params=flags.params,
        seeds=seeds_of(flags),
        settings=settings_of(flags),
        kernels=kernel_settings(request.kernels, signal.num_pixels, flags.seed),
    )
    return experiment, signal
