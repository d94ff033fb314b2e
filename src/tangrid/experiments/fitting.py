"""What all fits have in common: a model, its training, its cost, its folder."""

import dataclasses
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from tangrid.devices import (
    HOST,
    device_name,
    peak_device_memory_mb,
    peak_memory_mb,
)
from tangrid.errors import ConfigError, DataError
from tangrid.experiments.track_settings import KernelTracking
from tangrid.fields import (
    EncodedFieldConfig,
    Field,
    FieldConfig,
    fit_budget,
    num_trained,
)
from tangrid.ops import used_implementations
from tangrid.presets import Preset
from tangrid.runs.annotations import ADDED_LATER
from tangrid.runs.codec import to_plain
from tangrid.runs.environment import describe_environment
from tangrid.runs.overrides import with_overrides
from tangrid.runs.store import RunFolder
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.training import FittedField, TrainingSettings
from tangrid.training.least_squares_checks import check_exact, check_gauss_newton
from tangrid.training.loss_scale import USUAL_SCALE

_SPACE_FOR_PICTURES = 2_000_000
_USED_BY = {
    "hold": ("exponential",),
    "final_rate": ("cosine", "exponential"),
    "milestones": ("steps",),
    "step_factor": ("steps",),
}
"""Schedules in which a setting of training changes anything."""
_OF_EXACT = ("training.ridge", "training.ridge_rule")


class Source(Protocol):
    """Where a signal comes from."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fit(ABC):
    """All that decides the bits of a fit, but for the signal."""

    schema: int = 1
    """Version of this format."""
    model: str = "mulfagrid"
    """Name of the model that the field's settings started from."""
    field: FieldConfig = dataclasses.field(default_factory=EncodedFieldConfig)
    """What is fitted."""
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    """How."""
    seed: int = 0
    """Source of all randomness."""
    track: KernelTracking | None = dataclasses.field(default=None, metadata=ADDED_LATER)
    """When its tangent kernel is looked at, which changes no bit; None for never."""

    @property
    @abstractmethod
    def site(self) -> Site:
        """What the field knows of the signal, but for a sampler."""

    @property
    def is_least_squares(self) -> bool:
        """Whether the loss is the mean square of values' errors."""
        return False

    @property
    @abstractmethod
    def source(self) -> Source:
        """Where the signal comes from."""

    def build(self, site: Site | None = None) -> Field:
        """Return the field before training.

        Args:
            site: Where it is built; without the signal's sampler by default.
        """
        return self.field.build(site or self.site, generator(self.seed, "init"))


AnyFit = TypeVar("AnyFit", bound=Fit)


@dataclass(frozen=True)
class FittedRun:
    """A fitted field with its scores.

    Attributes:
        experiment: What was asked for.
        field: The trained field; call it on coordinates in [0, 1].
        metrics: Scores and costs, as in ``metrics.json``.
        folder: Where everything is kept; None if nothing is.
        framing: What its pictures must share with others to be compared.
    """

    experiment: Fit
    field: Field
    metrics: Mapping[str, Any]
    folder: RunFolder | None = None
    framing: Any = None


def resolved(
    experiment: AnyFit,
    preset: Preset,
    *,
    params: int | None,
    settings: Mapping[str, str] | None,
    parts: Sequence[str] = ("field", "training"),
) -> AnyFit:
    """Return an experiment with a model's field in it, sized, its rates and settings.

    Args:
        experiment: Signal, training and seed.
        preset: The model.
        params: Budget of trainable parameters; None for the model's own size.
        settings: Single settings to change, by dotted path.
        parts: What they may change.
    """
    rates = {**experiment.training.rates, **preset.rates}
    own = preset.at(experiment.site)
    if params is None and preset.params is not None:
        own = fit_budget(own, experiment.site, preset.params)
    experiment = dataclasses.replace(
        experiment,
        field=own,
        training=dataclasses.replace(experiment.training, rates=rates),
    )
    experiment = with_overrides(experiment, preset.settings)
    if settings:
        check_paths(settings, parts)
        experiment = with_overrides(experiment, settings)
    if params is not None:
        sized = fit_budget(experiment.field, experiment.site, params)
        experiment = dataclasses.replace(experiment, field=sized)
    _check_schedule(experiment.training, settings or {})
    _check_rates(experiment)
    _check_optimizer(experiment, settings or {})
    return _with_loss_scale(experiment)


def _with_loss_scale(experiment: AnyFit) -> AnyFit:
    """Return an experiment whose gradients survive float16, if they go through it."""
    encoding = getattr(experiment.field, "encoding", None)
    ways = (
        getattr(experiment.field, "decoder_dtype", None),
        getattr(encoding, "table_dtype", None),
    )
    if "float16" not in ways or experiment.training.loss_scale is not None:
        return experiment
    training = dataclasses.replace(experiment.training, loss_scale=USUAL_SCALE)
    return dataclasses.replace(experiment, training=training)


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


