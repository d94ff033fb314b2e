"""Whole pictures of a radiance field, band by band on several threads."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from tangrid.fields.radiance import RadianceField
from tangrid.fields.workers import Workers
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.volume import MarchSettings, look
from tangrid.signals.camera import Camera

_RAYS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class RadianceScene:
    """A radiance field where it is known what it holds: all that a picture needs."""

    field: RadianceField
    """The field."""
    space: SceneSpace
    """Where it lies in the world."""
    occupancy: Occupancy
    """Where it holds anything."""
    march: MarchSettings
    """How rays are looked along."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderedView:
    """What a camera sees of a radiance field, without a background."""

    colour: Float32[Tensor, "h w 3"]
    """Light that comes from the field; premultiplied by the opacity."""
    opacity: Float32[Tensor, "h w"]
    """Share of a background that is hidden."""
    depth: Float32[Tensor, "h w"]
    """Mean distance of what is seen, in the scene's units; 0 where nothing is."""

    def over(self, background: tuple[float, float, float]) -> Float32[Tensor, "h w 3"]:
        """Return the picture before a background, from 0 to 1.

        Args:
            background: Its colour.
        """
        rest = (1 - self.opacity)[..., None]
        return (self.colour + rest * torch.tensor(background)).clamp(0, 1)


def render_view(scene: RadianceScene, camera: Camera, workers: Workers) -> RenderedView:
    """Return what a camera sees.

    Args:
        scene: What is seen.
        camera: Where from.
        workers: Who works.
    """
    size = camera.width * camera.height
    found = torch.empty(size, 5)
    origins, directions = camera.rays()
    places = range(0, size, _RAYS_AT_ONCE)

    def work(worker: int) -> None:
        for start in places[worker :: workers.count]:
            part = slice(start, start + _RAYS_AT_ONCE)
            found[part] = _seen(scene, origins[part], directions[part])

    workers.run(work)
    shape = camera.height, camera.width
    return RenderedView(
        colour=found[:, :3].view(*shape, 3),
        opacity=found[:, 3].view(shape),
        depth=found[:, 4].view(shape),
    )


@torch.no_grad()
def _seen(
    scene: RadianceScene,
    origins: Float32[Tensor, "r 3"],
    directions: Float32[Tensor, "r 3"],
) -> Float32[Tensor, "r 5"]:
    """Return colour, opacity and depth of rays."""
    rays = scene.space.rays(origins, directions)
    middle = torch.full_like(rays.nears, 0.5)
    seen = look(
        scene.field, rays, directions, scene.space, scene.occupancy, scene.march, middle
    ).rays
    depth = seen.depth / (seen.opacity.clamp(min=1e-6) * rays.scales)
    return torch.cat((seen.colour, seen.opacity[:, None], depth[:, None]), dim=1)
