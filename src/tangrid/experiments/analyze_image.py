"""Look at the tangent kernels of several models at the pixels of one image."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.experiments.analyze_folder import Analysis, PlannedSpecimen
from tangrid.experiments.analyze_plan import AnalysisPlan, plan_analysis
from tangrid.experiments.analyze_probes import Probes, box_probes
from tangrid.experiments.analyze_settings import DEFAULT_POINTS, KernelSettings
from tangrid.experiments.analyze_specimen import field_specimen
from tangrid.experiments.comparison import share_levels
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.experiments.fitting import check_paths
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.training import TrainingSettings

PAIR_PIXELS = 8
"""Distance of the two points whose bound is mapped, where the image is wide enough."""


@EXPERIMENTS.register("analyze-image")
@dataclass(frozen=True, kw_only=True)
class AnalyzeImage:
    """Which models' kernels at which pixels of which image."""

    schema: int = 1
    """Version of this format."""
    models: tuple[str, ...] = ("instant-ngp", "mulfagrid")
    """Names of the models."""
    signal: ImageSource = field(default_factory=ImageSource)
    """The image."""
    params: int | None = None
    """Budget of trainable parameters of every model."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; every model is looked at once with each."""
    settings: dict[str, str] = field(default_factory=dict)
    """Single settings changed in every model, by dotted path."""
    kernels: KernelSettings = field(default_factory=KernelSettings)
    """What is looked at."""


def points_for(asked: int | None, available: int) -> int:
    """Return the number of pixels to draw.

    Args:
        asked: What was asked for; None for the default, or all pixels if they are less.
        available: Pixels that there are.

    Raises:
        ConfigError: If there are not so many.

    Example:
        >>> points_for(None, 64 * 64), points_for(None, 16 * 16)
        (1024, 256)
    """
    if asked is None:
        return min(DEFAULT_POINTS, available)
    if asked > available:
        raise ConfigError(
            f"points: expected at most {available}, the pixels that there are, got "
            f"{asked}. Say --points {available} or fewer, or take more of the image."
        )
    return asked


def image_probes(
    signal: ImageSignal,
    settings: KernelSettings,
    *,
    among: Int64[Tensor, " n"] | None = None,
) -> Probes:
    """Return the places of an image that kernels are looked at.

    Args:
        signal: The image.
        settings: How many of everything.
        among: Pixels to draw from; all by default.

    Raises:
        ConfigError: If there are not so many pixels.
    """
    pixels = torch.arange(signal.num_pixels) if among is None else among
    points_for(settings.points, len(pixels))
    order = torch.randperm(
        len(pixels), generator=generator(settings.seed, "analysed pixels")
    )
    chosen = pixels[order[: settings.points]].sort().values
    distance = min(PAIR_PIXELS, signal.width // 2)
    middle = signal.height // 2 * signal.width + signal.width // 2
    left = middle - (distance + 1) // 2
    pair = signal.pixel_coords(torch.tensor([left, left + distance]))
    probes = box_probes(
        signal.pixel_coords(chosen),
        signal.pixel_values(chosen),
        settings,
        pair=pair,
        how="pixels drawn without replacement"
        + ("" if among is None else ", of those that were trained on"),
    )
    words = dict(probes.words)
    words["pair"] = {**words["pair"], "distance_in_pixels": float(distance)}
    return dataclasses.replace(probes, words=words)


def plan_image_analysis(
    experiment: AnalyzeImage, signal: ImageSignal
) -> tuple[Analysis, AnalysisPlan]:
    """Return what will be looked at and what it takes, all checked before it begins.

    Args:
        experiment: Models, seeds and what to look at.
        signal: The image, opened.

    Raises:
        ConfigError: If a model, a setting or a number is not possible.
        ResourceError: If the kernels do not fit into memory.
    """
    fits = _fits(experiment, signal)
    settings = experiment.kernels
    counts = [num_kernels(fit, settings) for fit in fits]
    plan = plan_analysis(settings, signal.num_channels, counts, num_dims=2)
    check_groups(settings, [groups_of(fit) for fit in fits])
    analysis = Analysis(
        experiment=experiment,
        settings=settings,
        signal=describe_signal(signal),
        probes=image_probes(signal, settings),
        planned=[
            _planned(fit, signal, settings, has_seeds=len(experiment.seeds) > 1)
            for fit in fits
        ],
    )
    return analysis, plan


def describe_signal(signal: ImageSignal) -> dict[str, Any]:
    """Return what the record says of an image.

    Args:
        signal: The image.
    """
    return {
        "name": signal.name,
        "num_dims": 2,
        "num_channels": signal.num_channels,
        "resolution": [signal.width, signal.height],
    }


def _fits(experiment: AnalyzeImage, signal: ImageSignal) -> list[FitImage]:
    """Return every field with all settings resolved, as a comparison would fit it."""
    _check_distinct("models", experiment.models)
    _check_distinct("seeds", experiment.seeds)
    check_paths(experiment.settings, ("field",))
    plans = [
        plan_fit(
            signal,
            experiment.signal,
            model=model,
            params=experiment.params,
            training=TrainingSettings(),
            settings=experiment.settings,
        )
        for model in experiment.models
    ]
    if experiment.params is not None:
        plans = share_levels(plans, experiment.params)
    return [
        dataclasses.replace(plan, seed=seed)
        for seed in experiment.seeds
        for plan in plans
    ]


def _check_distinct(name: str, found: Sequence[object]) -> None:
    if not found or len(set(found)) < len(found):
        listed = ",".join(map(str, found)) or "none"
        raise ConfigError(
            f"{name}: expected one or more that differ, got {listed}. Give each once."
        )


def groups_of(fit: FitImage) -> dict[str, int]:
    """Return the number of trainable parameters by group, without any values.

    Args:
        fit: The field's settings.
    """
    with torch.device("meta"):
        built = fit.field.build(fit.site, torch.Generator())
    return {
        group: sum(p.numel() for p in members if p.requires_grad)
        for group, members in built.parameter_groups().items()
    }


def num_kernels(fit: FitImage, settings: KernelSettings) -> int:
    """Return how many kernels of a field are looked at.

    Args:
        fit: The field's settings.
        settings: Which are asked for.
    """
    groups = groups_of(fit)
    return sum(name == "all" or bool(groups.get(name)) for name in settings.parameters)


def check_groups(settings: KernelSettings, fields: Sequence[Mapping[str, int]]) -> None:
    """Refuse a group that no field has; fields that lack it just have no such kernel.

    Args:
        settings: Which groups are asked for.
        fields: Parameters by group of each field.

    Raises:
        ConfigError: If none of them has it; a grid may always be asked for.
    """
    known = {name for groups in fields for name, count in groups.items() if count}
    for name in settings.parameters:
        if name not in {"all", "grid", *known}:
            raise ConfigError(
                f"parameters: expected all or groups among {', '.join(sorted(known))}, "
                f"got '{name}'. Write for example --parameters all,grid."
            )


def _planned(
    fit: FitImage, signal: ImageSignal, settings: KernelSettings, *, has_seeds: bool
) -> PlannedSpecimen:
    label = f"{fit.model}, seed {fit.seed}" if has_seeds else fit.model
    return PlannedSpecimen(
        label=label,
        build=lambda: field_specimen(
            fit.build(signal.site),
            label=label,
            model=fit.model,
            seed=fit.seed,
            parameters=settings.parameters,
        ),
    )
