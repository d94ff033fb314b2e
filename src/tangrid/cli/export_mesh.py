"""``tangrid export mesh RUN``: the surface of a fitted shape or scene as a mesh."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Device, File, Number, Real, Switch
from tangrid.cli.flags import PluginFlags, check_device, check_threads, device_named
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np

    from tangrid.experiments import FittedRun

_MOST_CELLS = 4096


@dataclass(frozen=True, kw_only=True)
class ExportMeshRequest:
    """Write the surface of a fitted shape or scene as a mesh, where the original was.

    It has the frame and units of the data; that of a scene has colours, too.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit of a signed distance or of a scene."""
    out: File = None
    """Mesh to write: .ply, .obj or .glb (default: RUN.ply)."""
    resolution: Number = 256
    """Cells along each side of the box around the shape or scene."""
    level: Real = None
    """Distance from the shape, in its units; or density of a scene (default: 50)."""
    threads: Count = None
    """Threads to use (default: all that this process may)."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""
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
        DataError: If the run fitted an image.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.run_folder import named_folder  # noqa: PLC0415
    from tangrid.experiments import FitImage, FitScene, load  # noqa: PLC0415
    from tangrid.signals.formats.mesh_writing import (  # noqa: PLC0415
        check_mesh_path,
        write_mesh,
    )

    load_plugin(request.other.plugin)
    check_threads(request.threads)
    check_device(request.device)
    if not 2 <= request.resolution <= _MOST_CELLS:
        raise ConfigError(
            f"--resolution: expected 2 to {_MOST_CELLS} cells along each side, got "
            f"{request.resolution}. 256 shows most details; time grows with its third "
            "power, memory with its second."
        )
    folder = named_folder(request.run)
    fitted = load(folder, device=device_named(request.device))
    if isinstance(fitted.experiment, FitImage):
        raise DataError(
            f"{folder}: expected a fit to a signed distance or to a scene, got one to "
            "an image. Name the folder of a `tangrid fit sdf` or `tangrid fit scene`."
        )
    path = Path(request.out or f"{folder}.ply").expanduser()
    check_mesh_path(path)
    if path.exists() and not request.overwrite:
        raise ConfigError(
            f"{path}: expected a new file, got one that is there. Choose another with "
            "--out, or replace it with --overwrite."
        )
    is_scene = isinstance(fitted.experiment, FitScene)
    found = (_scene if is_scene else _shape)(request, fitted)
    write_mesh(path, *found)
    vertices, faces, *_ = found
    print(f"{len(vertices):,} vertices, {len(faces):,} triangles")
    print(path)


def _shape(
    request: ExportMeshRequest, fitted: "FittedRun"
) -> "tuple[np.ndarray, np.ndarray, np.ndarray]":
    """Return corners, triangles and normals of a shape."""
    from tangrid.experiments.shape_output import own_surface  # noqa: PLC0415
    from tangrid.progress import bar  # noqa: PLC0415

    level = request.level or 0.0
    if not math.isfinite(level):
        raise ConfigError(
            f"--level: expected a finite length, got {level:g}. It is in the units of "
            "the mesh; leave it out for the surface itself."
        )
    with bar("extracting") as show:
        surface = own_surface(
            fitted,
            request.resolution,
            level=level,
            threads=request.threads,
            on_block=show,
        )
    return surface.vertices, surface.faces, surface.normals


def _scene(
    request: ExportMeshRequest, fitted: "FittedRun"
) -> "tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]":
    """Return corners, triangles, normals and colours of a scene's surface."""
    from tangrid.experiments.scene_surface import surface_of_scene  # noqa: PLC0415
    from tangrid.progress import bar  # noqa: PLC0415

    with bar("extracting") as show:
        surface = surface_of_scene(
            fitted,
            request.resolution,
            level=request.level,
            threads=request.threads,
            on_block=show,
        )
    return surface.vertices, surface.faces, surface.normals, surface.colours
