"""Find where rays meet a surface in the unit box, by steps as long as the distance.

A fitted distance may say more than is true. So a step is shorter than the distance, and
where a ray finds itself inside, the place where it came in is found by bisection.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.notation import Coords

Distance = Callable[[Coords], Float[Tensor, " n"]]
"""Distance to the surface at points of the unit box; below 0 inside, or unsigned."""

# Keeps the division by a direction along a side finite.
_LEAST_SLOPE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Hits:
    """Where each ray of a batch meets the surface."""

    is_hit: Bool[Tensor, " n"]
    """Whether it does."""
    points: Float32[Tensor, "n 3"]
    """The first place where it does; 0 where it does not."""


@torch.no_grad()
def trace(
    distance: Distance,
    origins: Float[Tensor, "n 3"],
    directions: Float[Tensor, "n 3"],
    *,
    tolerance: float = 2e-4,
    max_steps: int = 400,
    relaxation: float = 0.8,
) -> Hits:
    """Follow rays through the unit box until they meet a surface.

    A ray that is inside where it enters the box hits there. Every ray ends: in the
    second half of its steps a ray takes at least those that bring it out of the box, so
    one that crawls along a surface may then pass through a film thinner than its steps.

    Args:
        distance: Distance to the surface. It is asked only within the box and only for
            rays that are under way, where the rays are.
        origins: Where the rays start, inside the box or not.
        directions: Unit vectors.
        tolerance: Distance at which a ray hits.
        max_steps: Steps after which every ray has ended.
        relaxation: Length of a step over the distance found.

    Returns:
        float32 points on the rays, at most about the tolerance before the surface.

    Raises:
        ConfigError: If tolerance, steps or relaxation are out of range.
        NumericalError: If a distance is not a finite number.
    """
    _check(tolerance, max_steps, relaxation)
    origins, directions = origins.float(), directions.float()
    near, far = _span(origins, directions)
    rays = _Rays(distance, origins, directions)
    is_hit = torch.zeros(len(origins), dtype=torch.bool, device=origins.device)
    outside, inside = near.clone(), near.clone()
    active = torch.nonzero(far > near).squeeze(1)
    place = near[active]
    for steps_left in range(max_steps, 0, -1):
        if not len(active):
            break
        found = rays.measure(active, place)
        inside[active] = place
        # Not crossing, but close: the ray stays where it is.
        close = (found >= 0) & (found <= tolerance)
        outside[active[close]] = place[close]
        is_hit[active] = found <= tolerance
        goes_on = (found > tolerance) & (place < far[active])
        active, place, found = active[goes_on], place[goes_on], found[goes_on]
        outside[active] = place
        rest = far[active] - place
        least = torch.full_like(rest, tolerance)
        if steps_left <= max_steps // 2:
            least = least.maximum(rest / max(steps_left - 1, 1))
        place = (place + (relaxation * found).maximum(least)).minimum(far[active])
    crossed = torch.nonzero(is_hit & (inside > outside)).squeeze(1)
    inside[crossed] = rays.bisect(crossed, outside[crossed], inside[crossed], tolerance)
    points = rays.points(torch.arange(len(origins), device=origins.device), inside)
    return Hits(is_hit=is_hit, points=torch.where(is_hit[:, None], points, 0.0))


def _check(tolerance: float, max_steps: int, relaxation: float) -> None:
    if not (tolerance > 0 and max_steps >= 2 and 0 < relaxation <= 1):
        raise ConfigError(
            "trace: expected a positive tolerance, at least 2 steps and a relaxation "
            f"in (0, 1], got {tolerance:g}, {max_steps} and {relaxation:g}. The "
            "defaults suit fitted distances."
        )


def _span(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rays enter and leave the box; those that miss it leave first."""
    flat = directions.abs() < _LEAST_SLOPE
    slopes = directions.masked_fill(flat, _LEAST_SLOPE)
    first, second = (0 - origins) / slopes, (1 - origins) / slopes
    near = torch.minimum(first, second).amax(1).clamp(min=0)
    return near, torch.maximum(first, second).amin(1)


@dataclass(frozen=True)
class _Rays:
    distance: Distance
    origins: Tensor
    directions: Tensor

    def points(self, which: Tensor, place: Tensor) -> Tensor:
        """Return points on some rays; rounding must not carry them out of the box."""
        along = self.origins[which] + place[:, None] * self.directions[which]
        return along.clamp(0, 1)

    def measure(self, which: Tensor, place: Tensor) -> Tensor:
        """Return distances to the surface at points on some rays."""
        found = self.distance(self.points(which, place)).float()
        if not bool(found.isfinite().all()):
            wrong = int((~found.isfinite()).sum())
            raise NumericalError(
                f"trace: expected finite distances, got {wrong} of {len(found)} that "
                "are not. The field's training has most likely diverged."
            )
        return found

    def bisect(
        self, which: Tensor, outside: Tensor, inside: Tensor, tolerance: float
    ) -> Tensor:
        """Return the last places known to be outside, close to those inside."""
        if not len(which):
            return inside
        widest = float((inside - outside).max())
        for _ in range(max(math.ceil(math.log2(widest / tolerance)), 0) + 1):
            middle = (outside + inside) / 2
            is_out = self.measure(which, middle) > 0
            outside = torch.where(is_out, middle, outside)
            inside = torch.where(is_out, inside, middle)
        return outside
