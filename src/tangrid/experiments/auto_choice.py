"""Choose the settings of a fit by what they are predicted to do on new points.

Every candidate is looked at in windows of the very signal that will be fitted, see
`tangrid.experiments.predict_candidate`; the fit is then one with the settings that are
predicted to be best, and knows nothing of the others.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tangrid.devices import HOST
from tangrid.errors import ConfigError, NumericalError
from tangrid.experiments.auto_sweeps import default_sweeps
from tangrid.experiments.choice import PREDICTION, Choice
from tangrid.experiments.fit_image import FitImage
from tangrid.experiments.fit_sdf import FitSdf
from tangrid.experiments.predict_images import PredictImage, plan_image_prediction
from tangrid.experiments.predict_plan import PlannedCandidate, PredictionPlan
from tangrid.experiments.predict_sdfs import PredictSdf, plan_sdf_prediction
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.experiments.predict_signal import OnStage, run_prediction
from tangrid.experiments.sweeps import Candidate, candidates
from tangrid.presets import TaskName
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal
from tangrid.signals.mesh import MeshSignal

AutoFit = FitImage | FitSdf
PlanOne = Callable[[str, Mapping[str, str]], AutoFit]
"""Plans the fit of a model with single settings changed."""


@dataclass(frozen=True, kw_only=True)
class AutoRequest:
    """What is chosen from.

    Attributes:
        models: Names of models.
        sweeps: Sweeps as `candidates` takes them; those that suit each model if none.
        params: Budget of parameters; None for none.
        settings: Single settings that all candidates have.
    """

    models: tuple[str, ...]
    sweeps: tuple[str, ...] = ()
    params: int | None = None
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """Return models and sweeps as plain values."""
        return {"models": list(self.models), "sweeps": list(self.sweeps)}


def choose(
    signal: ImageSignal | MeshSignal,
    plan_one: PlanOne,
    request: AutoRequest,
    *,
    device: torch.device = HOST,
    on_candidate: Callable[[int, int, str], None] | None = None,
    on_stage: OnStage = lambda _: None,
) -> Choice:
    """Return the settings that are predicted to fill in a signal best.

    A model stays as it is unless another candidate is better by more than the standard
    error of the difference.

    Args:
        signal: What will be fitted.
        plan_one: Plans its fit by a model with single settings changed.
        request: What is chosen from.
        device: Where to compute.
        on_candidate: Called before each candidate with its number, their number and
            its label.
        on_stage: Called before each stage.

    Raises:
        ConfigError: If a candidate that was asked for is not possible.
        NumericalError: If nothing can be predicted of any.
    """
    began = time.monotonic()
    task: TaskName = "image" if isinstance(signal, ImageSignal) else "sdf"
    first = plan_one(request.models[0], request.settings)
    planned, impossible, default = _planned(task, first, plan_one, request)
    plan = dataclasses.replace(_looking(signal, first, request), candidates=planned)
    *_, found = run_prediction(
        plan, device=device, on_candidate=on_candidate, on_stage=on_stage
    )
    best = found.best
    if best is None:
        raise NumericalError(
            f"--auto: expected a prediction of one candidate at least, got none of "
            f"{len(planned)}: {found.rows[0].get('failed', 'errors are not finite')}. "
            "Fit without --auto."
        )
    own = next(row for row in found.rows if row["label"] == default)
    stays = own["rank"] is not None and own["behind"] <= own["behind_error"]
    chosen = {
        **_summary(own if stays else best, own),
        "best": best["label"],
        "candidates": len(found.rows),
        "seconds": time.monotonic() - began,
    }
    record = {
        "schema": 1,
        "asked": request.to_plain(),
        "chosen": chosen,
        "impossible": impossible,
        "table": found.table,
    }
    return Choice(model=chosen["model"], settings=chosen["settings"], record=record)


def recalled(folder: str | Path, request: AutoRequest) -> Choice:
    """Return what was chosen for a fit that was begun, without predicting again.

    Args:
        folder: The folder of that fit.
        request: What is chosen from; the same as then.

    Raises:
        ConfigError: If nothing was predicted there, or from something else.
    """
    path = Path(folder).expanduser()
    opened = RunFolder.open(path)
    if not opened.has(PREDICTION):
        raise ConfigError(
            f"{path}: expected a fit that was begun with --auto, got one without "
            f"{PREDICTION}. Leave --auto out to go on with it."
        )
    record = opened.read_json(PREDICTION)
    if record["asked"] != request.to_plain():
        raise ConfigError(
            f"{path}: expected a fit chosen from the same models and sweeps, got one "
            f"chosen from {_said(record['asked'])} and not {_said(request.to_plain())}."
            " Repeat the command that began it with --resume."
        )
    chosen = record["chosen"]
    return Choice(model=chosen["model"], settings=chosen["settings"], record=record)


def _said(asked: Mapping[str, Any]) -> str:
    return " ".join([",".join(asked["models"]), *asked["sweeps"]])


def _candidates(
    task: TaskName, first: AutoFit, request: AutoRequest
) -> list[Candidate]:
    """Return all candidates, without the models as they are."""
    known = {
        "site": first.site,
        "params": request.params,
        "settings": request.settings,
    }
    if request.sweeps:
        return list(candidates(request.models, request.sweeps, task, **known))
    return [
        candidate
        for model in request.models
        for candidate in candidates(
            [model], default_sweeps(model, task, **known), task, **known
        )
    ]


def _planned(
    task: TaskName, first: AutoFit, plan_one: PlanOne, request: AutoRequest
) -> tuple[list[PlannedCandidate[Any]], list[dict[str, str]], str]:
    """Return what is predicted, what cannot be, and what the first model is called.

    Where nobody asked for them, candidates that are not possible are left out.
    """
    planned: list[PlannedCandidate[Any]] = []
    impossible: list[dict[str, str]] = []
    for candidate in _candidates(task, first, request):
        try:
            fit = plan_one(candidate.model, {**request.settings, **candidate.settings})
        except ConfigError as error:
            if request.sweeps:
                raise
            impossible.append({"label": candidate.label, "why": str(error)})
            continue
        planned.append(PlannedCandidate(candidate=candidate, fits=(fit,)))
    names = {}
    for model in request.models:
        own = first if model == request.models[0] else plan_one(model, request.settings)
        same = [each.label for each in planned if each.fits[0] == own]
        names[model] = same[0] if same else model
        if not same:
            as_it_is = Candidate(label=model, model=model)
            planned.append(PlannedCandidate(candidate=as_it_is, fits=(own,)))
    return planned, impossible, names[request.models[0]]


def _looking(
    signal: ImageSignal | MeshSignal, first: AutoFit, request: AutoRequest
) -> PredictionPlan[Any]:
    """Return how the signal is looked at, with one candidate yet."""
    shared: dict[str, Any] = {
        "models": request.models[:1],
        "params": request.params,
        "seeds": (first.seed,),
        "training": first.training,
        "settings": dict(request.settings),
        "look": PredictionSettings(),
        "diagnostics": False,
    }
    if isinstance(signal, ImageSignal):
        assert isinstance(first, FitImage)
        image = PredictImage(
            signal=first.signal,
            sampling=first.sampling,
            holdout=first.holdout,
            heldout_share=first.heldout_share,
            **shared,
        )
        return plan_image_prediction(image, signal)
    assert isinstance(first, FitSdf)
    shape = PredictSdf(
        signal=first.signal, rule=first.pool.rule, points=first.pool.size, **shared
    )
    return plan_sdf_prediction(shape, signal)


def _summary(chosen: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was chosen and how far the default is behind the best one."""
    numbers = (
        "predicted_psnr", "predicted_psnr_error",
        "predicted_error", "predicted_error_error",
    )  # fmt: skip
    return {
        "label": chosen["label"],
        "model": chosen["model"],
        "settings": chosen["settings"],
        **{name: chosen[name] for name in numbers if name in chosen},
        "default": own["label"],
        "default_behind": own.get("behind"),
        "default_behind_error": own.get("behind_error"),
    }
