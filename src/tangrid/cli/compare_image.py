"""``tangrid compare image PATH...``: fit several models to images by one recipe."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from tangrid.cli.flags import (
    ImageFlags,
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    distinct_names,
    models_in,
    optimizer_of,
    seeds_of,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.cli.succession import Succession
    from tangrid.experiments.compare_images import CompareImages
    from tangrid.experiments.keeping import Kept
    from tangrid.signals.image import ImageSignal


@dataclass(frozen=True, kw_only=True)
class CompareImageRequest:
    """Fit several models to one image or several: one table, one page.

    All are trained by one recipe; --params gives all the same number of parameters.
    """

    paths: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="PATH...", help_behavior_hint="(required)"),
    ]
    """Picture files, or names of installed photographs."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to compare, with commas; `tangrid catalogue` lists all."""
    image: ImageFlags = field(default_factory=ImageFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: CompareImageRequest, command: Sequence[str]) -> None:
    """Fit everything, write the reports, and print the table.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    compare(request, command, suffix="comparison")


def compare(
    request: CompareImageRequest, command: Sequence[str], *, suffix: str
) -> None:
    """Do what `run` does, in a folder with a suffix of its own.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
        suffix: End of the folder's name where ``--out`` names none.
    """
    check_flags(request.training)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import compare_in_folder  # noqa: PLC0415
    from tangrid.experiments.compare_images import (  # noqa: PLC0415
        plan_comparison,
        run_comparison,
    )

    load_plugin(request.output.plugin)
    comparison, signals = _plan(request)
    # Everything is tried before a folder is made.
    plan_comparison(comparison, signals)

    def fit_all(kept: "Kept", show: "Succession") -> Iterator[dict[str, Any]]:
        return run_comparison(
            comparison,
            signals,
            kept.folder,
            resume=kept.resume,
            device=device_named(request.training.device),
            command=command,
            on_run=show.begin,
            on_step=show.step,
        )

    names = [source.name for source in comparison.signals]
    compare_in_folder(comparison, names, request.output, suffix, fit_all)


def _plan(
    request: CompareImageRequest,
) -> "tuple[CompareImages, list[ImageSignal]]":
    """Return what is asked for, and its images, opened."""
    from tangrid.experiments.compare_images import CompareImages  # noqa: PLC0415
    from tangrid.experiments.fit_image import ImageSource  # noqa: PLC0415
    from tangrid.training.settings import training_for  # noqa: PLC0415

    image, flags = request.image, request.training
    training = training_for(
        flags.steps,
        flags.minutes,
        batch_size=flags.batch_size,
        threads=flags.threads,
        optimizer=optimizer_of(flags),
    )
    if not request.paths:
        raise ConfigError(
            "PATH: expected at least one picture file, got none. Write for example "
            "tangrid compare image photo.png."
        )
    models = models_in(request.models)
    for model in models:
        check_decoder(flags, model)
    sources = [
        ImageSource(
            path=path,
            colour=image.colour,
            crop=image.crop,
            downscale=image.downscale,
        )
        for path in request.paths
    ]
    signals = [source.open() for source in sources]
    names = distinct_names(request.paths, [signal.name for signal in signals])
    comparison = CompareImages(
        models=models,
        signals=tuple(
            dataclasses.replace(source, name=name)
            for source, name in zip(sources, names, strict=True)
        ),
        params=flags.params,
        seeds=seeds_of(flags),
        sampling=image.sampling,
        holdout=image.holdout,
        heldout_share=image.heldout_share,
        training=training,
        settings=settings_of(flags),
    )
    return comparison, signals
