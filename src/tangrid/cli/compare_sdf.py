"""``tangrid compare sdf MESH...``: fit several models to meshes by one recipe."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from tangrid.cli.flags import (
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    distinct_names,
    models_in,
    seeds_of,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.sdf_flags import SdfFlags, loss_of, sdf_training
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.cli.succession import Succession
    from tangrid.experiments.compare_sdfs import CompareSdfs
    from tangrid.experiments.keeping import Kept
    from tangrid.signals.mesh import MeshSignal


@dataclass(frozen=True, kw_only=True)
class CompareSdfRequest:
    """Fit several models to one mesh or several: one table, one page.

    All are trained by one recipe; --params gives all the same number of parameters.
    """

    paths: Annotated[
        Positional[tuple[str, ...]],
        arg(metavar="MESH...", help_behavior_hint="(required)"),
    ]
    """OBJ, PLY, STL, GLB, glTF or OFF files, or names of surfaces."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to compare, with commas; `tangrid catalogue` lists all."""
    sdf: SdfFlags = field(default_factory=SdfFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: CompareSdfRequest, command: Sequence[str]) -> None:
    """Fit everything, write the reports, and print the table.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    compare(request, command, suffix="comparison")


def compare(request: CompareSdfRequest, command: Sequence[str], *, suffix: str) -> None:
    """Do what `run` does, in a folder with a suffix of its own.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
        suffix: End of the folder's name where ``--out`` names none.
    """
    check_flags(request.training)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import compare_in_folder  # noqa: PLC0415
    from tangrid.experiments.compare_sdfs import (  # noqa: PLC0415
        plan_sdf_comparison,
        run_sdf_comparison,
    )

    load_plugin(request.output.plugin)
    comparison, signals = _plan(request)
    # Everything is tried before a folder is made.
    plan_sdf_comparison(comparison, signals)

    def fit_all(kept: "Kept", show: "Succession") -> Iterator[dict[str, Any]]:
        return run_sdf_comparison(
            comparison,
            signals,
            kept.folder,
            resume=kept.resume,
            device=device_named(request.training.device),
            command=command,
            on_run=show.begin,
            on_step=show.step,
            on_points=show.prepare,
        )

    names = [source.name for source in comparison.signals]
    compare_in_folder(comparison, names, request.output, suffix, fit_all)


def _plan(
    request: CompareSdfRequest,
) -> "tuple[CompareSdfs, list[MeshSignal]]":
    """Return what is asked for, and its meshes, opened."""
    from tangrid.experiments.compare_sdfs import CompareSdfs  # noqa: PLC0415
    from tangrid.experiments.fit_sdf import MeshSource  # noqa: PLC0415

    flags = request.training
    training = sdf_training(flags)
    if not request.paths:
        raise ConfigError(
            "MESH: expected at least one mesh file, got none. Write for example "
            "tangrid compare sdf scan.obj."
        )
    models = models_in(request.models)
    for model in models:
        check_decoder(flags, model)
    sources = [MeshSource(path=path) for path in request.paths]
    signals = [source.open() for source in sources]
    names = distinct_names(request.paths, [signal.name for signal in signals])
    comparison = CompareSdfs(
        models=models,
        signals=tuple(
            dataclasses.replace(source, name=name)
            for source, name in zip(sources, names, strict=True)
        ),
        params=flags.params,
        seeds=seeds_of(flags),
        training=training,
        rule=request.sdf.sampling,
        points=request.sdf.points,
        loss=loss_of(request.sdf),
        settings=settings_of(flags),
    )
    return comparison, signals
