"""What leaves a fitted scene again: views of it, points of these, and its surface.

All of it is in the frame in which the scene was fitted, which is that of the data set
but for scenes in LLFF's format.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.experiments.fit_scene import fit_of_scene, radiance_of
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.scene_cameras import SceneCameras, kept_cameras
from tangrid.fields.workers import Workers, predict
from tangrid.rendering.camera_tours import at_size
from tangrid.rendering.isosurface import Surface, extract_surface
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.rendering.views import RadianceScene, RenderedView, render_view, see
from tangrid.seeding import generator
from tangrid.signals.camera import Camera

USUAL_LEVEL = 50.0
"""Density of a surface, per side of the box: a fiftieth of the side has an optical
thickness of 1. Where a fit is sure of a surface, it is many times as dense inside."""

_FARTHEST = 0.99
"""Share of the way to infinity, in normalised device coordinates, beyond which nothing
has a place: a hundred times the distance of the near plane."""
_SEEN = 0.5
"""Opacity from which a pixel sees a surface."""
_RAYS_PER_POINT = 6
"""Rays that are looked along for each point: many meet nothing."""
_LEAST_DENSITY = 5.0
"""Density, per side of the box, below which there is nothing at a mean depth."""
_REACH = 0.01
"""How far before and behind a surface its colour is looked for, in sides of the box."""

_RANGE = 20.0
"""Factor below and above a level beyond which densities are not told apart."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PointCloud:
    """Points of what cameras see of a scene."""

    points: Float[np.ndarray, "n 3"]
    """Where they are."""
    colours: UInt8[np.ndarray, "n 3"]
    """sRGB-coded red, green and blue, as the camera that found the point sees it."""


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


def cameras_of(run: FittedRun) -> SceneCameras:
    """Return the cameras that photographed the scene of a run.

    Args:
        run: A fit to a scene that was kept in a folder.

    Raises:
        DataError: If it fitted something else, or kept no cameras.
    """
    fit_of_scene(run)
    return kept_cameras(run.folder)


def views_of_scene(
    run: FittedRun, cameras: Sequence[Camera], *, threads: int | None = None
) -> Iterator[RenderedView]:
    """Yield what cameras see of a fitted scene.

    Args:
        run: A fit to a scene.
        cameras: Where it is seen from.
        threads: Threads to use; None for all that the process may.

    Yields:
        A view for each camera, without a background.

    Raises:
        DataError: If the run did not fit a scene.
        ConfigError: If a camera looks where a view out of a window does not reach.
    """
    scene = radiance_of(run)
    _check_forward(scene.space, cameras)
    with Workers(threads) as workers:
        for camera in cameras:
            yield render_view(scene, camera, workers)


def _check_forward(space: SceneSpace, cameras: Sequence[Camera]) -> None:
    """Refuse rays that never meet the near plane of device coordinates."""
    if space.ndc is None:
        return
    for number, camera in enumerate(cameras):
        if camera.corners[:, 2].max() > -1e-3:
            raise ConfigError(
                f"camera {number}: expected one that sees only what the photographs "
                "show, along -z, as the scene was fitted in normalised device "
                "coordinates, got one that looks aside or back. Turn it, or fit the "
                "scene with --no-ndc."
            )


