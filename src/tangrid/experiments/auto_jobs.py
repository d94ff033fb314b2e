"""Jobs with settings that prediction chose: what ``tangrid.fit(auto=True)`` does."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch

from tangrid.errors import ConfigError, InterruptedRunError
from tangrid.experiments.auto_choice import (
    AutoFit,
    AutoRequest,
    PlanOne,
    choose,
    recalled,
)
from tangrid.experiments.choice import Choice
from tangrid.experiments.jobs import Job, Signal
from tangrid.experiments.keeping import check_folder
from tangrid.signals.image import ImageSignal
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.scene import Scene


class Stages(Protocol):
    """What is told how a prediction goes."""

    def begin(self, number: int, count: int, label: str) -> None:
        """Take in which candidate is looked at."""
        ...

    def stage(self, name: str) -> None:
        """Take in what is done with it."""
        ...

    def say(self, text: str) -> None:
        """Take in what was chosen."""
        ...


def check_auto(signal: Signal, *, auto: bool, sweep: str | Sequence[str]) -> None:
    """Refuse to choose settings where none can be chosen.

    Args:
        signal: What will be fitted.
        auto: Whether settings are chosen.
        sweep: One sweep or several, or none.

    Raises:
        ConfigError: If there is a sweep alone, or the signal is a scene.
    """
    if sweep and not auto:
        raise ConfigError(
            "fit(sweep=...): expected auto=True, which chooses from what is swept, got "
            "a sweep alone. Say auto=True too."
        )
    if auto and isinstance(signal, Scene):
        raise ConfigError(
            "fit(auto=True): expected an image or a mesh, whose points can be "
            "predicted one by one, got posed photographs, which show none alone. Leave "
            "auto out."
        )


def auto_request(
    model: str,
    sweep: str | Sequence[str],
    params: int | None,
    settings: Mapping[str, str] | None,
) -> AutoRequest:
    """Return what is chosen from.

    Args:
        model: Name of a model, or several with commas.
        sweep: One sweep or several; none for what suits the models.
        params: Budget of parameters; None for none.
        settings: Single settings, by dotted path.
    """
    names = [name.strip() for name in model.split(",")]
    return AutoRequest(
        models=tuple(dict.fromkeys(names)),
        sweeps=(sweep,) if isinstance(sweep, str) else tuple(sweep),
        params=params,
        settings=dict(settings or {}),
    )


def choose_or_recall(
    signal: ImageSignal | MeshSignal,
    plan_one: PlanOne,
    request: AutoRequest,
    *,
    out: str | Path | None,
    overwrite: bool,
    resume: bool,
    device: torch.device,
    line: Stages | None = None,
) -> Choice:
    """Return how settings are chosen, or were for the fit that is gone on with.

    Args:
        signal: What is fitted.
        plan_one: Plans the fit of a model with single settings.
        request: What is chosen from.
        out: Folder of the fit; None to keep nothing.
        overwrite: Whether a run in that folder is replaced.
        resume: Whether a run in that folder is gone on with.
        device: Where to compute.
        line: What is told how it goes.
    """
    check_folder(out, overwrite=overwrite, resume=resume)
    if resume and out is not None:
        return recalled(out, request)
    told = {"on_candidate": line.begin, "on_stage": line.stage} if line else {}
    try:
        choice = choose(signal, plan_one, request, device=device, **told)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "Interrupted while settings were chosen, of which nothing is kept. Repeat "
            "the command to begin anew; `tangrid predict` keeps what is done."
        ) from None
    if line is not None:
        line.say(choice.words)
    return choice


def auto_job(
    signal: Signal,
    plan: Callable[..., Job],
    request: AutoRequest,
    *,
    out: str | Path | None,
    overwrite: bool,
    resume: bool,
    device: torch.device,
    line: Stages | None = None,
) -> Job:
    """Return a job with the settings that are predicted to be best.

    Args:
        signal: An image or a mesh.
        plan: Plans the job of a ``model`` with ``settings``, both by name.
        request: What is chosen from.
        out: Folder of the fit; None to keep nothing.
        overwrite: Whether a run in that folder is replaced.
        resume: Whether a run in that folder is gone on with, which keeps what was
            chosen for it.
        device: Where to compute.
        line: What is told how it goes.
    """
    assert not isinstance(signal, Scene)

    def plan_fit(model: str, settings: Mapping[str, str]) -> AutoFit:
        experiment = plan(model=model, settings=settings).experiment
        assert isinstance(experiment, AutoFit)
        return experiment

    kind = {"out": out, "overwrite": overwrite, "resume": resume}
    choice = choose_or_recall(
        signal, plan_fit, request, device=device, line=line, **kind
    )
    job = plan(model=choice.model, settings={**request.settings, **choice.settings})
    return replace(job, run=functools.partial(job.run, choice=choice))
