"""``tangrid fit image PATH``: fit one model to one image."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.auto_flags import AutoFlags, check_auto, planned_fit
from tangrid.cli.flags import (
    ImageFlags,
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    names_in,
    optimizer_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.track_flags import TrackFlags, check_track, tracked

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
    auto: AutoFlags = field(default_factory=AutoFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: FitImageRequest, command: Sequence[str]) -> None:
    """Fit, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.

    Raises:
        ConfigError: If several models were named without ``--auto``.
    """
    check_flags(request.training)
    check_track(request.track, request.training.seeds)
    check_auto(request.auto, request.model, request.training.seeds, "image")
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
    plan_one, signal = _planner(request)
    experiment, choice, output = planned_fit(
        request.auto,
        request.model,
        request.training,
        request.output,
        signal,
        plan_one,
        device,
    )

    def fit(kept: "Kept", line: "ProgressLine") -> None:
        run_fit(
            experiment,
            signal,
            device=device,
            folder=kept.folder,
            resume=kept.resume,
            command=command,
            choice=choice,
            on_step=line,
        )

    fit_in_folder(experiment, output, fit)


def _planner(
    request: FitImageRequest,
) -> "tuple[Callable[[str, Mapping[str, str]], FitImage], ImageSignal]":
    """Return what plans a fit with every setting resolved, and the image, opened."""
    from tangrid.experiments.fit_image import ImageSource, plan_fit  # noqa: PLC0415
    from tangrid.training.settings import training_for  # noqa: PLC0415

    image, flags = request.image, request.training
    for model in names_in(request.model):
        check_decoder(flags, model)
    source = ImageSource(
        path=request.path,
        colour=image.colour,
        crop=image.crop,
        downscale=image.downscale,
    )
    training = training_for(
        flags.steps,
        flags.minutes,
        batch_size=flags.batch_size,
        threads=flags.threads,
        optimizer=optimizer_of(flags),
    )
    signal = source.open()

    def plan_one(model: str, settings: Mapping[str, str]) -> "FitImage":
        experiment = plan_fit(
            signal,
            dataclasses.replace(source, name=signal.name),
            model=model,
            params=flags.params,
            training=training,
            sampling=image.sampling,
            holdout=image.holdout,
            heldout_share=image.heldout_share,
            seed=flags.seed,
            settings=settings,
        )
        return tracked(experiment, request.track, signal.num_channels)

    return plan_one, signal
