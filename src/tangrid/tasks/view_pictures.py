"""The pictures of a fitted scene: photographs, what the field gives, errors, depths."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from matplotlib import colormaps
from PIL import Image

from tangrid.errors import ConfigError
from tangrid.tasks.view_evaluation import JudgedView

ERROR_SCALES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_COVERED = 0.99
_ERROR_COLOURS = "inferno"
_DEPTH_COLOURS = "viridis"
_SEEN = 0.5
"""Opacity from which a pixel has a depth."""


@dataclass(frozen=True, kw_only=True)
class ViewPictures:
    """Which views are drawn."""

    views: int = 6
    """Number of test views that are drawn, evenly over all of them."""

    def __post_init__(self) -> None:
        """Refuse a number that is none.

        Raises:
            ConfigError: If it is negative.
        """
        if self.views < 0:
            raise ConfigError(f"pictures.views: expected 0 or more, got {self.views}.")

    def numbers(self, total: int) -> list[int]:
        """Return which of all views are drawn.

        Args:
            total: Number of views.

        Example:
            >>> ViewPictures(views=3).numbers(10)
            [0, 4, 9]
        """
        places = np.linspace(0, total - 1, min(self.views, total))
        return sorted({int(place) for place in places})


@dataclass(frozen=True)
class ViewFraming:
    """What pictures must share to be compared.

    Attributes:
        error_scale: Error at the top of the colour map.
    """

    error_scale: float


def frame_views(judged: Sequence[JudgedView]) -> ViewFraming:
    """Return the error scale that covers nearly all errors.

    Args:
        judged: Views that will be drawn.
    """
    errors = [np.abs(one.picture - one.target).mean(2).ravel() for one in judged]
    covered = float(np.quantile(np.concatenate(errors), _COVERED)) if errors else 0.0
    scale = next((s for s in ERROR_SCALES if s >= covered), ERROR_SCALES[-1])
    return ViewFraming(scale)


def draw_views(
    judged: Sequence[JudgedView], framing: ViewFraming
) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of all pictures.

    Args:
        judged: Views to draw.
        framing: The error scale.

    Yields:
        PNG files by name.
    """
    for number, one in enumerate(judged):
        error = np.abs(one.picture - one.target).mean(2) / framing.error_scale
        pictures = {
            "target": as_bytes(one.target),
            "fit": as_bytes(one.picture),
            "error": _coloured(error, _ERROR_COLOURS),
            "depth": depth_picture(
                one.rendered.depth.numpy(), one.rendered.opacity.numpy()
            ),
        }
        for kind, pixels in pictures.items():
            yield f"view_{number}_{kind}.png", as_png(pixels)


def describe_views(
    judged: Sequence[JudgedView], framing: ViewFraming
) -> dict[str, Any]:
    """Return what ``pictures.json`` says about the pictures.

    Args:
        judged: Views that are drawn.
        framing: The error scale.
    """
    return {
        "kind": "views",
        "error_scale": framing.error_scale,
        "error_colormap": _ERROR_COLOURS,
        "depth_colormap": _DEPTH_COLOURS,
        "views": [
            {
                "name": one.view.name,
                **one.scores,
                **{
                    kind: f"view_{number}_{kind}.png"
                    for kind in ("target", "fit", "error", "depth")
                },
            }
            for number, one in enumerate(judged)
        ],
    }


def depth_picture(
    depth: Float32[np.ndarray, "h w"], opacity: Float32[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return distances as colours, the nearest bright; white where nothing is.

    Args:
        depth: Mean distance of what each pixel sees.
        opacity: How much it sees.
    """
    is_seen = opacity > _SEEN
    if not is_seen.any():
        return np.full((*depth.shape, 3), 255, dtype=np.uint8)
    near, far = np.quantile(depth[is_seen], (0.01, 0.99))
    share = (far - depth) / max(far - near, 1e-12)
    pixels = _coloured(share, _DEPTH_COLOURS)
    pixels[~is_seen] = 255
    return pixels


def as_bytes(values: Float32[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w c"]:
    """Return values from 0 to 1 rounded to 8 bits.

    Args:
        values: sRGB values.
    """
    return np.round(values.clip(0, 1) * 255).astype(np.uint8)


def as_png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return pixels as a PNG file.

    Args:
        pixels: Red, green, blue and perhaps opacity.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _coloured(share: np.ndarray, colours: str) -> UInt8[np.ndarray, "h w 3"]:
    return (colormaps[colours](share.clip(0, 1))[..., :3] * 255).astype(np.uint8)