def points_of_scene(
    run: FittedRun,
    cameras: Sequence[Camera],
    count: int,
    *,
    seed: int = 0,
    threads: int | None = None,
    on_view: Callable[[int, int], None] | None = None,
) -> PointCloud:
    """Return coloured points of what cameras see of a fitted scene.

    A point lies at the mean depth of a pixel that is mostly opaque. Where something
    ends before something else the mean lies between both, in nothing: such pixels are
    left out. Cameras look with fewer pixels than they have where that is enough.

    Args:
        run: A fit to a scene.
        cameras: Where it is seen from, such as those of its photographs.
        count: Number of points at most; of more, some are drawn.
        seed: Source of the draw.
        threads: Threads to use; None for all that the process may.
        on_view: Called with the cameras that have looked, and all of them.

    Raises:
        DataError: If the run did not fit a scene.
        ConfigError: If no point is asked for, or a camera looks aside.
        NumericalError: If nothing is seen.
    """
    if count < 1:
        raise ConfigError(
            f"points: expected at least one, got {count}. Some 100,000 show a scene."
        )
    scene = radiance_of(run)
    _check_forward(scene.space, cameras)
    found = []
    with Workers(threads) as workers:
        for number, camera in enumerate(cameras):
            looking = _with_enough_pixels(camera, count / len(cameras))
            found.append(_points_of_view(scene, looking, workers))
            if on_view is not None:
                on_view(number + 1, len(cameras))
    rows = torch.cat([torch.empty(0, 6, dtype=torch.float64), *found])
    if not len(rows):
        raise NumericalError(
            f"points: expected cameras that see a surface, got {len(cameras)} that see "
            "nothing opaque. Look at a view with `tangrid render`, or fit for longer."
        )
    drawn = torch.randperm(len(rows), generator=generator(seed, "points"))[:count]
    rows = rows[drawn.sort().values]
    return PointCloud(points=rows[:, :3].numpy(), colours=_as_bytes(rows[:, 3:]))


def _with_enough_pixels(camera: Camera, points: float) -> Camera:
    """Return a camera with as many pixels as points need, or all that it has."""
    most = camera.width * camera.height
    scale = min(math.sqrt(_RAYS_PER_POINT * points / most), 1.0)
    return at_size(camera, math.ceil(scale * camera.width))


def _points_of_view(
    scene: RadianceScene, camera: Camera, workers: Workers
) -> Float[Tensor, "n 6"]:
    """Return places and colours of the pixels that see a surface."""
    space = scene.space
    origins, directions = camera.rays()
    rays = space.rays(origins, directions)
    seen = see(scene, rays, directions, workers)
    opacity = seen.opacity.clamp(min=1e-6)
    depth = seen.depth / opacity
    is_seen = seen.opacity > _SEEN
    if space.ndc is not None:
        is_seen &= depth < _FARTHEST * rays.scales
    places = rays.origins + depth[:, None] * rays.directions
    places, colours = places[is_seen], (seen.colour / opacity[:, None])[is_seen]
    density = predict(workers, scene.field, space.coords(places))[:, 0]
    is_there = density > _LEAST_DENSITY
    own = space.world(places[is_there].double())
    return torch.cat((own, colours[is_there].double()), dim=1)


def _as_bytes(colours: Float[Tensor, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    return (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


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
    with Workers(threads) as workers:
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
        return _coloured(scene, surface, workers)


class _Solid:
    """The density of a scene in its inner box, and the largest that was found."""

    def __init__(self, scene: RadianceScene, level: float, workers: Workers) -> None:
        self._scene = scene
        self._level = level
        self._workers = workers
        self._is_occupied = scene.occupancy.cells.unpacked()[0]
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
    is_near: Bool[np.ndarray, " v"] = depth < 2 * _FARTHEST - 1
    kept = surface.faces[is_near[surface.faces].all(1)]
    if not len(kept):
        raise NumericalError(
            "surface: expected some of it nearer than a hundred times the near plane, "
            "got none. Choose another level, or fit for longer."
        )
    used, faces = np.unique(kept, return_inverse=True)
    return Surface(vertices=surface.vertices[used], faces=faces.reshape(-1, 3))


def _coloured(
    scene: RadianceScene, surface: Surface, workers: Workers
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
    rays = BoxRays(
        places - _REACH * inward,
        inward,
        torch.zeros(size),
        torch.full((size,), 2 * _REACH),
        torch.ones(size),
    )
    seen = see(scene, rays, torch.from_numpy(-normals).float(), workers)
    colours = seen.colour / seen.opacity.clamp(min=1e-6)[:, None]
    return DensitySurface(
        vertices=own,
        faces=np.ascontiguousarray(faces),
        normals=normals,
        colours=_as_bytes(colours),
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
