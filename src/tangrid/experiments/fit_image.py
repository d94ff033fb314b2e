"""Fit one field to one image, judge it, and keep everything in a run folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.experiments.choice import Choice, choice_metrics, keep_choice
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fitting import Fit, FittedRun, all_metrics, begin, resolved
from tangrid.experiments.track_kernel import drawn_points, fit_tracked
from tangrid.fields.workers import Workers, predict
from tangrid.ops import forget_implementations
from tangrid.presets import find_model
from tangrid.runs.annotations import ADDED_LATER
from tangrid.runs.store import RunFolder
from tangrid.signals.colour import Colour
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site
from tangrid.signals.splits import Split, split_at_random, split_every_second
from tangrid.tasks.image_evaluation import evaluate_image
from tangrid.tasks.image_pictures import Framing, describe, draw, frame
from tangrid.tasks.image_regression import ImageRegression, Sampling
from tangrid.training import Moment, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Where an image comes from and which part of it is meant."""

    path: str | None = None
    """File, or name of an image that scikit-image ships; None for an array."""
    name: str = "image"
    """Name in tables."""
    colour: Colour = "srgb"
    """Colour space of the fitted values."""
    crop: str | None = None
    """Part to fit: "256", "256x192" or "256x192+40+20"."""
    downscale: int = 1
    """Whole factor by which the crop is made smaller."""

    def open(self) -> ImageSignal:
        """Return the image, read from its file.

        Raises:
            ConfigError: If it was an array, which no file keeps.
        """
        if self.path is None:
            raise ConfigError(
                f"signal '{self.name}': expected the path of a file, got an array that "
                "only the program that made it had. Give the signal itself."
            )
        return ImageSignal.open(
            self.path, colour=self.colour, crop=self.crop, downscale=self.downscale
        )


@EXPERIMENTS.register("fit-image")
@dataclass(frozen=True, kw_only=True)
class FitImage(Fit):
    """All that decides the bits of a fit to an image."""

    signal: ImageSource = field(default_factory=ImageSource)
    """The image."""
    num_channels: int = 3
    """Values per pixel."""
    resolution: tuple[int, ...] = (1, 1)
    """Width and height in pixels."""
    sampling: Sampling = "auto"
    """Which points each step trains on."""
    holdout: bool = False
    """Whether only every second pixel along each axis is trained on."""
    heldout_share: float | None = field(default=None, metadata=ADDED_LATER)
    """Share of the pixels, drawn at random, that is not trained on."""

    def split(self, signal: ImageSignal) -> Split | None:
        """Return the pixels that are trained on and those held out, if there are any.

        Args:
            signal: The image.

        Raises:
            ConfigError: If two rules are asked for, or the share is none.
        """
        if self.heldout_share is None:
            return split_every_second(signal) if self.holdout else None
        if self.holdout:
            raise ConfigError(
                "holdout: expected one rule, got every second pixel and a share of "
                f"{self.heldout_share:g} at random. Leave out --holdout or "
                "--heldout-share."
            )
        return split_at_random(signal, self.heldout_share, self.seed)

    @property
    def site(self) -> Site:
        """What the field knows of the image, but for a sampler."""
        return Site(
            num_dims=2, num_channels=self.num_channels, resolution=self.resolution
        )

    @property
    def is_least_squares(self) -> bool:
        """Whether the loss is the mean square of values' errors: it is."""
        return True

    @property
    def source(self) -> ImageSource:
        """Where the image comes from."""
        return self.signal


def plan_fit(
    signal: ImageSignal,
    source: ImageSource,
    *,
    model: str,
    params: int | None,
    training: TrainingSettings,
    sampling: Sampling = "auto",
    holdout: bool = False,
    heldout_share: float | None = None,
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
) -> FitImage:
    """Return the experiment with every setting resolved.

    Args:
        signal: The image.
        source: Where it came from.
        model: Name of a preset, an encoding or a field.
        params: Budget of trainable parameters; None for the model's own size.
        training: How to train; the model's own rates are put in.
        sampling: Which points each step trains on.
        holdout: Whether only every second pixel along each axis is trained on.
        heldout_share: Share of the pixels, drawn at random, that is not trained on.
        seed: Source of all randomness.
        settings: Single settings to change, by dotted path, such as
            ``{"field.encoding.num_levels": "8"}``.
    """
    experiment = FitImage(
        model=model,
        signal=source,
        num_channels=signal.num_channels,
        resolution=(signal.width, signal.height),
        sampling=sampling,
        holdout=holdout,
        heldout_share=heldout_share,
        training=training,
        seed=seed,
    )
    experiment.split(signal)  # before anything is begun
    return resolved(experiment, find_model(model), params=params, settings=settings)


def run_fit(
    experiment: FitImage,
    signal: ImageSignal,
    *,
    folder: RunFolder | None = None,
    resume: bool = False,
    device: torch.device = HOST,
    framing: Framing | None = None,
    command: Sequence[str] = (),
    choice: Choice | None = None,
    on_step: Callable[[Moment], None] | None = None,
) -> FittedRun:
    """Return the trained and judged field of an experiment.

    Args:
        experiment: What to do.
        signal: The image.
        folder: Where to keep everything; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        device: Where to compute.
        framing: Error scale and crops of another run, to be comparable with it.
        command: The words that began the run, for the record.
        choice: How its settings were chosen, for the record; None if they were given.
        on_step: Called after every step.
    """
    task = ImageRegression(
        signal,
        batch_size=experiment.training.batch_size,
        sampling=experiment.sampling,
        split=experiment.split(signal),
        seed=experiment.seed,
        device=device,
    )
    built = experiment.build(signal.site).to(device)
    begin(folder, experiment, built, resume=resume, command=command)
    keep_choice(choice, folder)
    forget_implementations()
    fitted, finish = fit_tracked(
        experiment,
        task,
        built,
        lambda asked: drawn_points(task, asked, "pixels that are trained on"),
        folder=folder,
        resume=resume,
        on_step=on_step,
    )
    with Workers(experiment.training.threads, device) as workers:
        evaluation = evaluate_image(
            signal,
            lambda coords: predict(workers, fitted.field, coords),
            task.split,
        )
    framing = framing or frame(evaluation)
    scores = {**evaluation.metrics, **choice_metrics(choice)}
    metrics = all_metrics(experiment, fitted, scores)
    finish()
    if folder is not None:
        for name, data in draw(signal, evaluation, framing):
            folder.write_bytes(name, data)
        folder.write_json("pictures.json", describe(signal, evaluation, framing))
        folder.write_json("metrics.json", metrics)
    return FittedRun(experiment, fitted.field, metrics, folder, framing)
