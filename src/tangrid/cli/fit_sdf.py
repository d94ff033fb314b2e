"""``tangrid fit sdf MESH``: fit one model to the signed distance of one mesh."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.auto_flags import AutoFlags, check_auto, planned_fit
from tangrid.cli.flags import (
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    names_in,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.sdf_flags import SdfFlags, loss_of, sdf_training
from tangrid.cli.track_flags import TrackFlags, check_track, tracked

if TYPE_CHECKING:
    from tangrid.experiments.fit_sdf import FitSdf
    from tangrid.experiments.keeping import Kept
    from tangrid.progress import ProgressLine
    from tangrid.signals.mesh import MeshSignal


@dataclass(frozen=True, kw_only=True)
class FitSdfRequest:
    """Fit one model to the signed distance of a mesh; keep everything, with a report.

    Open meshes work too. Names that need no file: sphere, box, torus and knot.
    """

    path: Annotated[Positional[str], arg(metavar="MESH")]
    """OBJ, PLY, STL, GLB, glTF or OFF file, or name of a surface."""
    model: Annotated[str, arg(metavar="NAME")] = "mulfagrid"
    """Model to fit; `tangrid catalogue` lists all."""
    sdf: SdfFlags = field(default_factory=SdfFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    track: TrackFlags = field(default_factory=TrackFlags)
    auto: AutoFlags = field(default_factory=AutoFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: FitSdfRequest, command: Sequence[str]) -> None:
    """Fit, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.

    Raises:
        ConfigError: If several models were named without ``--auto``.
    """
    check_flags(request.training)
    check_track(request.track, request.training.seeds)
    check_auto(request.auto, request.model, request.training.seeds, "sdf")
    if request.training.seeds > 1:
        _compare_seeds(request, command)
        return
    _fit(request, command)


def _compare_seeds(request: FitSdfRequest, command: Sequence[str]) -> None:
    from tangrid.cli.compare_sdf import CompareSdfRequest, compare  # noqa: PLC0415

    several = CompareSdfRequest(
        paths=(request.path,),
        models=request.model,
        sdf=request.sdf,
        training=request.training,
        output=request.output,
    )
    compare(several, command, suffix=f"{request.model}-seeds")


def _fit(request: FitSdfRequest, command: Sequence[str]) -> None:
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import fit_in_folder  # noqa: PLC0415
    from tangrid.experiments.fit_sdf import run_sdf_fit  # noqa: PLC0415

    load_plugin(request.output.plugin)
    device = device_named(request.training.device)
    plan_one, signal = _planner(request)
    experiment, choice, output = planned_fit(
        request.auto,
        request.model,
        request.training,
        request.output,
        signal,
        plan_one,
        device,
    )

    def fit(kept: "Kept", line: "ProgressLine") -> None:
        run_sdf_fit(
            experiment,
            signal,
            device=device,
            folder=kept.folder,
            resume=kept.resume,
            command=command,
            choice=choice,
            on_step=line,
            on_points=line.prepare,
        )

    fit_in_folder(experiment, output, fit)


def _planner(
    request: FitSdfRequest,
) -> "tuple[Callable[[str, Mapping[str, str]], FitSdf], MeshSignal]":
    """Return what plans a fit with every setting resolved, and the mesh, opened."""
    from tangrid.experiments.fit_sdf import MeshSource, plan_sdf_fit  # noqa: PLC0415

    flags = request.training
    for model in names_in(request.model):
        check_decoder(flags, model)
    training = sdf_training(flags)
    source = MeshSource(path=request.path)
    signal = source.open()

    def plan_one(model: str, settings: Mapping[str, str]) -> "FitSdf":
        experiment = plan_sdf_fit(
            signal,
            dataclasses.replace(source, name=signal.name),
            model=model,
            params=flags.params,
            training=training,
            loss=loss_of(request.sdf),
            rule=request.sdf.sampling,
            points=request.sdf.points,
            seed=flags.seed,
            settings=settings,
        )
        return tracked(experiment, request.track, 1)

    return plan_one, signal
