"""Lenses that bend straight lines, in OpenCV's two models, and how to undo them.

A point of the *plane* is a direction (x, y, 1) seen from the pinhole: x right, y down,
in units of the focal length. A lens moves it to where the pixel is.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

PRECISE_STEPS = 12
"""Steps of Newton's method that undo any lens to the last digits of float64."""
QUICK_STEPS = 5
"""Steps that undo the lens of a photograph to the last digits of float32."""

# Where a lens folds the picture over there is no way back; these keep it finite.
_LEAST_SLOPE = 1e-3
_LONGEST_STEP = 0.5

NUM_COEFFICIENTS = 6
"""Length of what `Lens.coefficients` returns."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """Distortion by a lens, with OpenCV's names.

    Without `is_fisheye` a point of the plane at squared radius q moves by the factor
    1 + k1 q + k2 q^2 + k3 q^3 + k4 q^4 and by the tangential terms of p1 and p2; the
    fourth power is nerfstudio's reading of k4. With it the angle t from the axis
    becomes the radius t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8).

    Example:
        >>> Lens().is_plain, Lens(k1=0.1).is_plain, Lens(is_fisheye=True).is_plain
        (True, False, False)
    """

    k1: float = 0.0
    """First radial coefficient."""
    k2: float = 0.0
    """Second radial coefficient."""
    k3: float = 0.0
    """Third radial coefficient."""
    k4: float = 0.0
    """Fourth radial coefficient."""
    p1: float = 0.0
    """First tangential coefficient; not for a fisheye."""
    p2: float = 0.0
    """Second tangential coefficient; not for a fisheye."""
    is_fisheye: bool = False
    """Whether it is the equidistant model."""

    @property
    def coefficients(self) -> tuple[float, ...]:
        """Return k1 to k4, p1 and p2."""
        return (self.k1, self.k2, self.k3, self.k4, self.p1, self.p2)

    @property
    def is_plain(self) -> bool:
        """Whether straight lines stay straight."""
        return not self.is_fisheye and not any(self.coefficients)

    def as_words(self) -> str:
        """Return the model and the coefficients that are not zero, for people.

        Example:
            >>> Lens(k1=0.25).as_words()
            'perspective, k1 0.25'
        """
        if self.is_plain:
            return "none"
        model = "fisheye" if self.is_fisheye else "perspective"
        names = [field.name for field in fields(self)][:NUM_COEFFICIENTS]
        pairs = zip(names, self.coefficients, strict=True)
        bends = [f"{name} {value:g}" for name, value in pairs if value]
        return ", ".join((model, *bends))

    def directions(self, plane: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
        """Return the direction from which light falls on points of the picture.

        Args:
            plane: Points of the picture, from the principal point, right and down, in
                units of the focal length.

        Returns:
            Right, down, forward; of any length.

        Example:
            >>> Lens().directions(torch.tensor([[0.5, 0.25]])).tolist()
            [[0.5, 0.25, 1.0]]
        """
        if self.is_plain:
            return torch.cat((plane, torch.ones_like(plane[:, :1])), dim=1)
        coefficients = plane.new_tensor(self.coefficients)
        if self.is_fisheye:
            return fisheye_directions(plane, coefficients)
        return perspective_directions(plane, coefficients)


def bent(
    plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*n 6"]
) -> Float[Tensor, "n 2"]:
    """Return where a lens that is no fisheye moves points of the plane.

    Args:
        plane: Points, right and down, in units of the focal length.
        coefficients: k1 to k4, p1 and p2; of one lens, or for each point.
    """
    k1, k2, k3, k4, p1, p2 = coefficients.unbind(-1)
    x, y = plane.unbind(-1)
    q = x * x + y * y
    radial = 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))
    moved_x = x * radial + 2 * p1 * x * y + p2 * (q + 2 * x * x)
    moved_y = y * radial + p1 * (q + 2 * y * y) + 2 * p2 * x * y
    return torch.stack((moved_x, moved_y), dim=-1)


def perspective_directions(
    seen: Float[Tensor, "n 2"],
    coefficients: Float[Tensor, "*n 6"],
    *,
    steps: int = PRECISE_STEPS,
) -> Float[Tensor, "n 3"]:
    """Undo `bent` by Newton's method.

    Args:
        seen: Points of the picture, right and down, in units of the focal length.
        coefficients: k1 to k4, p1 and p2; of one lens, or for each point.
        steps: Steps of the method.

    Returns:
        Right, down, forward; forward is 1.
    """
    k1, k2, k3, k4, p1, p2 = coefficients.unbind(-1)
    # Each step is many small operations, faster on columns than on rows.
    seen_x, seen_y = seen.t().contiguous()
    x, y = seen_x, seen_y
    for _ in range(steps):
        q, xy = x * x + y * y, x * y
        radial = 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))
        slope = 2 * (k1 + q * (2 * k2 + q * (3 * k3 + q * (4 * k4))))
        across = p1 * y + p2 * x
        error_x = x * radial + 2 * across * x + p2 * q - seen_x
        error_y = y * radial + 2 * across * y + p1 * q - seen_y
        # The Jacobian, which is symmetric.
        both = radial + 2 * across
        j_xx = both + x * (x * slope + 4 * p2)
        j_yy = both + y * (y * slope + 4 * p1)
        j_xy = xy * slope + 2 * (p1 * x + p2 * y)
        scale = 1 / (j_xx * j_yy - j_xy * j_xy).clamp(min=_LEAST_SLOPE)
        step_x = scale * (j_yy * error_x - j_xy * error_y)
        step_y = scale * (j_xx * error_y - j_xy * error_x)
        x = x - step_x.clamp(-_LONGEST_STEP, _LONGEST_STEP)
        y = y - step_y.clamp(-_LONGEST_STEP, _LONGEST_STEP)
    return torch.stack((x, y, torch.ones_like(x)), dim=1)


def fisheye_directions(
    seen: Float[Tensor, "n 2"],
    coefficients: Float[Tensor, "*n 6"],
    *,
    steps: int = PRECISE_STEPS,
) -> Float[Tensor, "n 3"]:
    """Undo the equidistant model by Newton's method.

    Args:
        seen: Points of the picture, right and down, in units of the focal length.
        coefficients: k1 to k4; p1 and p2 play no part.
        steps: Steps of the method.

    Returns:
        Right, down, forward, of unit length; forward is negative beyond 90 degrees.
    """
    k1, k2, k3, k4, _, _ = coefficients.unbind(-1)
    radius = torch.linalg.vector_norm(seen, dim=1)
    angle = radius
    for _ in range(steps):
        q = angle * angle
        value = angle * (1 + q * (k1 + q * (k2 + q * (k3 + q * k4))))
        slope = 1 + q * (3 * k1 + q * (5 * k2 + q * (7 * k3 + q * (9 * k4))))
        step = (value - radius) / slope.clamp(min=_LEAST_SLOPE)
        angle = angle - step.clamp(-_LONGEST_STEP, _LONGEST_STEP)
    # sin(t) / radius, which is 1 on the axis.
    is_off = radius > torch.finfo(seen.dtype).tiny
    share = torch.where(is_off, angle.sin() / radius.where(is_off, 1.0), 1.0)
    return torch.cat((seen * share[:, None], angle.cos()[:, None]), dim=1)
