"""The surface of a fitted scene: where its density takes a value, with colours."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.experiments.fit_scene import radiance_of
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.scene_output import FARTHEST, as_colours
from tangrid.fields.workers import Workers, predict
from tangrid.rendering.isosurface import Surface, extract_surface
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.rendering.views import RadianceScene, see

USUAL_LEVEL = 50.0
"""Density of a surface, per side of the box: a fiftieth of the side has an optical
thickness of 1. Where a fit is sure of a surface, it is many times as dense inside."""

_REACH = 0.01
"""How far before and behind a surface its colour is looked for at least, in sides of
the box; a cell, where that is larger, for a corner is no nearer to what is dense."""
_INSIDE = 1e-4
_RANGE = 20.0
"""Factor below and above a level beyond which densities are not told apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DensitySurface:
    """The surface on which the density of a scene takes a value."""

    vertices: Float[np.ndarray, "v 3"]
    """Corners."""
    faces: Int64[np.ndarray, "f 3"]
    """Corners of each triangle, counter-clockwise from where it is less dense."""
    normals: Float[np.ndarray, "v 3"]
    """Unit normals of the corners, out of what is dense."""
    colours: UInt8[np.ndarray, "v 3"]
    """sRGB-coded colours of the corners, as seen against their normals."""


def surface_of_scene(
    run: FittedRun,
    resolution: int,
    *,
    level: float | None = None,
    threads: int | None = None,
    on_block: Callable[[int, int], None] | None = None,
) -> DensitySurface:
    """Return a surface of a fitted scene: that of its density, in the inner box.

    Where a ray would not look, because nothing was found there, is nothing.

    Args:
        run: A fit to a scene.
        resolution: Cells along each side of the box.
        level: Density on the surface, per side of the box; None for the usual one.
        threads: Threads to use; None for all that the process may.
        on_block: Called with the blocks done and all blocks.

    Raises:
        DataError: If the run did not fit a scene.
        ConfigError: If the level is no density.
        NumericalError: If the density has no such surface.
    """
    level = USUAL_LEVEL if level is None else level
    if not 0 < level < math.inf:
        raise ConfigError(
            f"level: expected a density above 0, got {level:g}. It is counted per side "
            f"of the box; leave it out for {USUAL_LEVEL:g}."
        )
    scene = radiance_of(run)
    with Workers(threads, run.field.device) as workers:
        solid = _Solid(scene, level, workers)
        try:
            surface = extract_surface(solid.emptiness, resolution, on_block=on_block)
        except NumericalError as error:
            if not solid.highest < level:
                raise
            raise NumericalError(
                f"level {level:g}: expected a density on both sides of it, got "
                f"densities up to {solid.highest:g}. Choose a lower level, or fit for "
                "longer."
            ) from error
        surface = _without_infinity(scene.space, surface)
        return _coloured(scene, surface, max(_REACH, 1 / resolution), workers)


class _Solid:
    """The density of a scene in its inner box, and the largest that was found."""

    def __init__(self, scene: RadianceScene, level: float, workers: Workers) -> None:
        self._scene = scene
        self._level = level
        self._workers = workers
        self._is_occupied = scene.occupancy.cells.unpacked()[0].cpu()
        self.highest = 0.0

    def emptiness(self, places: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
        """Return how much less dense than the level it is, as a logarithm.

        Densities differ by orders of magnitude within a cell: between two of them the
        surface would stand beside the smaller one, and with logarithms it is between.
        """
        side = len(self._is_occupied)
        x, y, z = (places * side).long().clamp(0, side - 1).unbind(1)
        inside = self._is_occupied[z, y, x].nonzero()[:, 0]
        density = places.new_zeros(len(places))
        coords = self._scene.space.coords(places[inside])
        density[inside] = predict(self._workers, self._scene.field, coords)[:, 0]
        self.highest = max(self.highest, float(density.max()))
        share = (density / self._level).clamp(1 / _RANGE, _RANGE)
        return -share.log()


def _without_infinity(space: SceneSpace, surface: Surface) -> Surface:
    """Return the triangles that have a place in the world.

    Raises:
        NumericalError: If none has.
    """
    if space.ndc is None:
        return surface
    depth = space.low[2] + space.sides[2] * surface.vertices[:, 2]
    is_near: Bool[np.ndarray, " v"] = depth < 2 * FARTHEST - 1
    kept = surface.faces[is_near[surface.faces].all(1)]
    if not len(kept):
        raise NumericalError(
            "surface: expected some of it nearer than a hundred times the near plane, "
            "got none. Choose another level, or fit for longer."
        )
    used, faces = np.unique(kept, return_inverse=True)
    return Surface(vertices=surface.vertices[used], faces=faces.reshape(-1, 3))


def _coloured(
    scene: RadianceScene, surface: Surface, reach: float, workers: Workers
) -> DensitySurface:
    """Return a surface of the box in the world, with what is seen against normals."""
    space = scene.space
    places = torch.from_numpy(surface.vertices)
    own = space.world(places.double()).numpy()
    # Device coordinates grow away from the camera: they are a mirror image.
    faces = surface.faces if space.ndc is None else surface.faces[:, ::-1]
    normals = _normals(own, faces)
    inward = -_normals(surface.vertices.astype(np.float64), surface.faces)
    inward = torch.from_numpy(inward).float()
    size = len(places)
    # A ray in a side of the box meets nothing.
    rays = BoxRays(
        places.clamp(_INSIDE, 1 - _INSIDE) - reach * inward,
        inward,
        torch.zeros(size),
        torch.full((size,), 2 * reach),
        torch.ones(size),
    )
    # So short a way needs a few steps, not as many samples as a ray through the box.
    march = replace(scene.march, sampling="occupancy")
    views = torch.from_numpy(-normals).float()
    device = scene.field.device
    rays = BoxRays(*(values.to(device) for values in rays))
    seen = see(replace(scene, march=march), rays, views.to(device), workers)
    colours = (seen.colour / seen.opacity.clamp(min=1e-6)[:, None]).cpu()
    return DensitySurface(
        vertices=own,
        faces=np.ascontiguousarray(faces),
        normals=normals,
        colours=as_colours(colours),
    )


def _normals(
    vertices: Float[np.ndarray, "v 3"], faces: Int64[np.ndarray, "f 3"]
) -> Float[np.ndarray, "v 3"]:
    """Return the mean normals of the triangles at each corner, weighted by area."""
    a, b, c = (vertices[corner] for corner in faces.T)
    areas = torch.from_numpy(np.cross(b - a, c - a))
    total = torch.zeros(len(vertices), 3, dtype=torch.float64)
    for corner in faces.T:
        total.index_add_(0, torch.from_numpy(np.ascontiguousarray(corner)), areas)
    return torch.nn.functional.normalize(total, dim=1, eps=1e-300).numpy()
