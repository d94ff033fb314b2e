"""Fit one field to one image, judge it, and keep everything in a run folder."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tangrid.devices import peak_memory_mb
from tangrid.errors import ConfigError, DataError
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.fields import (
    EncodedFieldConfig,
    Field,
    FieldConfig,
    fit_budget,
    num_trained,
)
from tangrid.ops import forget_implementations, used_implementations
from tangrid.presets import find_model
from tangrid.runs.codec import to_plain
from tangrid.runs.environment import describe_environment
from tangrid.runs.overrides import with_overrides
from tangrid.runs.store import RunFolder
from tangrid.seeding import generator
from tangrid.signals.colour import Colour
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site
from tangrid.tasks.image_evaluation import ImageEvaluation, evaluate_image
from tangrid.tasks.image_pictures import Framing, describe, draw, frame
from tangrid.tasks.image_regression import ImageRegression, Sampling
from tangrid.training import FittedField, Moment, TrainingSettings, fit
from tangrid.training.workers import Workers, predict

_SPACE_FOR_PICTURES = 2_000_000


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
class FitImage:
    """All that decides the bits of a fit."""

    schema: int = 1
    """Version of this format."""
    model: str = "mulfagrid"
    """Name of the model that the field's settings started from."""
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
    field: FieldConfig = dataclasses.field(default_factory=EncodedFieldConfig)
    """What is fitted."""
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    """How."""
    seed: int = 0
    """Source of all randomness."""

    @property
    def site(self) -> Site:
        """What the field knows of the image, but for a sampler."""
        return Site(
            num_dims=2, num_channels=self.num_channels, resolution=self.resolution
        )

    def build(self, site: Site | None = None) -> Field:
        """Return the field before training.

        Args:
            site: Where it is built; without the signal's sampler by default.
        """
        return self.field.build(site or self.site, generator(self.seed, "init"))


@dataclass(frozen=True)
class FittedRun:
    """A fitted field with its scores.

    Attributes:
        experiment: What was asked for.
        field: The trained field; call it on coordinates in [0, 1].
        metrics: Scores and costs, as in ``metrics.json``.
        folder: Where everything is kept; None if nothing is.
        framing: Error scale and crops of the pictures.
    """

    experiment: FitImage
    field: Field
    metrics: Mapping[str, Any]
    folder: RunFolder | None = None
    framing: Framing | None = None


