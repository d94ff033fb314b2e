"""Fit several models to several signals by one recipe: what all comparisons share."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import torch

from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError, TangridError
from tangrid.experiments.fitting import AnyFit, Fit, FittedRun, describe_start
from tangrid.experiments.keeping import check_same
from tangrid.fields import EncodedFieldConfig, FieldConfig, count_parameters
from tangrid.fields.budget import TOLERANCE
from tangrid.fields.radiance import EncodedRadianceConfig
from tangrid.runs.codec import to_plain
from tangrid.runs.store import RunFolder
from tangrid.training import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Which models are compared, and the recipe that all share."""

    schema: int = 1
    """Version of this format."""
    models: tuple[str, ...] = ("instant-ngp", "mulfagrid")
    """Names of the models; each brings learning rates of its own."""
    params: int | None = None
    """Budget of trainable parameters of every model."""
    seeds: tuple[int, ...] = (0,)
    """Seeds; every model is fitted once with each."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """The recipe."""
    settings: dict[str, str] = field(default_factory=dict)
    """Single settings changed in every model, by dotted path."""


@dataclass(frozen=True)
class PlannedRun(Generic[AnyFit]):
    """One cell of the table.

    Attributes:
        experiment: What to fit.
        path: Its folder, relative to the comparison's.
    """

    experiment: AnyFit
    path: str


def planned_runs(
    comparison: Comparison, plans: Sequence[Sequence[AnyFit]]
) -> list[PlannedRun[AnyFit]]:
    """Return all runs, in the order in which they are made.

    Args:
        comparison: Seeds and budget.
        plans: For every signal, one experiment per model.

    Raises:
        ConfigError: If two runs would share a folder.
    """
    runs = []
    for own in plans:
        budget = comparison.params
        shared = list(own) if budget is None else share_levels(own, budget)
        for seed in comparison.seeds:
            for plan in shared:
                seeded = dataclasses.replace(plan, seed=seed)
                runs.append(PlannedRun(seeded, _run_path(seeded)))
    folders = Counter(run.path for run in runs)
    twice = [path for path, count in folders.items() if count > 1]
    if twice:
        raise ConfigError(
            "compare: expected signals, models and seeds of different names, got two "
            f"runs for the folder {twice[0]}. Rename one or leave it out."
        )
    return runs


def _run_path(experiment: Fit) -> str:
    return f"runs/{experiment.source.name}-{experiment.model}-seed{experiment.seed}"


def share_levels(plans: Sequence[AnyFit], params: int) -> list[AnyFit]:
    """Return grids that differ only in growth with the smallest of their growths.

    Fractions of a percent in growth move the finest level in and out of step with the
    signal and can cost a decibel; a comparison must not be decided by that.

    Args:
        plans: Experiments on one signal, each sized to the budget.
        params: The budget; a plan that would leave it keeps its own levels.
    """
    grids = [_grid(plan.field) for plan in plans]
    smallest = min((grid.growth for grid in grids if grid is not None), default=1.0)

    def levels(grid: TableGridConfig, plan: AnyFit) -> tuple[Any, ...]:
        layout = dataclasses.replace(grid, growth=smallest).layout(plan.site.num_dims)
        return grid.channels_per_level, layout.levels

    shared = []
    for grid, plan in zip(grids, plans, strict=True):
        if grid is None:
            shared.append(plan)
            continue
        like = [
            other.growth
            for other in grids
            if other is not None and levels(other, plan) == levels(grid, plan)
        ]
        encoding = dataclasses.replace(grid, growth=min(like))
        field_config = dataclasses.replace(plan.field, encoding=encoding)
        count = count_parameters(field_config, plan.site)
        meets = abs(count - params) <= TOLERANCE * params
        shared.append(dataclasses.replace(plan, field=field_config) if meets else plan)
    return shared


def _grid(config: FieldConfig) -> TableGridConfig | None:
    if not isinstance(config, EncodedFieldConfig | EncodedRadianceConfig):
        return None
    return config.encoding if isinstance(config.encoding, TableGridConfig) else None


def run_planned(
    comparison: Comparison,
    runs: Sequence[PlannedRun[AnyFit]],
    fit_one: Callable[..., FittedRun],
    folder: RunFolder,
    *,
    resume: bool,
    device: torch.device,
    command: Sequence[str],
    framing_of: Callable[[RunFolder], Any],
    on_run: Callable[[int, int, Fit], None] | None,
) -> Iterator[dict[str, Any]]:
    """Fit everything and yield each row of the table as it is done.

    Args:
        comparison: What to do, for the record.
        runs: All its runs.
        fit_one: Fits one of them, given the experiment and, by name, its ``folder``,
            whether to ``resume``, the ``device`` and the ``framing`` of pictures to be
            comparable with.
        folder: Where table, runs and report go.
        resume: Whether to keep finished runs and go on with an unfinished one.
        device: Where to compute.
        command: The words that began the comparison, for the record.
        framing_of: What pictures of a finished run share with others.
        on_run: Called before each run with its number, the number of runs, and it.

    Yields:
        The metrics of each run, with its folder as ``run``.
    """
    if not resume:
        folder.write_json("config.json", to_plain(comparison))
        folder.write_json("environment.json", describe_start(command, device))
    rows: list[dict[str, Any]] = []
    framings: dict[str, Any] = {}
    for number, planned in enumerate(runs):
        experiment = planned.experiment
        name = experiment.source.name
        if on_run is not None:
            on_run(number, len(runs), experiment)
        run_folder, begun = _open_run(folder, planned, resume)
        if begun and run_folder.has("metrics.json"):
            row = run_folder.read_json("metrics.json")
            framings.setdefault(name, framing_of(run_folder))
        else:
            fitted = fit_one(
                experiment,
                folder=run_folder,
                resume=begun,
                device=device,
                framing=framings.get(name),
            )
            if framings.get(name) is None:
                framings[name] = fitted.framing
            row = dict(fitted.metrics)
        row["run"] = planned.path
        rows.append(row)
        folder.write_json("table.json", {"rows": rows})
        yield row


def _open_run(
    folder: RunFolder, planned: PlannedRun, resume: bool
) -> tuple[RunFolder, bool]:
    """Return a run's folder and whether it holds a state to go on from."""
    path = folder.path / planned.path
    if resume:
        try:
            run_folder = RunFolder.open(path)
        except TangridError:
            return RunFolder.create(path, overwrite=True), False
        # What was solved exactly has results without a state.
        if run_folder.has("state.safetensors") or run_folder.has("metrics.json"):
            # The comparison names models; what a name means may have changed since.
            asked = to_plain(planned.experiment)
            check_same(path, asked, run_folder.read_json("config.json"))
            return run_folder, True
    return RunFolder.create(path, overwrite=True), False
