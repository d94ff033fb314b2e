"""Show surfaces as matte clay under lights that are fixed to the camera."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, UInt8
from torch import Tensor

from tangrid.devices import HOST
from tangrid.errors import ConfigError, ShapeError
from tangrid.notation import Coords
from tangrid.rendering.sphere_tracing import Hits
from tangrid.signals.camera import Camera

CLAY = (0.83, 0.80, 0.76)
"""Colour of a surface that has none, sRGB-coded."""
BACK = (0.30, 0.38, 0.55)
"""Colour of a surface seen from inside, sRGB-coded."""

_RAYS_AT_ONCE = 2**18
"""A picture is drawn in bands of rows, so that its rays need little memory."""

Paint = Callable[[Coords], Float[Tensor, "n 3"]]
"""From points on a surface to sRGB-coded colours."""


@dataclass(frozen=True)
class _Light:
    towards: tuple[float, float, float]
    """Where it comes from: right, up and back, seen from the camera."""
    colour: tuple[float, float, float]
    """Linear."""
    wrap: float
    """How far it reaches around the edge of shadow, as a cosine; makes it soft."""


_LIGHTS = (
    _Light((-0.55, 0.70, 0.60), (0.90, 0.87, 0.82), 0.20),
    _Light((0.80, 0.05, 0.45), (0.13, 0.15, 0.18), 0.40),
    _Light((0.00, 1.00, 0.00), (0.08, 0.09, 0.10), 1.00),
)
_AMBIENT = 0.055
_RIM = 0.35


def shade(
    camera: Camera,
    normals: Float[Tensor, "n 3"],
    directions: Float[Tensor, "n 3"],
    colours: Float[Tensor, "n 3"] | None = None,
) -> Float32[Tensor, "n 3"]:
    """Return the colours of points on a matte surface.

    A soft key light stands above the camera's left shoulder, a weak one fills in from
    the right, and edges that turn away are darkened a little. Where the normal points
    away from the camera the surface is seen from inside, and is blue and dark.

    Args:
        camera: Carries the lights.
        normals: Outward; of any length but 0.
        directions: Of the rays that hit, of unit length.
        colours: sRGB-coded colours of the surface in [0, 1]; None for clay.

    Returns:
        sRGB-coded values in [0, 1].
    """
    normals = torch.nn.functional.normalize(normals.float(), dim=1)
    facing = -(normals * directions).sum(1, keepdim=True)
    is_front = facing >= 0
    base = normals.new_tensor(CLAY) if colours is None else colours.float()
    base = torch.where(is_front, base, normals.new_tensor(BACK)).clamp(0, 1) ** 2.2
    seen = torch.where(is_front, normals, -normals)
    axes = torch.tensor(camera.pose[:3, :3], dtype=torch.float32)
    light = torch.full_like(normals, _AMBIENT)
    for source in _LIGHTS:
        towards = torch.nn.functional.normalize(torch.tensor(source.towards), dim=0)
        cosine = seen @ (axes @ towards).to(seen.device)
        reach = ((cosine + source.wrap) / (1 + source.wrap)).clamp(min=0)
        light = light + reach[:, None] * normals.new_tensor(source.colour)
    rim = 1 - _RIM * (1 - facing.abs().clamp(max=1)) ** 3
    return (base * light * rim).clamp(0, 1) ** (1 / 2.2)


def compose(
    is_hit: Bool[Tensor, "h w"],
    rgb: Float[Tensor, "m 3"],
    *,
    supersampling: int = 1,
) -> UInt8[np.ndarray, "rows columns 4"]:
    """Put colours into a picture that is transparent where nothing was hit.

    Args:
        is_hit: Whether each ray hits, row by row.
        rgb: Colours of the rays that hit, in their order, in [0, 1].
        supersampling: Rays along each side of a pixel.

    Returns:
        Red, green, blue and opacity, not premultiplied, as a PNG file has them.

    Raises:
        ShapeError: If colours are too many or too few, or rays fill no pixels.
    """
    (height, width), fine = is_hit.shape, supersampling
    wanted = int(is_hit.sum())
    if height % fine or width % fine or len(rgb) != wanted:
        raise ShapeError(
            f"compose: expected rows and columns of {fine} rays for each pixel and "
            f"{wanted} colours, got {height} x {width} rays and {len(rgb)} colours. "
            "Pass a colour for each ray that hits."
        )
    sheet = np.zeros((height, width, 4), dtype=np.float32)
    places = is_hit.cpu().numpy()
    sheet[places, :3] = rgb.float().cpu().numpy()
    sheet[places, 3] = 1
    # Colours of rays that miss are 0, so means are premultiplied by the opacity.
    mean = sheet.reshape(height // fine, fine, width // fine, fine, 4).mean((1, 3))
    mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
    return np.round(mean.clip(0, 1) * 255).astype(np.uint8)


def draw(
    camera: Camera,
    find_hits: Callable[[Tensor, Tensor], Hits],
    find_normals: Callable[[Coords], Coords],
    paints: Sequence[Paint | None] = (None,),
    *,
    supersampling: int = 2,
    device: torch.device = HOST,
) -> list[UInt8[np.ndarray, "h w 4"]]:
    """Draw a surface as a camera sees it, once for each way to paint it.

    Args:
        camera: The camera.
        find_hits: From origins and directions of rays, some at a time, to hits.
        find_normals: From points on the surface to outward normals of any length.
        paints: Colours of the surface for each picture; None for clay.
        supersampling: Rays along each side of a pixel.
        device: Where all three functions have their tensors.

    Returns:
        Red, green, blue and opacity of each picture, not premultiplied, as a PNG file
        has them; transparent where there is no surface.

    Raises:
        ConfigError: If the supersampling is not positive.

    Example:
        >>> from tangrid.rendering.camera_paths import orbit
        >>> from tangrid.rendering.sphere_tracing import trace
        >>> camera = orbit(30.0, 20.0, distance=2.2, width=4, height=3)
        >>> ball = lambda points: (points - 0.5).norm(dim=1) - 0.3
        >>> hits = lambda origins, directions: trace(ball, origins, directions)
        >>> (picture,) = draw(camera, hits, lambda points: points - 0.5)
        >>> picture.shape
        (3, 4, 4)
    """
    if supersampling < 1:
        raise ConfigError(
            f"draw: expected a supersampling of 1 or more, got {supersampling}. 2 "
            "gives smooth edges."
        )
    fine = camera.finer(supersampling)
    num_rows = supersampling * max(_RAYS_AT_ONCE // (fine.width * supersampling), 1)
    bands: list[list[np.ndarray]] = [[] for _ in paints]
    for top in range(0, fine.height, num_rows):
        rows = range(top, min(top + num_rows, fine.height))
        origins, directions = (part.to(device) for part in fine.rays(rows))
        hits = find_hits(origins, directions)
        is_hit = hits.is_hit.reshape(len(rows), fine.width)
        points, along = hits.points[hits.is_hit], directions[hits.is_hit]
        normals = find_normals(points).detach() if len(points) else points
        for band, paint in zip(bands, paints, strict=True):
            base = paint(points) if paint is not None and len(points) else None
            rgb = shade(camera, normals, along, base)
            band.append(compose(is_hit, rgb, supersampling=supersampling))
    return [np.concatenate(band) for band in bands]
