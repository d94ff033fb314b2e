"""The pictures of a shape: views of truth and fit, errors on it, slices of distance."""

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from PIL import Image
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.notation import Coords
from tangrid.rendering.camera_paths import orbit
from tangrid.rendering.shading import Paint, draw
from tangrid.rendering.slices import Axis, slice_picture, slice_points
from tangrid.rendering.sphere_tracing import Hits, trace
from tangrid.signals.camera import Camera
from tangrid.signals.mesh import MeshSignal
from tangrid.tasks.sdf_evaluation import FittedShape

ERROR_SCALES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
_COVERED = 0.99
_ERROR_COLOURS = "inferno"
_TOLERANCE = 2e-5
"""Distance at which a ray hits: small beside the errors that are shown."""
_SPACING = 0.05

DISTANCE = 2.2
"""From the camera to the centre of the box, in box sides."""

VIEWS = {"front": (25.0, 15.0), "side": (145.0, 15.0), "back": (265.0, 35.0)}
"""Azimuth and elevation of every view, in degrees."""

SLICES: tuple[tuple[Axis, float], ...] = (("z", 0.5), ("x", 0.5))
"""Axis and place of every plane."""


@dataclass(frozen=True, kw_only=True)
class PictureSizes:
    """How large the pictures of a shape are, in pixels along each side."""

    view: int = 420
    """Views of the surface."""
    slice: int = 320
    """Slices of the distance."""

    def __post_init__(self) -> None:
        """Refuse pictures that cannot be drawn, before anything is trained.

        Raises:
            ConfigError: If a picture has too few pixels.
        """
        for name, least in (("view", 1), ("slice", 2)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(
                    f"pictures.{name}: expected at least {least} pixels along each "
                    f"side, got {value}."
                )


@dataclass(frozen=True)
class ShapeFraming:
    """What pictures must share to be compared.

    Attributes:
        error_scale: Distance to the true surface at the top of the colour map.
    """

    error_scale: float


def camera_of(view: str, size: int) -> Camera:
    """Return the camera of a view.

    Args:
        view: One of `VIEWS`.
        size: Pixels along each side.
    """
    azimuth, elevation = VIEWS[view]
    return orbit(azimuth, elevation, distance=DISTANCE, width=size, height=size)


def frame_shape(signal: MeshSignal, shape: FittedShape) -> ShapeFraming:
    """Return the error scale that covers nearly all of a fitted surface.

    Args:
        signal: The mesh.
        shape: The field; it has a surface.
    """
    hits = []
    for view in VIEWS:
        rays = (part.to(shape.device) for part in camera_of(view, 64).rays())
        hits.append(trace(shape.values, *rays, tolerance=_TOLERANCE))
    points = torch.cat([hit.points[hit.is_hit] for hit in hits]).double().cpu().numpy()
    errors = signal.mesh.distance(points)
    # What is too small for any ray to meet has errors that nobody knows.
    covered = float(np.quantile(errors, _COVERED)) if len(errors) else math.inf
    scale = next((s for s in ERROR_SCALES if s >= covered), ERROR_SCALES[-1])
    return ShapeFraming(scale)


def describe_shape(framing: ShapeFraming | None) -> dict[str, Any]:
    """Return what ``pictures.json`` says about the pictures.

    Args:
        framing: The error scale; None where there is no fitted surface to see.
    """
    seen = ("fit", "error") if framing else ()
    return {
        "kind": "shape",
        "error_scale": framing.error_scale if framing else None,
        "error_colormap": _ERROR_COLOURS,
        "views": [
            {
                "name": view,
                **{kind: f"view_{n}_{kind}.png" for kind in ("target", *seen)},
            }
            for n, view in enumerate(VIEWS)
        ],
        "slices": [
            {
                "name": f"{axis} = {place:g}",
                **{kind: f"slice_{n}_{kind}.png" for kind in ("target", "fit")},
            }
            for n, (axis, place) in enumerate(SLICES)
        ],
        "slice_spacing": _SPACING,
    }


def draw_shape(
    signal: MeshSignal,
    shape: FittedShape,
    framing: ShapeFraming | None,
    sizes: PictureSizes,
) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the PNG file of every picture.

    Args:
        signal: The mesh.
        shape: The field.
        framing: The error scale; None where there is no fitted surface to see.
        sizes: How large the pictures are.
    """
    for number, view in enumerate(VIEWS):
        camera = camera_of(view, sizes.view)
        yield f"view_{number}_target.png", _png(_true_view(signal, camera))
        if framing is not None:
            fit, error = draw_field(
                shape, camera, (None, _error_colours(signal, framing))
            )
            yield f"view_{number}_fit.png", _png(fit)
            yield f"view_{number}_error.png", _png(error)
    for number, (axis, place) in enumerate(SLICES):
        points = slice_points(axis, place, sizes.slice)
        for kind, values in (
            ("target", signal.values(points)[:, 0]),
            ("fit", shape.values(points)),
        ):
            square = values.numpy().reshape(sizes.slice, sizes.slice)
            yield f"slice_{number}_{kind}.png", _png(_slice(square))


def draw_field(
    shape: FittedShape, camera: Camera, paints: Sequence[Paint | None] = (None,)
) -> list[np.ndarray]:
    """Return views of a field's surface, by sphere tracing.

    Args:
        shape: The field.
        camera: Where it is seen from.
        paints: For each picture, from points to sRGB-coded colours; None for clay.
    """

    def find_hits(origins: Tensor, directions: Tensor) -> Hits:
        return trace(shape.values, origins, directions, tolerance=_TOLERANCE)

    def find_normals(points: Coords) -> Coords:
        return shape.slopes(points, camera.pixel_side)

    return draw(camera, find_hits, find_normals, paints, device=shape.device)


def _true_view(signal: MeshSignal, camera: Camera) -> np.ndarray:
    # Normals are those of the triangles that were hit, in the order of the points.
    normals: list[np.ndarray] = []

    def find_hits(origins: Tensor, directions: Tensor) -> Hits:
        met = signal.mesh.meet(origins.numpy(), directions.numpy())
        normals.append(met.normals[met.is_hit])
        points = np.where(met.is_hit[:, None], met.points, 0.0).astype(np.float32)
        return Hits(
            is_hit=torch.from_numpy(met.is_hit), points=torch.from_numpy(points)
        )

    def find_normals(_: Coords) -> Coords:
        return torch.from_numpy(normals[-1]).float()

    return draw(camera, find_hits, find_normals)[0]


def _error_colours(signal: MeshSignal, framing: ShapeFraming) -> Paint:
    table = torch.from_numpy(colormaps[_ERROR_COLOURS](np.arange(256))[:, :3]).float()

    def colours(points: Coords) -> Float[Tensor, "n 3"]:
        places = points.double().cpu().numpy()
        errors = signal.mesh.distance(places) / framing.error_scale
        rows = torch.from_numpy((errors.clip(0, 1) * 255).astype(np.int64))
        return table[rows].to(points.device)

    return colours


def _slice(values: np.ndarray) -> np.ndarray:
    return slice_picture(values, spacing=_SPACING)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
