"""Named rules of evaluation: what stands behind a view, how its error is counted."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from tangrid.metrics.lpips import Lpips
from tangrid.registry import unknown_name
from tangrid.signals.scene import Background, Scene
from tangrid.signals.view import View

_NUMBERED = re.compile(r"(.*?)(\d+)(\.[^./]*)?")
"""Name of a view: what all of its split begin with, its number, an ending."""


@dataclass(frozen=True, kw_only=True)
class ViewProtocol:
    """How views are judged.

    Example:
        >>> PROTOCOLS["blender-white"].colour
        (1.0, 1.0, 1.0)
    """

    name: str
    """Public name."""
    background: Background
    """What stands behind transparent pixels and behind the field."""
    rounds: bool = False
    """Whether pictures are rounded to 8 bits before the main PSNR is taken."""
    summary: str = ""
    """Who judges so."""

    @property
    def colour(self) -> tuple[float, float, float]:
        """The background's colour."""
        white = float(self.background == "white")
        return white, white, white

    def target(self, view: View) -> Float32[np.ndarray, "h w 3"]:
        """Return what a picture of a view should be, in sRGB values from 0 to 1.

        Args:
            view: A photograph, blended over the background in sRGB values.
        """
        pixels = view.pixels.astype(np.float32) / 255
        if not view.has_alpha:
            return pixels
        opacity = pixels[..., 3:]
        behind = np.array(self.colour, dtype=np.float32)
        return pixels[..., :3] * opacity + (1 - opacity) * behind


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        ViewProtocol(
            name="blender-white",
            background="white",
            summary="NeRF, mip-NeRF, TensoRF, nerfacc: white behind both, unquantised.",
        ),
        ViewProtocol(
            name="blender-white-8bit",
            background="white",
            rounds=True,
            summary="MultiNeRF and NerfBaselines: white, pictures rounded to 8 bits.",
        ),
        ViewProtocol(
            name="blender-black-ngp",
            background="black",
            summary="Instant-NGP's published table: black behind both.",
        ),
        ViewProtocol(
            name="llff-ndc",
            background="black",
            summary="NeRF on LLFF: normalised device coordinates, every 8th held out.",
        ),
        ViewProtocol(
            name="photos",
            background="black",
            summary="Photographs without transparency, some of them held out.",
        ),
    )
}
"""Every protocol by its name."""


def find_protocol(name: str) -> ViewProtocol:
    """Return the protocol of a name.

    Args:
        name: Public name.

    Raises:
        ConfigError: If nothing has that name; the nearest one is named.
    """
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def usual_protocol(scene: Scene) -> str:
    """Return the name of the protocol by which a scene is judged where none is named.

    Args:
        scene: The scene.
    """
    if any(view.has_alpha for view in scene.views):
        return "blender-white"
    return "photos" if scene.ndc is None else "llff-ndc"


def describe_protocol(
    protocol: ViewProtocol,
    scene: Scene,
    views: Sequence[View],
    lpips: Lpips | None = None,
) -> dict[str, Any]:
    """Return all that a number of decibels must be read with.

    Args:
        protocol: The rules.
        scene: What is judged.
        views: The views that it is judged by.
        lpips: The learned metric that they are judged by too, if any.

    Returns:
        Plain values; ``title`` is what a table should call it.
    """
    names = [view.name for view in views]
    sizes = sorted({(view.camera.width, view.camera.height) for view in views})
    size = " or ".join(f"{width} x {height}" for width, height in sizes[:2])
    part = ""
    if scene.source_format == "blender":
        total = _numbered_total(scene, views)
        of_all = "" if total is None else f" of {total}"
        part = f", {len(views)}{of_all} view{'s' * (len(views) > 1)}"
    return {
        "name": protocol.name,
        "title": f"{protocol.name}, {size}{part}",
        "background": protocol.background,
        "blend_space": "srgb",
        "rounds_to_8_bits": protocol.rounds,
        "ssim": "gaussian 11, sigma 1.5, valid region, mean over channels",
        **({} if lpips is None else {"lpips": lpips.describe()}),
        "split_rule": scene.split_rule,
        "num_views": len(views),
        "views": names,
        "views_hash": hashlib.sha256("\n".join(names).encode()).hexdigest()[:16],
    }


def _numbered_total(scene: Scene, views: Sequence[View]) -> int | None:
    """Return of how many views these are every second, third, ..., by their numbers.

    ``r_0``, ``r_4`` and ``r_8`` are three of twelve, unless views of other splits have
    the numbers between.
    """
    found = [_NUMBERED.fullmatch(view.name) for view in views]
    stems = {match and match[1] for match in found}
    numbers = sorted(int(match[2]) for match in found if match)
    stride = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    every = [stride * number for number in range(len(views))]
    if len(stems) > 1 or stride < 2 or numbers != every:
        return None
    names = {view.name for view in views}
    others = (_NUMBERED.fullmatch(v.name) for v in scene.views if v.name not in names)
    is_shared = any(match and match[1] in stems for match in others)
    return None if is_shared else stride * len(views)
