"""``tangrid export mesh RUN``: the surface of a fitted shape as a mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, File, Number, Real, Switch
from tangrid.cli.flags import PluginFlags, check_threads
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError

_MOST_CELLS = 4096


@dataclass(frozen=True, kw_only=True)
class ExportMeshRequest:
    """Write the surface of a fitted shape as a mesh, where the original was.

    It has the frame and units of the fitted file and the field's normals; no seams.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit of a signed distance."""
    out: File = None
    """Mesh to write: .ply, .obj or .glb (default: RUN.ply)."""
    resolution: Number = 256
    """Cells along each side of the box around the shape."""
    level: Real = None
    """Distance from the shape, in its own units: 0.1 is a shell around it."""
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    overwrite: Switch = False
    """Replace the file that is there."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: ExportMeshRequest, command: Sequence[str]) -> None:
    """Write the mesh and print what it is and where.

    Args:
        request: What was asked for.
        command: The whole command.

    Raises:
        ConfigError: If the file is there already or the resolution is none.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.run_folder import named_folder  # noqa: PLC0415
    from tangrid.experiments import load  # noqa: PLC0415
    from tangrid.experiments.shape_output import (  # noqa: PLC0415
        fit_of_shape,
        own_surface,
    )
    from tangrid.progress import bar  # noqa: PLC0415
    from tangrid.signals.formats.mesh_writing import (  # noqa: PLC0415
        check_mesh_path,
        write_mesh,
    )

    load_plugin(request.other.plugin)
    check_threads(request.threads)
    if not 2 <= request.resolution <= _MOST_CELLS:
        raise ConfigError(
            f"--resolution: expected 2 to {_MOST_CELLS} cells along each side, got "
            f"{request.resolution}. 256 shows most details; time grows with its third "
            "power, memory with its second."
        )
    level = request.level or 0.0
    if not math.isfinite(level):
        raise ConfigError(
            f"--level: expected a finite length, got {level:g}. It is in the units of "
            "the mesh; leave it out for the surface itself."
        )
    folder = named_folder(request.run)
    fitted = load(folder)
    fit_of_shape(fitted)
    path = Path(request.out or f"{folder}.ply").expanduser()
    check_mesh_path(path)
    if path.exists() and not request.overwrite:
        raise ConfigError(
            f"{path}: expected a new file, got one that is there. Choose another with "
            "--out, or replace it with --overwrite."
        )
    with bar("extracting") as show:
        surface = own_surface(
            fitted,
            request.resolution,
            level=level,
            threads=request.threads,
            on_block=show,
        )
    write_mesh(path, surface.vertices, surface.faces, surface.normals)
    print(f"{len(surface.vertices):,} vertices, {len(surface.faces):,} triangles")
    print(path)
