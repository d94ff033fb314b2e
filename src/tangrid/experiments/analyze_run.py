"""Look at the tangent kernels of fields that were fitted, before and after training."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from tangrid.errors import ConfigError, DataError, TangridError
from tangrid.experiments.analyze_folder import Analysis, PlannedSpecimen
from tangrid.experiments.analyze_image import (
    check_groups,
    describe_signal,
    groups_of,
    image_probes,
    num_kernels,
)
from tangrid.experiments.analyze_plan import AnalysisPlan, plan_analysis
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.analyze_specimen import Specimen, field_specimen
from tangrid.experiments.compare_images import CompareImages
from tangrid.experiments.contract import EXPERIMENTS
from tangrid.experiments.fit_image import FitImage
from tangrid.experiments.loading import load, read_experiment
from tangrid.fields import Field
from tangrid.runs.record import read_table
from tangrid.runs.store import RunFolder
from tangrid.signals.image import ImageSignal

INITIAL, TRAINED = "initial", "trained"

_OPTIMIZERS = {
    "adam": "Adam",
    "gauss-newton": "Gauss-Newton",
    "exact": "exact solution",
}
"""What pages call the ways to move parameters."""


@EXPERIMENTS.register("analyze-run")
@dataclass(frozen=True, kw_only=True)
class AnalyzeRun:
    """The kernels of a fit, or of all fits of a comparison, before and after it."""

    schema: int = 1
    """Version of this format."""
    path: str | None = None
    """Folder of the fit or of the comparison."""
    signal: str | None = None
    """Name of the image, where the comparison is of several."""
    kernels: KernelSettings = field(default_factory=KernelSettings)
    """What is looked at."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenedRuns:
    """Hold fits of one image, and the image.

    Attributes:
        fits: Folder and settings of each.
        signal: The image, read again.
        among: Pixels that were trained on; None for all.
        warnings: What the reader should know of them.
    """

    fits: Sequence[tuple[Path, FitImage]]
    signal: ImageSignal
    among: Int64[Tensor, " n"] | None
    warnings: tuple[str, ...] = ()

    @property
    def num_pixels(self) -> int:
        """Pixels that points can be drawn from."""
        return self.signal.num_pixels if self.among is None else len(self.among)


def open_runs(path: Path, signal: str | None = None) -> OpenedRuns:
    """Return the fits in a folder, with everything that looking at them needs.

    Args:
        path: Folder of a fit or of a comparison.
        signal: Name of the image, where the comparison is of several.

    Raises:
        DataError: If it is no such folder, or the image is not where it was.
        ConfigError: If the comparison is of several images and none is named.
    """
    folder = RunFolder.open(path)
    experiment = read_experiment(folder)
    warnings: tuple[str, ...] = ()
    if isinstance(experiment, FitImage):
        if signal not in (None, experiment.signal.name):
            raise _no_such_signal(path, signal, [experiment.signal.name])
        paths = [path]
    elif isinstance(experiment, CompareImages):
        paths = list(_compared(path, signal))
        planned = len(experiment.models) * len(experiment.seeds)
        if len(paths) < planned:
            warnings = (f"{len(paths)} of {planned} fits of the comparison are done.",)
    else:
        raise DataError(
            f"{path}: expected the folder of a fit or of a comparison of images, got "
            f"one of kind '{folder.read_json('config.json')['kind']}'. Name another."
        )
    fits = [(each, _image_fit(each)) for each in paths]
    first = fits[0][1]
    opened = _opened(path, first)
    split = first.split(opened)
    return OpenedRuns(
        fits=fits,
        signal=opened,
        among=None if split is None else split.train_indices,
        warnings=warnings,
    )


def _image_fit(path: Path) -> FitImage:
    experiment = load(path).experiment
    if not isinstance(experiment, FitImage):
        raise DataError(
            f"{path}: expected the folder of a fit to an image, got that of another "
            "fit. Name another."
        )
    return experiment


def _compared(path: Path, signal: str | None) -> Iterator[Path]:
    """Yield the folders of all finished fits of one image of a comparison."""
    rows = read_table(path).rows
    names = list(dict.fromkeys(row["signal"] for row in rows))
    if not rows:
        raise DataError(
            f"{path}: expected a comparison with at least one finished fit, got none. "
            "Go on with it by --resume first."
        )
    if signal is None and len(names) > 1:
        raise ConfigError(
            f"{path}: expected a comparison on one image, got one on "
            f"{', '.join(names)}. Say which with --signal NAME."
        )
    wanted = signal or names[0]
    if wanted not in names:
        raise _no_such_signal(path, wanted, names)
    for row in rows:
        if row["signal"] == wanted:
            yield path / row["run"]


def _no_such_signal(path: Path, signal: str | None, names: list[str]) -> ConfigError:
    return ConfigError(
        f"--signal {signal}: expected one of the images of {path}, {', '.join(names)}."
    )


