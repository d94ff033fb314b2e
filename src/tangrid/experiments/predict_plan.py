"""What is predicted, all of it resolved before anything runs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from tangrid.errors import ConfigError
from tangrid.experiments.comparison import Comparison, share_levels
from tangrid.experiments.fitting import AnyFit
from tangrid.experiments.predict_sample import Window
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.experiments.sweeps import Candidate, candidates
from tangrid.presets import TaskName
from tangrid.signals.site import Site


@dataclass(frozen=True, kw_only=True)
class Prediction(Comparison):
    """Which candidates are ranked, and by which recipe they would be trained."""

    sweeps: tuple[str, ...] = ()
    """Single settings that are varied, such as ``sigma=1:64``."""
    look: PredictionSettings = field(default_factory=PredictionSettings)
    """How much of the signal is looked at, and how long the lesson is."""
    diagnostics: bool = True
    """Whether bounds, spectra and curves of the untouched kernels are computed."""


@dataclass(frozen=True, kw_only=True)
class PlannedCandidate(Generic[AnyFit]):
    """One row of the table.

    Attributes:
        candidate: Its name, model and settings.
        fits: The fits that are predicted, one per seed.
    """

    candidate: Candidate
    fits: tuple[AnyFit, ...]

    @property
    def label(self) -> str:
        """What it is called."""
        return self.candidate.label


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictionPlan(Generic[AnyFit]):
    """Hold all candidates, and how the signal is looked at for one seed.

    Attributes:
        experiment: What is asked for, for the record.
        quantity: What errors are called: ``psnr``, or ``distance`` in box sides.
        signal: Name, dimensions, channels and resolution of the signal.
        site: Where fields are built, with the signal's sampler.
        candidates: All of them.
        windows: Draws the sample that belongs to the seed of a fit.
    """

    experiment: Prediction
    quantity: str
    signal: Mapping[str, Any]
    site: Site
    candidates: Sequence[PlannedCandidate[AnyFit]]
    windows: Callable[[AnyFit], list[Window]]


def planned_candidates(
    experiment: Prediction,
    task: TaskName,
    site: Site,
    plan_one: Callable[[str, Mapping[str, str]], AnyFit],
) -> list[PlannedCandidate[AnyFit]]:
    """Return all candidates with all settings, as a comparison would fit them.

    Args:
        experiment: Models, sweeps, budget and seeds.
        task: What the signal is.
        site: Where fields are built.
        plan_one: Plans the fit of a model with single settings changed.

    Raises:
        ConfigError: If a candidate is not possible, or two are called the same.
    """
    _check_distinct("models", experiment.models)
    _check_distinct("seeds", experiment.seeds)
    found = candidates(
        experiment.models,
        experiment.sweeps,
        task,
        site=site,
        params=experiment.params,
        settings=experiment.settings,
    )
    plans = [
        plan_one(candidate.model, {**experiment.settings, **candidate.settings})
        for candidate in found
    ]
    for plan in plans:
        if plan.training.optimizer != "adam":
            raise ConfigError(
                "training.optimizer: expected adam, whose fits are predicted, got "
                f"{plan.training.optimizer}. Leave it out."
            )
    if experiment.params is not None:
        plans = _with_shared_levels(found, plans, experiment.params)
    return [
        PlannedCandidate(
            candidate=candidate,
            fits=tuple(
                dataclasses.replace(plan, seed=seed) for seed in experiment.seeds
            ),
        )
        for candidate, plan in zip(found, plans, strict=True)
    ]


def _with_shared_levels(
    found: Sequence[Candidate], plans: Sequence[AnyFit], params: int
) -> list[AnyFit]:
    """Return plans in which grids of one setting share levels.

    Candidates that a sweep tells apart are no comparison of their own: their levels
    may be what is swept.
    """
    shared = list(plans)
    alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, candidate in enumerate(found):
        alike.setdefault(tuple(sorted(candidate.settings.items())), []).append(place)
    for places in alike.values():
        group = share_levels([plans[place] for place in places], params)
        for place, plan in zip(places, group, strict=True):
            shared[place] = plan
    return shared


def _check_distinct(name: str, found: Sequence[object]) -> None:
    twice = [value for value, count in Counter(found).items() if count > 1]
    if not found or twice:
        got = f"{twice[0]} twice" if twice else "none"
        raise ConfigError(
            f"{name}: expected one or more that differ, got {got}. Give each once."
        )
