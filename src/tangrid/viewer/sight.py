"""What a browser's camera sees of a radiance field, strip by strip."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8

from tangrid.fields.workers import Workers
from tangrid.rendering.views import RadianceScene, RenderedView, render_view
from tangrid.signals.camera import Camera
from tangrid.signals.scene import Background
from tangrid.tasks.view_pictures import as_bytes, depth_picture
from tangrid.viewer.browser_camera import BrowserCamera

Mode = Literal["colour", "depth", "opacity"]
"""What of the field is shown."""

_LEAST_HEIGHT = 16
_FAR = 1e6


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a field is shown."""

    mode: Mode = "colour"
    """What of it."""
    background: Background = "white"
    """What stands behind it."""
    height: int = 480
    """Pixels of the finest picture from top to bottom."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What a browser wants to see."""

    camera: BrowserCamera
    """Where from."""
    style: Style
    """How."""

    def heights(self, most_rays: float) -> list[int]:
        """Return the heights of pictures of it, from coarse to fine.

        Each has twice as many pixels along each side as the one before.

        Args:
            most_rays: Pixels that the first of them may have.

        Example:
            >>> camera = Camera(pose=np.eye(4), width=2, height=1, focal=(1.0, 1.0))
            >>> sight = Sight(camera=BrowserCamera.of(camera), style=Style(height=400))
            >>> sight.heights(25_000), sight.heights(1e6)
            ([100, 200, 400], [400])
        """
        found = [self.style.height]
        while (
            found[0] ** 2 * self.camera.aspect > most_rays
            and found[0] // 2 >= _LEAST_HEIGHT
        ):
            found.insert(0, found[0] // 2)
        return found


def unclipped(scene: RadianceScene) -> RadianceScene:
    """Return a scene that is seen from anywhere, not from its photographs' places only.

    What is nearer or farther than any camera had it is shown, too. Two things stay: in
    a scene that is larger than the box, what is very near a camera; and the frame of
    normalised device coordinates.

    Args:
        scene: The scene as it was fitted.
    """
    space = scene.space
    if space.ndc is not None:
        return scene
    near = 0.0 if space.cascades == 1 else space.near
    space = dataclasses.replace(space, near=near, far=max(space.far, _FAR))
    return dataclasses.replace(scene, space=space)


def render_while_wanted(
    scene: RadianceScene,
    camera: Camera,
    workers: Workers,
    *,
    rays_at_once: float,
    is_stale: Callable[[], bool],
) -> RenderedView | None:
    """Return what a camera sees, or nothing if nobody wants it any more.

    Args:
        scene: What is seen.
        camera: Where from; without a lens.
        workers: Who works.
        rays_at_once: Pixels between questions whether it is still wanted.
        is_stale: Whether it is wanted no more.
    """
    rows = max(int(rays_at_once / camera.width), 1)
    x, y = camera.principal_point
    strips = []
    for top in range(0, camera.height, rows):
        if is_stale():
            return None
        strip = dataclasses.replace(
            camera, height=min(rows, camera.height - top), centre=(x, y - top)
        )
        strips.append(_seen(scene, strip, workers))
    return RenderedView(
        colour=torch.cat([strip.colour for strip in strips]),
        opacity=torch.cat([strip.opacity for strip in strips]),
        depth=torch.cat([strip.depth for strip in strips]),
    )


def _seen(scene: RadianceScene, camera: Camera, workers: Workers) -> RenderedView:
    found = render_view(scene, camera, workers)
    if scene.space.ndc is None:
        return found
    # Its frame has no place behind the cameras; rays there would see a mirror image.
    is_before = (camera.rays()[1][:, 2] < 0).view(found.opacity.shape)
    return RenderedView(
        colour=found.colour * is_before[..., None],
        opacity=found.opacity * is_before,
        depth=found.depth * is_before,
    )


def picture(view: RenderedView, style: Style) -> UInt8[np.ndarray, "h w 3"]:
    """Return what was seen as a picture.

    Args:
        view: What was seen.
        style: How it is shown. Depth is bright where it is near, and white where
            nothing is; opacity is white where the field is opaque.
    """
    if style.mode == "depth":
        return depth_picture(view.depth.numpy(), view.opacity.numpy())
    if style.mode == "opacity":
        return as_bytes(view.opacity[..., None].expand(-1, -1, 3).numpy())
    white = float(style.background == "white")
    return as_bytes(view.over((white, white, white)).numpy())