def _opened(path: Path, fit: FitImage) -> ImageSignal:
    """Return the image of a fit, read again."""
    try:
        signal = fit.signal.open()
    except TangridError as error:
        raise DataError(
            f"{path}: expected to read the image that was fitted again, for the labels "
            f"of the kernels' points, but: {error} A path counts from the folder in "
            "which the fit began; put the image back or go there."
        ) from error
    found = signal.width, signal.height, signal.num_channels
    if found != (*fit.resolution, fit.num_channels):
        width, height = fit.resolution
        raise DataError(
            f"{path}: expected the image that was fitted, {width} x {height} with "
            f"{fit.num_channels} channels, got {found[0]} x {found[1]} with {found[2]} "
            f"at {fit.signal.path}. The file was changed; put the former one back."
        )
    return signal


def plan_run_analysis(
    experiment: AnalyzeRun, runs: OpenedRuns, results: Path | None = None
) -> tuple[Analysis, AnalysisPlan]:
    """Return what will be looked at and what it takes, all checked before it begins.

    Args:
        experiment: What to look at.
        runs: The fits, opened.
        results: Folder of the analysis, from which the runs are named.

    Raises:
        ConfigError: If a number is not possible, or results would go into a run.
        ResourceError: If the kernels do not fit into memory.
    """
    settings = experiment.kernels
    fits = [fit for _, fit in runs.fits]
    if results is not None and experiment.path is not None:
        _check_apart(Path(experiment.path), results)
    counts = [num_kernels(fit, settings) for fit in fits for _ in (INITIAL, TRAINED)]
    plan = plan_analysis(settings, runs.signal.num_channels, counts, num_dims=2)
    check_groups(settings, [groups_of(fit) for fit in fits])
    has_seeds = len({fit.seed for fit in fits}) > 1
    analysis = Analysis(
        experiment=experiment,
        settings=settings,
        signal=describe_signal(runs.signal),
        probes=image_probes(runs.signal, settings, among=runs.among),
        planned=[
            planned
            for path, fit in runs.fits
            for planned in _planned(path, fit, runs, settings, results, has_seeds)
        ],
        warnings=runs.warnings,
    )
    return analysis, plan


def _check_apart(run: Path, results: Path) -> None:
    """Refuse to write into a run, or over one."""
    inner, outer = run.expanduser().resolve(), results.expanduser().resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise ConfigError(
            f"--out {results}: expected a folder apart from {run}, which an analysis "
            "leaves as it is, got that one or one above or below it. Choose another."
        )


def _planned(
    path: Path,
    fit: FitImage,
    runs: OpenedRuns,
    settings: KernelSettings,
    results: Path | None,
    has_seeds: bool,
) -> Iterator[PlannedSpecimen]:
    def specimen(built: Field, state: str, **more: Any) -> Specimen:  # noqa: ANN401
        return field_specimen(
            built,
            label=f"{name}, {state}",
            model=fit.model,
            seed=fit.seed,
            state=state,
            parameters=settings.parameters,
            **more,
        )

    def initial() -> Specimen:
        return specimen(fit.build(runs.signal.site), INITIAL)

    def trained() -> Specimen:
        facts = {"fit": _scores(path, fit), "run": _relative(path, results)}
        return specimen(load(path).field, TRAINED, facts=facts, before=initial)

    name = f"{fit.model}, seed {fit.seed}" if has_seeds else fit.model
    yield PlannedSpecimen(label=f"{name}, {INITIAL}", build=initial)
    yield PlannedSpecimen(label=f"{name}, {TRAINED}", build=trained)


def _relative(path: Path, results: Path | None) -> str:
    """Return the path of a run as seen from the results."""
    if results is None:
        return path.as_posix()
    try:
        seen = os.path.relpath(path.resolve(), results.expanduser().resolve())
    except ValueError:  # on another drive
        return path.resolve().as_posix()
    return Path(seen).as_posix()


def _scores(path: Path, fit: FitImage) -> dict[str, Any]:
    """Return what a fit reached, and the curve that it logged on the way."""
    folder = RunFolder.open(path)
    metrics = folder.read_json("metrics.json") if folder.has("metrics.json") else {}
    groups = groups_of(fit)
    lines = folder.read_lines("metrics.jsonl")
    return {
        **{name: metrics.get(name) for name in ("psnr", "ssim", "steps", "seconds")},
        "optimizer": _OPTIMIZERS[fit.training.optimizer],
        "rates": {
            name: rate
            for name, rate in fit.training.rates.items()
            if groups.get(name) and fit.training.optimizer == "adam"
        },
        "curve": {
            "step": [line.get("step") for line in lines],
            "psnr": [line.get("psnr") for line in lines],
        },
    }
