"""``tangrid export points RUN``: what the cameras of a scene see, as points."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Device, File, Number, Switch
from tangrid.cli.flags import PluginFlags, check_device, check_threads, device_named
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError

_MOST_POINTS = 100_000_000


@dataclass(frozen=True, kw_only=True)
class ExportPointsRequest:
    """Write what the cameras of a fitted scene see as coloured points.

    They are in the frame in which the scene was fitted, that of RUN/cameras.json.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit of a scene."""
    out: File = None
    """File to write, .ply (default: RUN-points.ply)."""
    points: Number = 500_000
    """Points at most."""
    seed: Number = 0
    """Source of the draw of points, where there are more."""
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""
    overwrite: Switch = False
    """Replace the file that is there."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: ExportPointsRequest, command: Sequence[str]) -> None:
    """Write the points and print how many they are and where.

    Args:
        request: What was asked for.
        command: The whole command.

    Raises:
        ConfigError: If the file is there already or no points are asked for.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.run_folder import named_folder  # noqa: PLC0415
    from tangrid.experiments import load  # noqa: PLC0415
    from tangrid.experiments.scene_output import (  # noqa: PLC0415
        cameras_of,
        points_of_scene,
    )
    from tangrid.progress import bar  # noqa: PLC0415
    from tangrid.signals.formats.mesh_writing import (  # noqa: PLC0415
        check_points_path,
        write_points,
    )

    load_plugin(request.other.plugin)
    check_threads(request.threads)
    check_device(request.device)
    if not 1 <= request.points <= _MOST_POINTS:
        raise ConfigError(
            f"--points: expected 1 to {_MOST_POINTS} points, got {request.points}. "
            "Some 500000 show a scene well."
        )
    folder = named_folder(request.run)
    fitted = load(folder, device=device_named(request.device))
    cameras = [view.camera for view in cameras_of(fitted).views]
    path = Path(request.out or f"{folder}-points.ply").expanduser()
    check_points_path(path)
    if path.exists() and not request.overwrite:
        raise ConfigError(
            f"{path}: expected a new file, got one that is there. Choose another with "
            "--out, or replace it with --overwrite."
        )
    with bar("looking") as show:
        found = points_of_scene(
            fitted,
            cameras,
            request.points,
            seed=request.seed,
            threads=request.threads,
            on_view=show,
        )
    write_points(path, found.points, found.colours)
    print(f"{len(found.points):,} points")
    _tell_left_out(found.left_out)
    print(path)


def _tell_left_out(share: float) -> None:
    if share > 0:
        print(
            f"tangrid: {share:.1%} of the pixels that see something were left out: "
            "their mean depth is between two things, or nearly at infinity.",
            file=sys.stderr,
        )
