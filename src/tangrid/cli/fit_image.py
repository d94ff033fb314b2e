"""``tangrid fit image PATH``: fit one model to one image."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flags import (
    ImageFlags,
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.track_flags import TrackFlags, check_track, tracked
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.experiments.fit_image import FitImage
    from tangrid.experiments.keeping import Kept
    from tangrid.progress import ProgressLine
    from tangrid.signals.image import ImageSignal


@dataclass(frozen=True, kw_only=True)
class FitImageRequest:
    """Fit one model to one image and keep everything in a folder, with a report.

    Photographs that are installed already go by name, such as astronaut and coffee.
    """

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """Picture file, or name of an installed photograph."""
    model: Annotated[str, arg(metavar="NAME")] = "mulfagrid"
    """Model to fit; `tangrid catalogue` lists all."""
    image: ImageFlags = field(default_factory=ImageFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    track: TrackFlags = field(default_factory=TrackFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: FitImageRequest, command: Sequence[str]) -> None:
    """Fit, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.

    Raises:
        ConfigError: If several models were named.
    """
    check_flags(request.training)
    check_track(request.track, request.training.seeds)
    if "," in request.model:
        raise ConfigError(
            f"--model: expected one model, got '{request.model}'. Fit several with "
            "`tangrid compare image`."
        )
    if request.training.seeds > 1:
        _compare_seeds(request, command)
        return
    _fit(request, command)


def _compare_seeds(request: FitImageRequest, command: Sequence[str]) -> None:
    from tangrid.cli.compare_image import CompareImageRequest, compare  # noqa: PLC0415

    several = CompareImageRequest(
        paths=(request.path,),
        models=request.model,
        image=request.image,
        training=request.training,
        output=request.output,
    )
    compare(several, command, suffix=f"{request.model}-seeds")


def _fit(request: FitImageRequest, command: Sequence[str]) -> None:
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import fit_in_folder  # noqa: PLC0415
    from tangrid.experiments.fit_image import run_fit  # noqa: PLC0415

    load_plugin(request.output.plugin)
    device = device_named(request.training.device)
    experiment, signal = _plan(request)

    def fit(kept: "Kept", line: "ProgressLine") -> None:
        run_fit(
            experiment,
            signal,
            device=device,
            folder=kept.folder,
            resume=kept.resume,
            command=command,
            on_step=line,
        )

    fit_in_folder(experiment, request.output, fit)


def _plan(request: FitImageRequest) -> "tuple[FitImage, ImageSignal]":
    """Return the experiment with every setting resolved, and its image, opened."""
    from tangrid.experiments.fit_image import ImageSource, plan_fit  # noqa: PLC0415
    from tangrid.training.settings import training_for  # noqa: PLC0415

    image, flags = request.image, request.training
    check_decoder(flags, request.model)
    source = ImageSource(
        path=request.path,
        colour=image.colour,
        crop=image.crop,
        downscale=image.downscale,
    )
    training = training_for(
        flags.steps, flags.minutes, batch_size=flags.batch_size, threads=flags.threads
    )
    signal = source.open()
    experiment = plan_fit(
        signal,
        dataclasses.replace(source, name=signal.name),
        model=request.model,
        params=flags.params,
        training=training,
        sampling=image.sampling,
        holdout=image.holdout,
        heldout_share=image.heldout_share,
        seed=flags.seed,
        settings=settings_of(flags),
    )
    return tracked(experiment, request.track, signal.num_channels), signal
