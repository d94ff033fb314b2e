"""What one does from Python before a fit: predict which model will fit a signal."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from tangrid.devices import HOST, find_device
from tangrid.errors import ConfigError
from tangrid.experiments.fit_image import ImageSource
from tangrid.experiments.fit_sdf import MeshSource
from tangrid.experiments.keeping import Kept, keeping
from tangrid.experiments.predict_images import PredictImage, plan_image_prediction
from tangrid.experiments.predict_plan import PredictionPlan
from tangrid.experiments.predict_sdfs import PredictSdf, plan_sdf_prediction
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.experiments.predict_signal import Predicted, run_prediction
from tangrid.progress import StageLine
from tangrid.reports.prediction_report import write_prediction_report
from tangrid.signals.image import ImageSignal
from tangrid.signals.mesh import MeshSignal
from tangrid.training.settings import SDF_BATCH_SIZE, training_for

__all__ = ["predict"]


def predict(
    signal: ImageSignal | MeshSignal,
    *,
    models: Sequence[str] = ("instant-ngp", "mulfagrid"),
    sweep: Sequence[str] = (),
    params: int | None = None,
    steps: int | None = None,
    holdout: bool = False,
    heldout_share: float | None = None,
    windows: int | None = None,
    window_points: int | None = None,
    lesson_steps: int | None = None,
    diagnostics: bool = False,
    seeds: Sequence[int] = (0,),
    settings: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: str | torch.device = HOST,
    progress: bool = True,
) -> Predicted:
    """Rank models, and settings of them, by how they would fit a signal.

    Args:
        signal: An image, or a mesh whose signed distance is meant.
        models: Names of models, as ``tangrid catalogue`` lists.
        sweep: Settings to vary, such as ``"sigma=1:64"`` or ``"levels=4,8,16"``.
        params: Trainable parameters to size each to, within 2 %; None for its own size.
        steps: Optimiser steps of the fit that is predicted; 1000 by default.
        holdout: Whether it trains only on every second pixel along each axis.
        heldout_share: Share of the pixels, drawn at random, that it does not train on.
        windows: Small places of the signal that are looked at, per seed.
        window_points: Training points in each of them, about.
        lesson_steps: Steps of the short training; a third of the fit's, 100 at least,
            unless it is given; 0 predicts from untouched kernels.
        diagnostics: Whether bounds, spectra and curves of these are computed, too.
        seeds: Sources of initial values and of the places.
        settings: Single settings to change in every model, by dotted path.
        out: Folder for everything, the report included; None keeps nothing on disk.
        overwrite: Whether a prediction in that folder is replaced.
        resume: Whether a prediction in that folder is gone on with.
        device: Where to compute, or its name, as in `tangrid.fit`.
        progress: Whether standard error shows how it goes.

    Returns:
        What is predicted: ``rows``, the best first, and ``best``.

    Raises:
        ConfigError: If a candidate is not possible, or the folder is taken.

    Example:
        >>> image = ImageSignal.open("astronaut", crop="32")
        >>> found = predict(
        ...     image, models=["siren", "fourier-mlp"], params=16_000, windows=2,
        ...     window_points=16, lesson_steps=4, progress=False,
        ... )
        >>> [row["rank"] for row in found.rows]
        [1, 2]
    """
    place = find_device(device)
    shared = {
        "models": (models,) if isinstance(models, str) else tuple(models),
        "sweeps": (sweep,) if isinstance(sweep, str) else tuple(sweep),
        "params": params,
        "seeds": tuple(seeds),
        "settings": dict(settings or {}),
        "look": _look(windows=windows, points=window_points, lesson_steps=lesson_steps),
        "diagnostics": diagnostics,
    }
    held = {"holdout": holdout, "heldout_share": heldout_share}
    plan = _plan(signal, steps, held, shared)
    if out is None:
        _check_kept(overwrite=overwrite, resume=resume)
        return _predicted(plan, None, device=place, progress=progress)
    kind = {"overwrite": overwrite, "resume": resume}
    with keeping(out, plan.experiment, **kind) as kept:
        found = _predicted(plan, kept, device=place, progress=progress)
    write_prediction_report(kept.folder.path)
    return found


def _look(**given: int | None) -> PredictionSettings:
    asked = {name: value for name, value in given.items() if value is not None}
    return PredictionSettings(**asked)


def _check_kept(**flags: bool) -> None:
    for name, flag in flags.items():
        if flag:
            raise ConfigError(
                f"predict({name}=True): expected a folder to apply it to, got "
                "out=None. Name the folder with out."
            )


def _plan(
    signal: ImageSignal | MeshSignal,
    steps: int | None,
    held: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> PredictionPlan[Any]:
    if isinstance(signal, ImageSignal):
        image = ImageSource(name=signal.name, colour=signal.colour)
        training = training_for(steps, None)
        asked = PredictImage(signal=image, training=training, **held, **shared)
        return plan_image_prediction(asked, signal)
    if not isinstance(signal, MeshSignal):
        raise ConfigError(
            "predict(signal=...): expected an ImageSignal or a MeshSignal, got "
            f"{type(signal).__name__}. Open a file with ImageSignal.open(path) or "
            "MeshSignal.open(path)."
        )
    if any(held.values()):
        raise ConfigError(
            "predict(holdout=..., heldout_share=...): expected an image to apply it "
            "to, got a mesh. Leave it out."
        )
    training = training_for(steps, None, batch_size=SDF_BATCH_SIZE)
    mesh = MeshSource(name=signal.name)
    asked = PredictSdf(signal=mesh, training=training, **shared)
    return plan_sdf_prediction(asked, signal)


def _predicted(
    plan: PredictionPlan[Any],
    kept: Kept | None,
    *,
    device: torch.device,
    progress: bool,
) -> Predicted:
    with StageLine() if progress else nullcontext() as line:
        *_, found = run_prediction(
            plan,
            kept.folder if kept else None,
            resume=kept.resume if kept else False,
            device=device,
            on_candidate=line.begin if line else None,
            on_stage=line.stage if line else lambda _: None,
        )
    return found
