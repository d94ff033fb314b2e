"""What leaves a fitted shape again: its surface as a mesh, and views of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8

from tangrid.errors import DataError, NumericalError
from tangrid.experiments.fit_sdf import FitSdf, fitted_shape
from tangrid.experiments.fitting import FittedRun
from tangrid.rendering.isosurface import extract_surface
from tangrid.signals.camera import Camera
from tangrid.tasks.sdf_pictures import draw_field


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnSurface:
    """The surface of a fitted shape, in the frame and the units of its mesh."""

    vertices: Float[np.ndarray, "v 3"]
    """Corners."""
    faces: Int64[np.ndarray, "f 3"]
    """Corners of each triangle, counter-clockwise from outside."""
    normals: Float[np.ndarray, "v 3"]
    """Unit normals of the corners: directions of the field's gradient over a cell."""


def fit_of_shape(run: FittedRun) -> FitSdf:
    """Return the experiment of a run, if it fitted a shape.

    Args:
        run: Any fitted run.

    Raises:
        DataError: If it fitted something else.
    """
    if not isinstance(run.experiment, FitSdf):
        where = run.folder.path if run.folder else "this run"
        raise DataError(
            f"{where}: expected a fit to a signed distance, got one to an image. Name "
            "the folder of a `tangrid fit sdf`."
        )
    return run.experiment


def own_surface(
    run: FittedRun,
    resolution: int,
    *,
    level: float = 0.0,
    threads: int | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> OwnSurface:
    """Return the surface of a fitted shape where its mesh was.

    Args:
        run: A fit to a signed distance.
        resolution: Cells along each side of the box; the mesh's longest side has nine
            tenths of them.
        level: Distance of the surface from the shape's own, in the mesh's units.
        threads: Threads to use; None for all that the process may.
        on_block: Called with the blocks done and all blocks.

    Raises:
        DataError: If the run did not fit a shape.
        NumericalError: If the field has no such surface.
    """
    frame = fit_of_shape(run).frame
    with fitted_shape(run.field, threads) as shape:
        try:
            surface = extract_surface(
                shape.values, resolution, level=level / frame.side, on_block=on_block
            )
        except NumericalError as error:
            if not level:
                raise
            raise NumericalError(
                f"level {level:g}: {error} These numbers are in sides of the box, "
                f"{frame.side:g} of the mesh's units."
            ) from error
        slopes = shape.slopes(torch.from_numpy(surface.vertices), 0.5 / resolution)
    normals = torch.nn.functional.normalize(slopes, dim=1).numpy()
    return OwnSurface(
        vertices=frame.to_own(surface.vertices.astype(np.float64)),
        faces=surface.faces,
        normals=normals,
    )


def views_of_shape(
    run: FittedRun, cameras: Sequence[Camera], *, threads: int | None = None
) -> Iterator[UInt8[np.ndarray, "h w 4"]]:
    """Yield what cameras see of a fitted shape, with a transparent background.

    Args:
        run: A fit to a signed distance.
        cameras: Where it is seen from, in the unit box.
        threads: Threads to use; None for all that the process may.

    Yields:
        Red, green, blue and opacity of each picture.
    """
    fit_of_shape(run)
    with fitted_shape(run.field, threads) as shape:
        for camera in cameras:
            yield draw_field(shape, camera)[0]
