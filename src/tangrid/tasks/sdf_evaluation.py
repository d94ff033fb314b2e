"""Judge a field as a shape: what it encloses, its distances, slopes and surface.

All lengths are in sides of the unit box, of which the mesh's longest side fills 0.9.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import HOST
from tangrid.errors import ConfigError, NumericalError
from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers, predict, predict_gradients
from tangrid.metrics.overlap import Overlap
from tangrid.metrics.surfaces import SurfaceSamples, SurfaceScores, compare_surfaces
from tangrid.notation import Coords
from tangrid.rendering.isosurface import Surface, extract_surface
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.triangle_mesh import TriangleMesh

_NEAR = 0.005
_FINEST = 2048
_POINTS_PER_CALL = 2**19


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """How closely a field is looked at.

    Example:
        >>> JudgeSettings().resolution
        256
    """

    resolution: int = 256
    """Cells along each side of the box, for the surface that is extracted."""
    surface_points: int = 500_000
    """Points drawn on each of the two surfaces that are compared."""
    box_points: int = 2**21
    """Points of the box whose side of the surface is compared (IoU)."""
    near_points: int = 2**17
    """Points near the surface whose distance and slope are compared."""

    def __post_init__(self) -> None:
        """Refuse to judge by nothing.

        Raises:
            ConfigError: If a number is not positive, or a surface too fine for memory.
        """
        for name, value in vars(self).items():
            if value < 1:
                raise ConfigError(
                    f"judge.{name}: expected a whole number >= 1, got {value}. Leave "
                    "it out for the usual one."
                )
        if self.resolution > _FINEST:
            raise ConfigError(
                f"judge.resolution: expected at most {_FINEST} cells along each "
                f"side, got {self.resolution}. 256 shows most details; triangles grow "
                "with the square and time with the third power."
            )


@dataclass(frozen=True)
class FittedShape:
    """A field as its judges see it, without gradients for training.

    Attributes:
        values: Signed distances at points, where the points are.
        gradients: Their derivatives along the coordinates.
        device: Where it is asked without moving points.
    """

    values: Callable[[Coords], Float[Tensor, " n"]]
    gradients: Callable[[Coords], Coords]
    device: torch.device = HOST

    @classmethod
    def of(cls, field: Field, workers: Workers) -> "FittedShape":
        """Return a field as a shape; points may be on its device or elsewhere.

        Args:
            field: A field with one channel.
            workers: Who works.
        """
        return cls(
            values=lambda coords: predict(workers, field, coords)[:, 0],
            gradients=lambda coords: predict_gradients(workers, field, coords),
            device=field.device,
        )

    def slopes(self, coords: Coords, reach: float) -> Coords:
        """Return how the values change around points, by central differences.

        On scales that training does not see, the gradient itself is noise: a fine grid
        with linear interpolation is flat or steep from cell to cell. What a picture or
        a mesh shows is the slope over its own pixels or cells.

        Args:
            coords: Points in the unit box.
            reach: Distance to either side, in box sides; less at the box's faces.
        """
        slopes = []
        for axis in range(3):
            ahead, behind = coords.clone(), coords.clone()
            ahead[:, axis] = (coords[:, axis] + reach).clamp(max=1)
            behind[:, axis] = (coords[:, axis] - reach).clamp(min=0)
            change = self.values(ahead) - self.values(behind)
            slopes.append(change / (ahead - behind)[:, axis])
        return torch.stack(slopes, dim=1)


@dataclass(frozen=True)
class SdfEvaluation:
    """What a field is worth as a shape.

    Attributes:
        metrics: Scores by name, as they stand in ``metrics.json``.
        surface: The extracted surface; None if the field has none.
    """

    metrics: dict[str, Any]
    surface: Surface | None


def evaluate_sdf(
    signal: MeshSignal, shape: FittedShape, settings: JudgeSettings
) -> SdfEvaluation:
    """Return how a field compares with a mesh.

    ``iou`` counts points drawn evenly from the unit box, inside being below 0; it is
    None where the mesh encloses none of them. ``sdf_error`` is the mean absolute error
    of the distance, and ``eikonal`` the mean distance of the gradient's length from 1,
    at points of the surface moved by Gaussian noise of deviation 0.005. The others
    compare points of the extracted surface with points of the mesh; see
    `tangrid.metrics.surfaces.compare_surfaces`.

    Args:
        signal: The mesh.
        shape: The field.
        settings: How closely to look.
    """
    metrics = {**_overlap(signal, shape, settings), **_near(signal, shape, settings)}
    surface, missing = None, None
    try:
        surface = extract_surface(shape.values, settings.resolution)
    except NumericalError as error:
        missing = f"The field has no surface. {error}"
    if surface is None:
        metrics |= {"surface_missing": missing, "surface_faces": 0}
    else:
        metrics |= _surface_scores(signal, surface, settings).metrics()
        metrics["surface_faces"] = len(surface.faces)
    facts = _facts(signal)
    if metrics["iou"] is None:
        facts["notes"].append(
            f"The mesh encloses none of {settings.box_points:,} points of the box: it "
            "is a sheet, or its triangles lie double. So its distance is nowhere "
            "negative, there is no IoU, and a good fit has no surface at 0."
        )
    return SdfEvaluation(metrics | facts, surface)


def _rng(name: str) -> np.random.Generator:
    # Not the run's seed: all runs are judged at the same points.
    return np.random.default_rng(generator(0, "judge", name).initial_seed())


def _overlap(
    signal: MeshSignal, shape: FittedShape, settings: JudgeSettings
) -> dict[str, Any]:
    rng, overlap = _rng("box"), Overlap()
    for start in range(0, settings.box_points, _POINTS_PER_CALL):
        count = min(_POINTS_PER_CALL, settings.box_points - start)
        points = rng.random((count, 3), dtype=np.float32)
        found = shape.values(torch.from_numpy(points)).numpy() < 0
        overlap = overlap.with_points(found, signal.mesh.is_inside(points))
    encloses = overlap.both + overlap.only_wanted > 0
    return {"iou": overlap.iou if encloses else None}


def _near(
    signal: MeshSignal, shape: FittedShape, settings: JudgeSettings
) -> dict[str, Any]:
    rng = _rng("near")
    points = signal.mesh.sample(settings.near_points, rng).points
    points = (points + _NEAR * rng.standard_normal(points.shape)).clip(0, 1)
    coords = torch.from_numpy(points.astype(np.float32))
    wanted = signal.values(coords)[:, 0]
    slopes = shape.gradients(coords).norm(dim=1)
    return {
        "sdf_error": float((shape.values(coords) - wanted).abs().mean()),
        "eikonal": float((slopes - 1).abs().mean()),
    }


def _surface_scores(
    signal: MeshSignal, surface: Surface, settings: JudgeSettings
) -> SurfaceScores:
    rng, count = _rng("surface"), settings.surface_points
    found = TriangleMesh(surface.vertices.astype(np.float64), surface.faces)
    samples = [
        SurfaceSamples(points=drawn.points, normals=drawn.normals)
        for drawn in (found.sample(count, rng), signal.mesh.sample(count, rng))
    ]
    return compare_surfaces(*samples)


def _facts(signal: MeshSignal) -> dict[str, Any]:
    mesh = signal.mesh
    return {
        "is_open": signal.is_open,
        "open_edges": mesh.num_open_edges,
        "shells": mesh.num_shells,
        "mesh_faces": len(mesh.faces),
        "mesh_vertices": len(mesh.vertices),
        "box_side": signal.frame.side,
        "notes": list(signal.notes),
    }
