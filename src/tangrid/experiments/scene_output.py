"""What leaves a fitted scene again: views of it, and points of what they show.

All of it is in the frame in which the scene was fitted, which is that of the data set
but for scenes in LLFF's format.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.experiments.fit_scene import fit_of_scene, radiance_of
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.scene_cameras import SceneCameras, kept_cameras
from tangrid.fields.workers import Workers, predict
from tangrid.rendering.camera_tours import at_size, orbit_around, spiral
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, RenderedView, render_view, see
from tangrid.seeding import generator
from tangrid.signals.camera import Camera

Tour = Literal["orbit", "spiral"]
"""A way of a camera: around what others look at, or to and fro before it."""
USUAL_FRAMES = 60
"""Pictures of a way that look smooth one after the other."""

FARTHEST = 0.99
"""Share of the way to infinity, in normalised device coordinates, beyond which nothing
has a place: a hundred times the distance of the near plane."""
_SEEN = 0.5
"""Opacity from which a pixel sees a surface."""
_RAYS_PER_POINT = 6
"""Rays that are looked along for each point: many meet nothing."""
_LEAST_DENSITY = 5.0
"""Density, per side of the box, below which there is nothing at a mean depth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PointCloud:
    """Points of what cameras see of a scene."""

    points: Float[np.ndarray, "n 3"]
    """Where they are."""
    colours: UInt8[np.ndarray, "n 3"]
    """sRGB-coded red, green and blue, as the camera that found the point sees it."""
    left_out: float
    """Share of the pixels that see a surface whose mean depth is in nothing, or nearly
    at infinity."""


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
    """Yield what cameras see of a fitted scene, with as many rays as it is judged by.

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
    rays = fit_of_scene(run).judge.supersampling
    _check_forward(scene.space, cameras)
    with Workers(threads, run.field.device) as workers:
        for camera in cameras:
            yield render_view(scene, camera, workers, supersampling=rays)


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


def tour_of_scene(
    run: FittedRun, kind: Tour | None = None, count: int = USUAL_FRAMES
) -> list[Camera]:
    """Return cameras on a way that those of a fitted scene suggest.

    Args:
        run: A fit to a scene that was kept in a folder.
        kind: A circle around what they look at, or a spiral before it; None for the one
            that suits the scene.
        count: Number of cameras.

    Raises:
        DataError: If the run did not fit a scene, or kept no cameras.
        ConfigError: If the scene has no such way.
    """
    kept, space = cameras_of(run), fit_of_scene(run).space
    cameras = [view.camera for view in kept.training]
    if (kind or usual_tour(kept)) == "spiral":
        if space.ndc is None:
            return spiral(cameras, count, near=space.near, far=space.far)
        return spiral(cameras, count, near=space.ndc.near, far=math.inf)
    if space.ndc is not None:
        raise ConfigError(
            "path orbit: expected a scene that is seen from all around, got a view out "
            "of a window, fitted in normalised device coordinates. Choose the path "
            "spiral."
        )
    return orbit_around(cameras, count)


def usual_tour(cameras: SceneCameras) -> Tour:
    """Return the kind of way that suits a scene.

    Args:
        cameras: All that photographed it.
    """
    return "spiral" if cameras.scope == "forward-facing" else "orbit"


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
    found, seen = [], 0
    with Workers(threads, run.field.device) as workers:
        for number, camera in enumerate(cameras):
            looking = _with_enough_pixels(camera, count / len(cameras))
            rows, count_seen = _points_of_view(scene, looking, workers)
            found.append(rows)
            seen += count_seen
            if on_view is not None:
                on_view(number + 1, len(cameras))
    rows = torch.cat([torch.empty(0, 6, dtype=torch.float64), *found])
    if not len(rows):
        raise NumericalError(
            f"points: expected cameras that see a surface, got {len(cameras)} that see "
            f"none: {seen} of their pixels are mostly opaque, and what these see has "
            "no place. Look at a view with `tangrid render`, or fit for longer."
        )
    left_out = 1 - len(rows) / seen
    drawn = torch.randperm(len(rows), generator=generator(seed, "points"))[:count]
    rows = rows[drawn.sort().values]
    return PointCloud(
        points=rows[:, :3].numpy(),
        colours=as_colours(rows[:, 3:]),
        left_out=left_out,
    )


def _with_enough_pixels(camera: Camera, points: float) -> Camera:
    """Return a camera with as many pixels as points need, or all that it has."""
    most = camera.width * camera.height
    scale = min(math.sqrt(_RAYS_PER_POINT * points / most), 1.0)
    return at_size(camera, math.ceil(scale * camera.width))


def _points_of_view(
    scene: RadianceScene, camera: Camera, workers: Workers
) -> tuple[Float[Tensor, "n 6"], int]:
    """Return places and colours of pixels that see a surface, and how many see one."""
    space = scene.space
    device = scene.field.device
    origins, directions = (values.to(device) for values in camera.rays())
    rays = space.rays(origins, directions)
    seen = see(scene, rays, directions, workers)
    opacity = seen.opacity.clamp(min=1e-6)
    depth = seen.depth / opacity
    is_seen = seen.opacity > _SEEN
    count = int(is_seen.sum())
    if space.ndc is not None:
        is_seen &= depth < FARTHEST * rays.scales
    places = rays.origins + depth[:, None] * rays.directions
    places, colours = places[is_seen], (seen.colour / opacity[:, None])[is_seen]
    density = predict(workers, scene.field, space.coords(places))[:, 0]
    is_there = density > _LEAST_DENSITY
    own = space.world(places[is_there].double())
    return torch.cat((own, colours[is_there].double()), dim=1).cpu(), count


def as_colours(colours: Float[Tensor, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """Return colours from 0 to 1 rounded to 8 bits.

    Args:
        colours: sRGB-coded.
    """
    return (colours.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
