"""What one does from Python: build a field, fit one, load one, look at its kernels."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tangrid.devices import HOST, find_device
from tangrid.errors import ConfigError
from tangrid.experiments import FittedRun, KernelAnalysis, load
from tangrid.experiments.analyze_folder import Analysis, run_analysis
from tangrid.experiments.analyze_image import (
    AnalyzeImage,
    plan_image_analysis,
    points_for,
)
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.auto_choice import AutoRequest
from tangrid.experiments.auto_jobs import auto_job, auto_request, check_auto
from tangrid.experiments.fit_image import FitImage, ImageSource
from tangrid.experiments.fitting import check_paths
from tangrid.experiments.jobs import Job, Signal, plan_job
from tangrid.experiments.keeping import Kept, keeping
from tangrid.experiments.shape_output import OwnSurface, own_surface
from tangrid.experiments.track_settings import KernelTracking, tracking_of
from tangrid.fields import Field, fit_budget
from tangrid.presets import find_model
from tangrid.progress import ProgressLine, StageLine
from tangrid.reports import write_fit_report, write_kernel_report
from tangrid.runs.overrides import with_overrides
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.scene import Scene
from tangrid.signals.site import Site
from tangrid.tasks.image_regression import Sampling

__all__ = ["analyze", "build", "extract_mesh", "fit", "load"]


def build(
    model: str,
    *,
    num_dims: int,
    num_channels: int,
    params: int | None = None,
    seed: int = 0,
    resolution: tuple[int, ...] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Field:
    """Build any registered model, untrained.

    Args:
        model: Name of a preset, an encoding or a field, as ``tangrid catalogue`` lists.
        num_dims: Coordinates per point.
        num_channels: Values per point.
        params: Trainable parameters to size it to, within 2 %; None for its own size.
        seed: Source of the initial values.
        resolution: Samples of the signal along each coordinate, x first, for models
            that are scaled by it; None for a continuous signal.
        settings: Single settings to change, as text by dotted path, such as
            ``{"field.encoding.num_levels": "8"}``.

    Returns:
        The field; call it on coordinates in [0, 1], [n, num_dims].

    Raises:
        ConfigError: If model, budget or a setting is not possible.

    Example:
        >>> import torch
        >>> field = build("instant-ngp", num_dims=2, num_channels=3, params=20_000)
        >>> field(torch.rand(5, 2)).shape
        torch.Size([5, 3])
    """
    _check_counts(num_dims=num_dims, num_channels=num_channels)
    if resolution is not None and len(resolution) != num_dims:
        raise ConfigError(
            f"resolution: expected {num_dims} numbers, one per coordinate, got "
            f"{resolution}. Give the samples along x first."
        )
    site = Site(num_dims=num_dims, num_channels=num_channels, resolution=resolution)
    experiment = FitImage(model=model, field=find_model(model).at(site))
    if settings:
        check_paths(settings, ("field",))
        experiment = with_overrides(experiment, settings)
    config = experiment.field
    if params is not None:
        config = fit_budget(config, site, params)
    return config.build(site, generator(seed, "init"))


def fit(
    signal: Signal,
    *,
    model: str = "mulfagrid",
    auto: bool = False,
    sweep: str | Sequence[str] = (),
    params: int | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    holdout: bool = False,
    heldout_share: float | None = None,
    sampling: Sampling = "auto",
    settings: Mapping[str, str] | None = None,
    track_kernel: str | Sequence[int] | None = None,
    track_points: int | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: str | torch.device = HOST,
    progress: bool = True,
) -> FittedRun:
    """Fit a field to a signal.

    Args:
        signal: An image (`ImageSignal.open`, `ImageSignal.from_array`), a mesh, whose
            signed distance is fitted (`MeshSignal.open`, `MeshSignal.from_arrays`), or
            posed photographs (`Scene.open`, `Scene.from_views`).
        model: Name of a preset, an encoding or a field, as ``tangrid catalogue`` lists;
            several with commas where ``auto`` chooses one.
        auto: Whether settings are predicted first on parts of an image or a mesh, and
            those taken that are predicted to do best on new points.
        sweep: What ``auto`` tries, such as ``sigma=1:64``; by default what suits it.
        params: Trainable parameters to size it to, within 2 %; None for its own size.
        steps: Optimiser steps; 1000, or 5000 for a scene, if neither steps nor minutes
            are given.
        minutes: Wall time of training after which it stops.
        seed: Source of all randomness.
        holdout: Whether only every second pixel of an image along each axis is trained
            on.
        heldout_share: Share of an image's pixels, drawn at random, that is held out.
        sampling: Which points of an image each step trains on: ``all`` pixels, random
            ``pixels``, ``continuous`` positions, or ``auto``.
        settings: Single settings to change, as text by dotted path, such as
            ``{"field.decoder.width": "32", "training.rates.grid": "0.02"}``; for a mesh
            also ``loss``, ``pool`` and ``judge``, such as ``{"loss.kind": "l1"}``, and
            for a scene ``views``, ``space`` and ``judge``.
        track_kernel: Steps at which the tangent kernel is compared with that before
            training, such as ``[0, 10, 100]``, or ``auto``; nothing of the training
            changes. The folder and its report have what was found.
        track_points: Points of that kernel; 512 by default.
        out: Folder for everything that is worth keeping, the report included; None
            keeps nothing on disk.
        overwrite: Whether a run in that folder is replaced.
        resume: Whether a run in that folder is gone on with.
        device: Where to compute, or its name: ``cpu``, ``cuda``, ``cuda:1``, ``auto``.
            The same seed gives other numbers on a GPU. A run may go on elsewhere.
        progress: Whether a line on standard error shows how it goes.

    Returns:
        The trained field with its scores.

    Raises:
        ConfigError: If a setting is not possible, the folder is taken or there is no
            such device.

    Example:
        >>> import torch
        >>> image = ImageSignal.open("astronaut", crop="32")
        >>> run = fit(
        ...     image, model="instant-ngp", params=20_000, steps=3, progress=False
        ... )
        >>> run.field(torch.rand(5, 2)).shape
        torch.Size([5, 3])
        >>> sorted(run.metrics)[:3]
        ['device', 'dtype', 'implementations']
    """
    _check_signal("fit", signal, ImageSignal, MeshSignal, Scene)
    place = find_device(device)
    if out is None:
        _check_kept("fit", overwrite=overwrite, resume=resume)
    check_auto(signal, auto=auto, sweep=sweep)
    plan = partial(
        plan_job,
        signal,
        steps=steps,
        minutes=minutes,
        holdout=holdout,
        heldout_share=heldout_share,
        sampling=sampling,
        params=params,
        seed=seed,
        track=_tracking("fit", track_kernel, track_points, out),
    )
    asked = auto_request(model, sweep, params, settings)
    kind = {"out": out, "overwrite": overwrite, "resume": resume, "device": place}
    chosen = _chosen(signal, plan, asked, progress, **kind) if auto else None
    job = chosen or plan(model=model, settings=settings)
    if out is None:
        return _run(job, None, place, progress)
    with keeping(out, job.experiment, overwrite=overwrite, resume=resume) as kept:
        done = load(kept.folder.path, device=place) if kept.is_finished else None
        run = done or _run(job, kept, place, progress)
    write_fit_report(kept.folder.path)
    return run


def extract_mesh(run: FittedRun, resolution: int = 256) -> OwnSurface:
    """Return the surface of a fitted shape, in the frame and units of its mesh.

    Args:
        run: A fit to the signed distance of a mesh.
        resolution: Cells along each side of the box around the shape.

    Returns:
        Vertices, faces and the field's normals.

    Raises:
        DataError: If the run did not fit a shape.
        NumericalError: If the field has no surface.

    Example:
        >>> ball = MeshSignal.open("sphere")
        >>> quick = {"pool.size": "8192", "judge.resolution": "16"}
        >>> quick |= {"judge.box_points": "1000", "judge.surface_points": "100"}
        >>> run = fit(
        ...     ball, model="instant-ngp", steps=30, settings=quick, progress=False
        ... )
        >>> extract_mesh(run, resolution=16).vertices.shape[1]
        3
    """
    return own_surface(run, resolution)


def analyze(
    signal: ImageSignal,
    *,
    models: Sequence[str] = ("instant-ngp", "mulfagrid"),
    params: int | None = None,
    points: int | None = None,
    parameters: Sequence[str] = ("all", "grid"),
    steps: int = 100,
    rate: float | None = None,
    delta: float = 0.1,
    lattice: int = 32,
    seeds: Sequence[int] = (0,),
    settings: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    device: str | torch.device = HOST,
    progress: bool = True,
) -> KernelAnalysis:
    """Look at the tangent kernels of untrained models at pixels of an image.

    Args:
        signal: The image; see `ImageSignal.open` and `ImageSignal.from_array`.
        models: Names of models, as ``tangrid catalogue`` lists.
        params: Trainable parameters to size each to, within 2 %; None for its own size.
        points: Pixels to draw; 1024, or all if they are fewer, by default.
        parameters: Groups of parameters with a kernel of their own: ``all`` (NTK),
            ``grid`` (GTK) and others.
        steps: Steps of full-batch gradient descent that are measured.
        rate: Its learning rate on half the sum of squares; None for half the largest
            stable one of each kernel.
        delta: Probability with which the generalisation bound may fail.
        lattice: Points along each side of the lattice of the Fourier spectra.
        seeds: Sources of initial values; the first one draws the pixels.
        settings: Single settings to change, as text by dotted path, such as
            ``{"field.decoder.width": "32"}``.
        out: Folder for everything, the report included; None keeps nothing on disk.
        overwrite: Whether an analysis in that folder is replaced.
        resume: Whether an analysis in that folder is gone on with.
        device: Where to compute, or its name, as in `fit`.
        progress: Whether standard error shows how it goes.

    Returns:
        What the kernels tell, in plain values, and their maps.

    Raises:
        ConfigError: If a setting is not possible, the folder is taken or there is no
            such device.
        ResourceError: If the kernels do not fit into memory.

    Example:
        >>> image = ImageSignal.open("astronaut", crop="32")
        >>> found = analyze(
        ...     image, models=["siren"], params=4000, points=16, steps=0, progress=False
        ... )
        >>> summary = found.entries[0]["kernels"]["all"]["summary"]
        >>> summary["num_points"], summary["num_outputs"]
        (16, 3)
    """
    _check_signal("analyze", signal, ImageSignal)
    place = find_device(device)
    if isinstance(models, str):
        models = (models,)
    experiment = AnalyzeImage(
        models=tuple(models),
        signal=ImageSource(name=signal.name, colour=signal.colour),
        params=params,
        seeds=tuple(seeds),
        settings=dict(settings or {}),
        kernels=KernelSettings(
            points=points_for(points, signal.num_pixels),
            seed=seeds[0] if seeds else 0,
            parameters=tuple(parameters),
            steps=steps,
            rate=rate,
            delta=delta,
            lattice=lattice,
        ),
    )
    analysis, _ = plan_image_analysis(experiment, signal)
    if out is None:
        _check_kept("analyze", overwrite=overwrite, resume=resume)
        return _analysed(analysis, None, place, progress)
    with keeping(out, experiment, overwrite=overwrite, resume=resume) as kept:
        found = _analysed(analysis, kept, place, progress)
    write_kernel_report(kept.folder.path)
    return found


def _analysed(
    analysis: Analysis, kept: Kept | None, device: torch.device, progress: bool
) -> KernelAnalysis:
    with StageLine() if progress else nullcontext() as line:
        *_, found = run_analysis(
            analysis,
            kept.folder if kept else None,
            resume=kept.resume if kept else False,
            device=device,
            on_field=line.begin if line else None,
            on_stage=line.stage if line else lambda _: None,
        )
    return found


def _run(
    job: Job, kept: Kept | None, device: torch.device, progress: bool
) -> FittedRun:
    experiment = job.experiment
    label = f"{experiment.source.name} {experiment.model}"
    line = ProgressLine(label, steps=experiment.training.known_steps)
    with line if progress else nullcontext() as shown:
        return job.run(
            shown,
            folder=kept.folder if kept else None,
            resume=kept.resume if kept else False,
            device=device,
        )


def _chosen(
    signal: Signal,
    plan: Callable[..., Job],
    asked: AutoRequest,
    progress: bool,
    **kind: Any,  # noqa: ANN401
) -> Job:
    with StageLine() if progress else nullcontext() as line:
        return auto_job(signal, plan, asked, line=line, **kind)


def _tracking(
    where: str,
    steps: str | Sequence[int] | None,
    points: int | None,
    out: str | Path | None,
) -> KernelTracking | None:
    if steps is not None and out is None:
        raise ConfigError(
            f"{where}(track_kernel=...): expected a folder for what is found, got "
            "out=None. Name the folder with out."
        )
    return tracking_of(steps, points)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(
                f"{name}: expected a whole number >= 1, got {count}. Say how many "
                "numbers make a point or a value."
            )


def _check_signal(where: str, signal: object, *kinds: type) -> None:
    if not isinstance(signal, kinds):
        names = [kind.__name__ for kind in kinds]
        raise ConfigError(
            f"{where}(signal=...): expected an {' or a '.join(names)}, got "
            f"{type(signal).__name__}. Open a file with "
            f"{' or '.join(f'{name}.open(path)' for name in names)}; they also wrap "
            "arrays."
        )


def _check_kept(where: str, **flags: bool) -> None:
    for name, flag in flags.items():
        if flag:
            raise ConfigError(
                f"{where}({name}=True): expected a folder to apply it to, got "
                "out=None. Name the folder with out."
            )