def _check_schedule(training: TrainingSettings, settings: Mapping[str, str]) -> None:
    """Refuse what is asked of a schedule that has no use for it."""
    asked = {path.strip(" -").replace("-", "_") for path in settings}
    for name, schedules in _USED_BY.items():
        where, value = f"training.{name}", getattr(training, name)
        # Recipes hold rates, too, which nobody has asked for by name.
        is_meant = value > 0 if name == "hold" else where in asked
        if not is_meant or training.schedule in schedules:
            continue
        to_do = "Leave it out, or say"
        if where not in asked:
            to_do = f"Say --set {where}=0 too, or"
        raise ConfigError(
            f"{where}: expected the schedule {' or '.join(schedules)}, got "
            f"{training.schedule}, in which {value} changes nothing. {to_do} "
            f"--set training.schedule={schedules[0]}."
        )


def _check_rates(experiment: Fit) -> None:
    """Refuse a field that cannot be built or trained, before anything is written."""
    with torch.device("meta"):
        built = experiment.field.build(experiment.site, torch.Generator())
    for group in built.parameter_groups():
        if group not in experiment.training.rates:
            raise ConfigError(
                f"training.rates: expected a rate for the parameter group '{group}', "
                f"got rates for {', '.join(experiment.training.rates)}. Say "
                f"--set training.rates.{group}=0.001."
            )


def _check_optimizer(experiment: Fit, settings: Mapping[str, str]) -> None:
    """Refuse an optimiser that cannot do this fit, before anything is written."""
    optimizer = experiment.training.optimizer
    asked = [path.strip(" -").replace("-", "_") for path in settings]
    for path in asked:
        if path in _OF_EXACT and optimizer != "exact":
            raise ConfigError(
                f"{path}: expected none with {optimizer}, in which it changes nothing, "
                "got one. Leave it out, or say --optimizer exact."
            )
    if optimizer == "adam":
        return
    with torch.device("meta"):
        built = experiment.field.build(experiment.site, torch.Generator())
    if optimizer == "exact":
        are_drawn = getattr(experiment, "sampling", "all") == "continuous"
        check_exact(
            experiment.training,
            built,
            experiment.model,
            has_points=experiment.is_least_squares and not are_drawn,
            asked=asked,
        )
        return
    check_gauss_newton(
        experiment.training,
        built,
        is_least_squares=experiment.is_least_squares,
        asked=asked,
    )


def begin(
    folder: RunFolder | None,
    experiment: Fit,
    built: Field,
    *,
    resume: bool,
    command: Sequence[str],
) -> None:
    """Write down what a fit is, once its folder is known to have room for it.

    Args:
        folder: Its folder; None to keep nothing.
        experiment: What will be done.
        built: The field before training, where it will be trained.
        resume: Whether that was written down before.
        command: The words that began the run, for the record.
    """
    if folder is None:
        return
    _check_space(folder.path, built)
    if not resume:
        folder.write_json("config.json", to_plain(experiment))
        folder.write_json("environment.json", describe_start(command, built.device))


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


def describe_start(
    command: Sequence[str], device: torch.device = HOST
) -> dict[str, Any]:
    """Return what ``environment.json`` says: the machine, and the command if any.

    Args:
        command: The words that began the run.
        device: Where it computes.
    """
    environment = {**describe_environment(), "device": device_name(device)}
    return {**environment, "command": list(command)} if command else environment


def all_metrics(
    experiment: Fit, fitted: FittedField, scores: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what ``metrics.json`` says: whose scores, the scores, what they took.

    Args:
        experiment: What was done.
        fitted: The trained field and what it took.
        scores: How good it is.
    """
    field, seconds = fitted.field, fitted.progress.seconds
    parameters, optimizer = list(field.parameters()), experiment.training.optimizer
    return {
        "signal": experiment.source.name,
        "model": experiment.model,
        "seed": experiment.seed,
        **scores,
        "params_trainable": num_trained(field),
        "params_stored": sum(t.numel() for t in field.state_dict().values()),
        "steps": fitted.progress.step,
        "seconds": seconds,
        "points_per_second": fitted.progress.points / seconds if seconds else None,
        "peak_memory_mb": peak_memory_mb(),
        **_device_facts(field.device),
        "dtype": str(parameters[0].dtype).removeprefix("torch."),
        "implementations": used_implementations(),
        **({} if optimizer == "adam" else {"optimizer": optimizer}),
        **({} if fitted.solution is None else {"exact": dict(fitted.solution)}),
        "versions": describe_environment().get("versions"),
    }


def _device_facts(device: torch.device) -> dict[str, Any]:
    """Return where the field is, and what it takes there if that is a GPU."""
    facts: dict[str, Any] = {"device": device_name(device)}
    peak = peak_device_memory_mb(device)
    return facts if peak is None else {**facts, "peak_device_memory_mb": peak}
