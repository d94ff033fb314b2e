"""Media that one can calculate with: even inside a ball or between two planes."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.fields.radiance import Density, RadianceField
from tangrid.notation import Coords, Features

RADIUS = 0.3
SLAB = (0.25, 0.65)
COLOUR = (0.8, 0.4, 0.2)


def in_ball(coords: Tensor) -> Tensor:
    return (coords - 0.5).norm(dim=1) < RADIUS


def in_slab(coords: Tensor) -> Tensor:
    return (coords[:, 0] > SLAB[0]) & (coords[:, 0] < SLAB[1])


class EvenMedium(RadianceField):
    """One density and one colour inside a shape, and nothing outside of it."""

    num_hidden = 3

    def __init__(
        self,
        inside: Callable[[Tensor], Tensor],
        density: float,
        paint: tuple[float, float, float] = COLOUR,
    ) -> None:
        super().__init__()
        self.inside = inside
        self.strength = nn.Parameter(torch.tensor(density))
        self.paint = nn.Parameter(torch.tensor(paint))
        self.asked_colours = 0

    def density(self, coords: Coords) -> Density:
        density = self.strength * self.inside(coords)
        return Density(density, self.paint.expand(len(coords), 3))

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        return directions

    def colour(self, hidden: Features, views: Features) -> Float[Tensor, "n 3"]:
        self.asked_colours += len(hidden)
        return hidden + 0 * views

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"decoder": [self.strength, self.paint]}


def ball_chords(origins: Tensor, directions: Tensor) -> Tensor:
    """How long rays of the box's frame are in the ball."""
    from_centre = origins.double() - 0.5
    along = (from_centre * directions).sum(1)
    apart = from_centre.square().sum(1) - along.square()
    return 2 * (RADIUS**2 - apart).clamp(min=0).sqrt()
