"""``tangrid compare scene FOLDER...``: fit several models to scenes by one recipe."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Switch
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
from tangrid.cli.scene_flags import SceneFlags, lpips_of, scene_training_of
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.cli.succession import Succession
    from tangrid.experiments.compare_scenes import CompareScenes
    from tangrid.experiments.keeping import Kept
    from tangrid.signals.scene import Scene


@dataclass(frozen=True, kw_only=True)
class CompareSceneRequest:
    """Fit several models to one scene or several: one table, one page.

    All are trained by one recipe; --params gives all the same number of parameters.
    """

    paths: Annotated[Positional[tuple[str, ...]], arg(metavar="FOLDER...")] = ()
    """Folders of scenes."""
    demo: Switch = False
    """Also fit the small scene that tangrid makes itself."""
    models: Annotated[str, arg(metavar="A,B,...")] = "instant-ngp,mulfagrid"
    """Models to compare, with commas; `tangrid catalogue` lists all."""
    scene: SceneFlags = field(default_factory=SceneFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: CompareSceneRequest, command: Sequence[str]) -> None:
    """Fit everything, write the reports, and print the table.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
    """
    compare(request, command, suffix="comparison")


def compare(
    request: CompareSceneRequest, command: Sequence[str], *, suffix: str
) -> None:
    """Do what `run` does, in a folder with a suffix of its own.

    Args:
        request: What was asked for.
        command: The whole command, for the record.
        suffix: End of the folder's name where ``--out`` names none.
    """
    check_flags(request.training)
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import compare_in_folder  # noqa: PLC0415
    from tangrid.experiments.compare_scenes import (  # noqa: PLC0415
        plan_scene_comparison,
        run_scene_comparison,
    )
    from tangrid.experiments.keeping import check_folder  # noqa: PLC0415

    load_plugin(request.output.plugin)
    output = request.output
    # Photographs take longest; what is wrong already is told without them.
    check_folder(output.out, overwrite=output.overwrite, resume=output.resume)
    lpips = lpips_of(request.scene)
    comparison, signals = _plan(request)
    # Everything is tried before a folder is made.
    plan_scene_comparison(comparison, signals)

    def fit_all(kept: "Kept", show: "Succession") -> Iterator[dict[str, Any]]:
        return run_scene_comparison(
            comparison,
            signals,
            kept.folder,
            resume=kept.resume,
            device=device_named(request.training.device),
            lpips=lpips,
            command=command,
            on_run=show.begin,
            on_step=show.step,
            on_view=show.judge,
        )

    names = [source.name for source in comparison.signals]
    compare_in_folder(comparison, names, request.output, suffix, fit_all)


def _plan(request: CompareSceneRequest) -> "tuple[CompareScenes, list[Scene]]":
    """Return what is asked for, and its scenes, opened."""
    from tangrid.cli.scene_opening import open_scene  # noqa: PLC0415
    from tangrid.experiments.compare_scenes import CompareScenes  # noqa: PLC0415
    from tangrid.experiments.fit_scene import check_scene_settings  # noqa: PLC0415

    flags = request.training
    training = scene_training_of(flags)
    paths: list[str | None] = [*request.paths, *([None] if request.demo else [])]
    if not paths:
        raise ConfigError(
            "FOLDER: expected at least one folder of a scene, or --demo, got neither. "
            "Write for example tangrid compare scene photos/."
        )
    models = models_in(request.models)
    for model in models:
        check_decoder(flags, model, "scene")
        check_scene_settings(
            model,
            training,
            protocol=request.scene.protocol,
            settings=settings_of(flags),
        )
    opened = [open_scene(path, request.scene) for path in paths]
    names = distinct_names(
        [path or "" for path in paths], [signal.name for _, signal in opened]
    )
    comparison = CompareScenes(
        models=models,
        signals=tuple(
            dataclasses.replace(source, name=name)
            for (source, _), name in zip(opened, names, strict=True)
        ),
        params=flags.params,
        seeds=seeds_of(flags),
        training=training,
        protocol=request.scene.protocol,
        settings=settings_of(flags),
    )
    return comparison, [signal for _, signal in opened]
