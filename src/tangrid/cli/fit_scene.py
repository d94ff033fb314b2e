"""``tangrid fit scene FOLDER``: fit one model to posed photographs."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.auto_flags import SceneAutoFlags, check_no_auto
from tangrid.cli.flag_types import Switch
from tangrid.cli.flags import (
    OutputFlags,
    TrainingFlags,
    check_decoder,
    check_flags,
    device_named,
    settings_of,
)
from tangrid.cli.plugin import load_plugin
from tangrid.cli.scene_flags import SceneFlags, lpips_of, scene_training_of
from tangrid.cli.track_flags import TrackFlags, check_track, tracked
from tangrid.errors import ConfigError

if TYPE_CHECKING:
    from tangrid.experiments.fit_scene import FitScene
    from tangrid.experiments.keeping import Kept
    from tangrid.progress import ProgressLine
    from tangrid.runs import RunFolder
    from tangrid.signals.scene import Scene


@dataclass(frozen=True, kw_only=True)
class FitSceneRequest:
    """Fit one model to posed photographs; keep everything, with a report.

    Formats: Blender (NeRF), instant-ngp and nerfstudio, LLFF, COLMAP, NSVF.
    """

    path: Annotated[Positional[str], arg(metavar="FOLDER")] = ""
    """Folder of a scene, or the file of cameras inside it."""
    demo: Switch = False
    """Fit a small scene that tangrid makes itself; no folder is needed."""
    model: Annotated[str, arg(metavar="NAME")] = "instant-ngp"
    """Model to fit; `tangrid catalogue` lists all."""
    scene: SceneFlags = field(default_factory=SceneFlags)
    training: TrainingFlags = field(default_factory=TrainingFlags)
    track: TrackFlags = field(default_factory=TrackFlags)
    auto: SceneAutoFlags = field(default_factory=SceneAutoFlags)
    output: OutputFlags = field(default_factory=OutputFlags)


def run(request: FitSceneRequest, command: Sequence[str]) -> None:
    """Fit, write the report, and print the main numbers.

    Args:
        request: What was asked for.
        command: The whole command, for the record.

    Raises:
        ConfigError: If several models were named, or no scene.
    """
    check_flags(request.training)
    check_track(request.track, request.training.seeds)
    check_no_auto(request.auto)
    if "," in request.model:
        raise ConfigError(
            f"--model: expected one model, got '{request.model}'. Fit several with "
            "`tangrid compare scene`."
        )
    if bool(request.path) == request.demo:
        raise ConfigError(
            "FOLDER: expected the folder of a scene or --demo, got "
            f"{'both' if request.demo else 'neither'}. Write for example tangrid fit "
            "scene photos/ or tangrid fit scene --demo."
        )
    if request.training.seeds > 1:
        _compare_seeds(request, command)
        return
    _fit(request, command)


def _compare_seeds(request: FitSceneRequest, command: Sequence[str]) -> None:
    from tangrid.cli.compare_scene import (  # noqa: PLC0415
        CompareSceneRequest,
        compare,
    )

    several = CompareSceneRequest(
        paths=(request.path,) if request.path else (),
        demo=request.demo,
        models=request.model,
        scene=request.scene,
        training=request.training,
        output=request.output,
    )
    compare(several, command, suffix=f"{request.model}-seeds")


def _fit(request: FitSceneRequest, command: Sequence[str]) -> None:
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.fitting import fit_in_folder  # noqa: PLC0415
    from tangrid.experiments.fit_scene import run_scene_fit  # noqa: PLC0415
    from tangrid.experiments.keeping import check_folder  # noqa: PLC0415
    from tangrid.experiments.scene_judging import (  # noqa: PLC0415
        check_judged_alike,
    )

    load_plugin(request.output.plugin)
    output = request.output
    # Photographs take longest; what is wrong already is told without them.
    check_folder(output.out, overwrite=output.overwrite, resume=output.resume)
    lpips = lpips_of(request.scene)
    device = device_named(request.training.device)
    experiment, signal = _plan(request)

    def fit(kept: "Kept", line: "ProgressLine") -> None:
        run_scene_fit(
            experiment,
            signal,
            device=device,
            folder=kept.folder,
            resume=kept.resume,
            lpips=lpips,
            command=command,
            on_step=line,
            on_view=line.judge,
        )

    def check(folder: "RunFolder") -> None:
        check_judged_alike(folder.path, lpips)

    fit_in_folder(experiment, request.output, fit, check)


def _plan(request: FitSceneRequest) -> "tuple[FitScene, Scene]":
    """Return the experiment with every setting resolved, and its scene, opened."""
    from tangrid.cli.scene_opening import open_scene  # noqa: PLC0415
    from tangrid.experiments.fit_scene import (  # noqa: PLC0415
        check_scene_settings,
        plan_scene_fit,
    )

    flags = request.training
    check_decoder(flags, request.model, "scene")
    training = scene_training_of(flags)
    check_scene_settings(
        request.model,
        training,
        protocol=request.scene.protocol,
        settings=settings_of(flags),
    )
    source, signal = open_scene(None if request.demo else request.path, request.scene)
    experiment = plan_scene_fit(
        signal,
        dataclasses.replace(source, name=signal.name),
        model=request.model,
        params=flags.params,
        training=training,
        protocol=request.scene.protocol,
        seed=flags.seed,
        settings=settings_of(flags),
    )
    return tracked(experiment, request.track, 1), signal
