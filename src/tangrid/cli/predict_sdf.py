"""``tangrid predict sdf MESH``: which model will fit a shape, without training any."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flags import (
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    models_in,
    seeds_of,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.predict_flags import (
    PredictionFlags,
    check_prediction_flags,
    prediction_settings,
)
from tangrid.cli.sdf_flags import SdfFlags, loss_of, sdf_training

if TYPE_CHECKING:
    from tangrid.experiments.predict_sdfs import PredictSdf
    from tangrid.signals.mesh import MeshSignal


@dataclass(frozen=True, kw_only=True)
class PredictSdfRequest:
    """Rank models, and settings of them, by how they would fit a signed distance.

    By tangent kernels and a short lesson; --steps and the like describe the fit.
    """

    path: Annotated[Positional[str], arg(metavar="MESH")]
    """OBJ, PLY, STL, GLB, glTF or OFF file, or name of a surface."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to rank, with commas; `tangrid catalogue` lists all."""
    look: PredictionFlags = field(default_factory=PredictionFlags)
    sdf: SdfFlags = field(default_factory=SdfFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: PredictSdfRequest, command: Sequence[str]) -> None:
    """Look at all candidates, write the report, and print the ranking.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    check_flags(request.training)
    check_prediction_flags(request.look, request.training)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.predict_outcome import keep_prediction  # noqa: PLC0415
    from tangrid.experiments.predict_sdfs import plan_sdf_prediction  # noqa: PLC0415

    load_plugin(request.output.plugin)
    experiment, signal = _experiment(request)
    # Everything is tried before a folder is made.
    keep_prediction(
        plan_sdf_prediction(experiment, signal),
        request.output,
        command,
        device=request.training.device,
        trained=request.look.trained,
    )


def _experiment(request: PredictSdfRequest) -> "tuple[PredictSdf, MeshSignal]":
    """Return what is asked for, and the mesh, opened."""
    from tangrid.experiments.fit_sdf import MeshSource  # noqa: PLC0415
    from tangrid.experiments.predict_sdfs import PredictSdf  # noqa: PLC0415

    flags = request.training
    models = models_in(request.models)
    for model in models:
        check_decoder(flags, model, "sdf")
    source = MeshSource(path=request.path)
    signal = source.open()
    experiment = PredictSdf(
        models=models,
        sweeps=request.look.sweep,
        signal=dataclasses.replace(source, name=signal.name),
        params=flags.params,
        seeds=seeds_of(flags),
        training=sdf_training(flags),
        rule=request.sdf.sampling,
        points=request.sdf.points,
        loss=loss_of(request.sdf),
        settings=settings_of(flags),
        look=prediction_settings(request.look),
        diagnostics=not request.look.no_diagnostics,
    )
    return experiment, signal