def plan_fit(
    signal: ImageSignal,
    source: ImageSource,
    *,
    model: str,
    params: int | None,
    training: TrainingSettings,
    sampling: Sampling = "auto",
    holdout: bool = False,
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
        holdout: Whether every second pixel is held out.
        seed: Source of all randomness.
        settings: Single settings to change, by dotted path, such as
            ``{"field.encoding.num_levels": "8"}``.
    """
    preset = find_model(model)
    rates = {**training.rates, **preset.rates}
    experiment = FitImage(
        model=model,
        signal=source,
        num_channels=signal.num_channels,
        resolution=(signal.width, signal.height),
        sampling=sampling,
        holdout=holdout,
        training=dataclasses.replace(training, rates=rates),
        seed=seed,
    )
    experiment = dataclasses.replace(experiment, field=preset.at(experiment.site))
    if settings:
        check_paths(settings)
        experiment = with_overrides(experiment, settings)
    if params is not None:
        sized = fit_budget(experiment.field, experiment.site, params)
        experiment = dataclasses.replace(experiment, field=sized)
    _check_rates(experiment)
    return experiment


def check_paths(
    settings: Mapping[str, str], parts: Sequence[str] = ("field", "training")
) -> None:
    """Refuse single settings of what they cannot change.

    Args:
        settings: Text by dotted path.
        parts: What they can.

    Raises:
        ConfigError: If a path begins with anything else.
    """
    for path in settings:
        if path.strip(" -").split(".")[0] not in parts:
            raise ConfigError(
                f"setting '{path}': expected a path that begins with "
                f"{' or '.join(parts)}, got another. Write for example "
                "field.encoding.num-levels=12 or training.rates.grid=0.02; `tangrid "
                "catalogue` has all names."
            )


def _check_rates(experiment: FitImage) -> None:
    """Refuse a field that cannot be built or trained, before anything is written."""
    with torch.device("meta"):
        field = experiment.field.build(experiment.site, torch.Generator())
    for group in field.parameter_groups():
        if group not in experiment.training.rates:
            raise ConfigError(
                f"training.rates: expected a rate for the parameter group '{group}', "
                f"got rates for {', '.join(experiment.training.rates)}. Say "
                f"--set training.rates.{group}=0.001."
            )


def run_fit(
    experiment: FitImage,
    signal: ImageSignal,
    *,
    folder: RunFolder | None = None,
    resume: bool = False,
    framing: Framing | None = None,
    command: Sequence[str] = (),
    on_step: Callable[[Moment], None] | None = None,
) -> FittedRun:
    """Return the trained and judged field of an experiment.

    Args:
        experiment: What to do.
        signal: The image.
        folder: Where to keep everything; None to keep nothing.
        resume: Whether to go on from the state in the folder.
        framing: Error scale and crops of another run, to be comparable with it.
        command: The words that began the run, for the record.
        on_step: Called after every step.
    """
    task = ImageRegression(
        signal,
        batch_size=experiment.training.batch_size,
        sampling=experiment.sampling,
        holdout=experiment.holdout,
        seed=experiment.seed,
    )
    built = experiment.build(signal.site)
    if folder is not None:
        _check_space(folder.path, built)
    if folder is not None and not resume:
        folder.write_json("config.json", to_plain(experiment))
        folder.write_json("environment.json", describe_start(command))
    forget_implementations()
    fitted = fit(
        task,
        built,
        experiment.training,
        folder=folder,
        resume=resume,
        on_step=on_step,
    )
    with Workers(experiment.training.threads) as workers:
        evaluation = evaluate_image(
            signal,
            lambda coords: predict(workers, fitted.field, coords),
            task.split,
        )
    framing = framing or frame(evaluation)
    metrics = _metrics(experiment, fitted, evaluation)
    if folder is not None:
        for name, data in draw(signal, evaluation, framing):
            folder.write_bytes(name, data)
        folder.write_json("pictures.json", describe(signal, evaluation, framing))
        folder.write_json("metrics.json", metrics)
    return FittedRun(experiment, fitted.field, metrics, folder, framing)


def _check_space(path: Path, field: Field) -> None:
    """Refuse a disk that cannot take the field and the state, before training."""
    # The field, then in the state once more with two moments.
    size = sum(t.numel() * t.element_size() for t in field.state_dict().values())
    needed, free = 4 * size + _SPACE_FOR_PICTURES, shutil.disk_usage(path).free
    if free < needed:
        raise DataError(
            f"{path}: expected {needed / 1e6:.1f} MB of free space for the trained "
            f"field, its state and pictures, got {free / 1e6:.1f} MB. Free some space "
            "on that disk, or choose another folder with --out."
        )


def describe_start(command: Sequence[str]) -> dict[str, Any]:
    """Return what ``environment.json`` says: the machine, and the command if any.

    Args:
        command: The words that began the run.
    """
    environment = describe_environment()
    return {**environment, "command": list(command)} if command else environment


def _metrics(
    experiment: FitImage, fitted: FittedField, evaluation: ImageEvaluation
) -> dict[str, Any]:
    field, seconds = fitted.field, fitted.progress.seconds
    parameters = list(field.parameters())
    return {
        "signal": experiment.signal.name,
        "model": experiment.model,
        "seed": experiment.seed,
        **evaluation.metrics,
        "params_trainable": num_trained(field),
        "params_stored": sum(t.numel() for t in field.state_dict().values()),
        "steps": fitted.progress.step,
        "seconds": seconds,
        "points_per_second": fitted.points / seconds if seconds else None,
        "peak_memory_mb": peak_memory_mb(),
        "device": "cpu",
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "implementations": used_implementations(),
        "versions": describe_environment().get("versions"),
    }
