"""Draw a fitted field as an image of any size, strip by strip."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from tangrid.errors import ConfigError
from tangrid.fields import Field
from tangrid.fields.workers import Workers, predict

_POINTS_PER_STRIP = 2**18
_LONGEST_SIDE = 2**20


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of the unit square and the pixels that show it."""

    x0: float = 0.0
    """Left edge."""
    y0: float = 0.0
    """Upper edge."""
    x1: float = 1.0
    """Right edge."""
    y1: float = 1.0
    """Lower edge."""
    width: int
    """Pixels along x."""
    height: int
    """Pixels along y."""

    def __post_init__(self) -> None:
        """Refuse a rectangle without area or beyond the square.

        Raises:
            ConfigError: If edges or sizes are out of range.
        """
        x_fits = 0 <= self.x0 < self.x1 <= 1
        if not (x_fits and 0 <= self.y0 < self.y1 <= 1):
            raise ConfigError(
                "region: expected x0,y0,x1,y1 with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 "
                f"<= 1, got {self.x0:g},{self.y0:g},{self.x1:g},{self.y1:g}. The whole "
                "picture is 0,0,1,1; y goes down."
            )
        for name in ("width", "height"):
            side = getattr(self, name)
            if not 1 <= side <= _LONGEST_SIDE:
                raise ConfigError(
                    f"{name}: expected 1 to {_LONGEST_SIDE} pixels, got {side}. Choose "
                    "another size or a larger region."
                )


def window_at(
    resolution: tuple[int, ...],
    *,
    region: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    width: int | None = None,
    height: int | None = None,
) -> Window:
    """Return the window of a region, by default with the fitted image's pixels.

    Args:
        resolution: Width and height of the fitted image.
        region: Left, upper, right and lower edge in the unit square.
        width: Pixels along x; None keeps the shape of a pixel.
        height: Pixels along y; None keeps the shape of a pixel.

    Example:
        >>> window = window_at((400, 200), region=(0.0, 0.0, 0.5, 1.0), width=100)
        >>> window.width, window.height
        (100, 100)
    """
    x0, y0, x1, y1 = region
    # Refuses a wrong region before its sides are measured.
    Window(x0=x0, y0=y0, x1=x1, y1=y1, width=1, height=1)
    # Sides in pixels of the fitted image.
    across, down = (x1 - x0) * resolution[0], (y1 - y0) * resolution[1]
    scale = 1.0
    if width is not None:
        scale = width / across
    elif height is not None:
        scale = height / down
    return Window(
        x0=x0,
        y0=y0,
        x1=x1,
        y1=y1,
        width=max(round(across * scale), 1) if width is None else width,
        height=max(round(down * scale), 1) if height is None else height,
    )


def draw_strips(
    field: Field, window: Window, *, threads: int | None = None
) -> Iterator[Float[np.ndarray, "h w c"]]:
    """Yield the values of a field at pixel centres, some rows at a time.

    Args:
        field: The field.
        window: What to draw.
        threads: Threads to use; None for all that the process may.

    Yields:
        float32 values of consecutive rows, from the top.
    """
    rows = max(_POINTS_PER_STRIP // window.width, 1)
    # float32 would place pixels of a large picture by some of their width.
    x = _centres(window.x0, window.x1, window.width)
    y = _centres(window.y0, window.y1, window.height)
    with Workers(threads, field.device) as workers:
        for start in range(0, window.height, rows):
            part = y[start : start + rows]
            grid = torch.meshgrid(part, x, indexing="ij")
            coords = torch.stack((grid[1], grid[0]), dim=-1).reshape(-1, 2).float()
            values = predict(workers, field, coords.clamp(0, 1))
            yield values.float().numpy().reshape(len(part), window.width, -1)


def _centres(low: float, high: float, count: int) -> torch.Tensor:
    places = torch.arange(count, dtype=torch.float64)
    return low + (places + 0.5) / count * (high - low)
