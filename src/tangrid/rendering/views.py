"""Whole pictures of a radiance field, band by band on several threads."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from tangrid.devices import HOST
from tangrid.fields.radiance import RadianceField
from tangrid.fields.workers import Workers
from tangrid.ops.composite import Composited
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.rendering.volume import MarchSettings, look
from tangrid.signals.camera import Camera

_RAYS_AT_ONCE = 1024
_RAYS_ON_A_GPU = 2**15
"""It needs many to be busy, and holds all samples of that many at once."""
_BAND = 8 * _RAYS_ON_A_GPU
"""Rays that are held at once; whole pieces, so that bands change no bits."""


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
    """What a camera sees of a radiance field, without a background; on the CPU."""

    colour: Float32[Tensor, "h w 3"]
    """Light that comes from the field; premultiplied by the opacity."""
    opacity: Float32[Tensor, "h w"]
    """Share of a background that is hidden."""
    depth: Float32[Tensor, "h w"]
    """Mean distance of what is seen, in the scene's units, or from 0 to 1 in normalised
    device coordinates; 0 where nothing is."""

    def over(self, background: tuple[float, float, float]) -> Float32[Tensor, "h w 3"]:
        """Return the picture before a background, from 0 to 1.

        Args:
            background: Its colour.
        """
        rest = (1 - self.opacity)[..., None]
        return (self.colour + rest * torch.tensor(background)).clamp(0, 1)

    def straight(self) -> Float32[Tensor, "h w 4"]:
        """Return red, green, blue and opacity from 0 to 1, as a PNG file has them.

        The colour is that of what is seen, however thin; black where nothing is.
        """
        opacity = self.opacity.clamp(0, 1)[..., None]
        colour = self.colour / opacity.clamp(min=1e-6)
        return torch.cat((colour, opacity), dim=-1).clamp(0, 1)


def render_view(
    scene: RadianceScene, camera: Camera, workers: Workers, *, supersampling: int = 1
) -> RenderedView:
    """Return what a camera sees.

    Args:
        scene: What is seen.
        camera: Where from.
        workers: Who works.
        supersampling: Rays along each side of a pixel, whose mean it becomes.
    """
    fine = camera.finer(supersampling)
    num_rays = fine.width * fine.height
    per_row = fine.width * supersampling
    rest = torch.empty(0, 5)
    bands: list[tuple[Tensor, Tensor, Tensor]] = []
    for first in range(0, num_rays, _BAND):
        span = range(first, min(first + _BAND, num_rays))
        found = torch.cat((rest, _found(scene, fine, span, workers)))
        # A band may end within a row of pixels, which the next one completes.
        end = len(found) // per_row * per_row
        bands.append(_means(found[:end], camera.width, supersampling))
        rest = found[end:]
    colours, opacities, depths = zip(*bands, strict=True)
    return RenderedView(
        colour=torch.cat(colours), opacity=torch.cat(opacities), depth=torch.cat(depths)
    )


def _found(
    scene: RadianceScene, camera: Camera, span: range, workers: Workers
) -> Float32[Tensor, "r 5"]:
    """Return colour, opacity and depth of some rays of a camera, counted row by row.

    Depth is in the scene's units, times opacity.
    """
    rows = range(span.start // camera.width, (span.stop - 1) // camera.width + 1)
    skipped = span.start - rows.start * camera.width
    part = slice(skipped, skipped + len(span))
    device = scene.field.device
    origins, directions = (values[part].to(device) for values in camera.rays(rows))
    rays = scene.space.rays(origins, directions)
    seen = see(scene, rays, directions, workers)
    # A ray along the planes of device coordinates has no scale, and sees nothing.
    far = torch.where(seen.opacity > 0, seen.depth / rays.scales, 0)
    return torch.cat((seen.colour, seen.opacity[:, None], far[:, None]), dim=1).cpu()


def _means(
    found: Float32[Tensor, "r 5"], width: int, supersampling: int
) -> tuple[Float32[Tensor, "h w 3"], Float32[Tensor, "h w"], Float32[Tensor, "h w"]]:
    """Return colour, opacity and depth of whole rows of pixels."""
    height = len(found) // (width * supersampling**2)
    shape = height, supersampling, width, supersampling
    colour = found[:, :3].view(*shape, 3).mean((1, 3))
    opacity = found[:, 3].view(shape).mean((1, 3))
    far = found[:, 4].contiguous().view(shape).mean((1, 3))
    return colour, opacity, far / opacity.clamp(min=1e-6)


def see(
    scene: RadianceScene,
    rays: BoxRays,
    directions: Float32[Tensor, "r 3"],
    workers: Workers,
) -> Composited:
    """Return what rays see, without gradients.

    Args:
        scene: What is seen.
        rays: In the frame of the box, where the field is.
        directions: Where they go in the world, of unit length.
        workers: Who works.

    Returns:
        Colour, opacity and depth of each ray; depth in sides of the box, times opacity.
    """
    found = torch.empty(len(directions), 5, device=directions.device)
    size = _RAYS_AT_ONCE if directions.device == HOST else _RAYS_ON_A_GPU
    places = range(0, len(directions), size)

    @torch.no_grad()
    def work(worker: int) -> None:
        for start in places[worker :: workers.count]:
            part = slice(start, start + size)
            piece = BoxRays(*(values[part] for values in rays))
            middle = torch.full_like(piece.nears, 0.5)
            seen = look(
                scene.field,
                piece,
                directions[part],
                scene.space,
                scene.occupancy,
                scene.march,
                middle,
            ).rays
            found[part, :3] = seen.colour
            found[part, 3], found[part, 4] = seen.opacity, seen.depth

    workers.run(work)
    return Composited(found[:, :3], found[:, 3], found[:, 4])
