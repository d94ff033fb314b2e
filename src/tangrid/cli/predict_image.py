"""``tangrid predict image PATH``: which model will fit, without training any."""

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
    models_in,
    seeds_of,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.predict_flags import (
    PredictionFlags,
    check_prediction_flags,
    prediction_settings,
)

if TYPE_CHECKING:
    from tangrid.experiments.predict_images import PredictImage
    from tangrid.signals.image import ImageSignal


@dataclass(frozen=True, kw_only=True)
class PredictImageRequest:
    """Rank models, and settings of them, by how they would fit an image.

    By tangent kernels and a short lesson; --steps and the like describe the fit.
    """

    path: Annotated[Positional[str], arg(metavar="PATH")]
    """Picture file, or name of an installed photograph."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to rank, with commas; `tangrid catalogue` lists all."""
    look: PredictionFlags = field(default_factory=PredictionFlags)
    image: ImageFlags = field(default_factory=ImageFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: PredictImageRequest, command: Sequence[str]) -> None:
    """Look at all candidates, write the report, and print the ranking.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    check_flags(request.training)
    check_prediction_flags(request.look, request.training)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.predict_outcome import keep_prediction  # noqa: PLC0415
    from tangrid.experiments.predict_images import (  # noqa: PLC0415
        plan_image_prediction,
    )

    load_plugin(request.output.plugin)
    experiment, signal = _experiment(request)
    # Everything is tried before a folder is made.
    keep_prediction(
        plan_image_prediction(experiment, signal),
        request.output,
        command,
        device=request.training.device,
        trained=request.look.trained,
    )


def _experiment(request: PredictImageRequest) -> "tuple[PredictImage, ImageSignal]":
    """Return what is asked for, and the image, opened."""
    from tangrid.experiments.fit_image import ImageSource  # noqa: PLC0415
    from tangrid.experiments.predict_images import PredictImage  # noqa: PLC0415
    from tangrid.training.settings import training_for  # noqa: PLC0415

    image, flags = request.image, request.training
    models = models_in(request.models)
    for model in models:
        check_decoder(flags, model)
    source = ImageSource(
        path=request.path,
        colour=image.colour,
        crop=image.crop,
        downscale=image.downscale,
    )
    signal = source.open()
    experiment = PredictImage(
        models=models,
        sweeps=request.look.sweep,
        signal=dataclasses.replace(source, name=signal.name),
        params=flags.params,
        seeds=seeds_of(flags),
        sampling=image.sampling,
        holdout=image.holdout,
        heldout_share=image.heldout_share,
        training=training_for(
            flags.steps,
            flags.minutes,
            batch_size=flags.batch_size,
            threads=flags.threads,
        ),
        settings=settings_of(flags),
        look=prediction_settings(request.look),
        diagnostics=not request.look.no_diagnostics,
    )
    return experiment, signal
