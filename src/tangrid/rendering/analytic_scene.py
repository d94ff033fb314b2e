"""A radiance field known in closed form: three shapes on a disc, lit and with shine.

Nothing is trained. Densities fall from a constant inside to nothing over a thin shell,
so that rays see a scene as photographs show it, and its density is known everywhere.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.fields.radiance import Density, RadianceField
from tangrid.notation import Coords, Features

_DENSEST = 400.0
_SHELL = 0.002
"""Width of the shell: a step of an integrator should not be longer."""
_BALL, _BALL_RADIUS = (0.36, 0.40, 0.52), 0.14
_RING, _RING_RADII = (0.66, 0.40, 0.545), (0.13, 0.055)
_BRICK, _BRICK_SIDES = (0.52, 0.68, 0.48), (0.12, 0.08, 0.09)
_DISC, _DISC_SIZES = (0.50, 0.50, 0.36), (0.40, 0.02)
_LIGHT = (0.35, -0.45, 0.82)
_SHININESS = 24.0


def _length(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=-1)


def distances(points: Coords) -> Float[Tensor, "n shapes"]:
    """Return the signed distance of points to the ball, ring, brick and disc.

    Args:
        points: In the unit box; z is up.
    """
    ball = _length(points - points.new_tensor(_BALL)) - _BALL_RADIUS
    place = points - points.new_tensor(_RING)
    # The ring stands upright, seen from the front.
    around = _length(place[:, [0, 2]]) - _RING_RADII[0]
    ring = _length(torch.stack((around, place[:, 1]), dim=1)) - _RING_RADII[1]
    beyond = (points - points.new_tensor(_BRICK)).abs() - points.new_tensor(
        _BRICK_SIDES
    )
    brick = _length(beyond.clamp(min=0)) + beyond.amax(1).clamp(max=0) - 0.01
    place = points - points.new_tensor(_DISC)
    edges = torch.stack((_length(place[:, :2]), place[:, 2].abs()), dim=1)
    beyond = edges - points.new_tensor(_DISC_SIZES)
    disc = _length(beyond.clamp(min=0)) + beyond.amax(1).clamp(max=0)
    return torch.stack((ball, ring, brick, disc), dim=1)


class AnalyticScene(RadianceField):
    """Give the density and the colour of the scene in closed form.

    Example:
        >>> scene = AnalyticScene()
        >>> scene(torch.tensor([[0.36, 0.40, 0.42], [0.9, 0.9, 0.9]])).round().tolist()
        [[400.0], [0.0]]
    """

    num_hidden = 3

    def density(self, coords: Coords) -> Density:
        """Return the density, and the places themselves.

        Args:
            coords: Points in the unit box.
        """
        return Density(self._density_at(distances(coords).amin(1)), coords)

    def density_bounds(
        self, coords: Coords, reach: float
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Return the least and the largest density around places.

        Args:
            coords: Points in the unit box.
            reach: How far around them.
        """
        nearest = distances(coords).amin(1)
        return self._density_at(nearest + reach), self._density_at(nearest - reach)

    @staticmethod
    def _density_at(distance: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return _DENSEST * torch.sigmoid(-distance / _SHELL)

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return the directions themselves.

        Args:
            directions: Unit vectors away from the camera.
        """
        return directions

    def colour(self, hidden: Features, views: Features) -> Float[Tensor, "n 3"]:
        """Return the colours of places, lit from one side and with a highlight.

        Args:
            hidden: The places.
            views: The directions that they are seen in.
        """
        normals = _normals(hidden)
        light = hidden.new_tensor(_LIGHT)
        light = light / light.norm()
        facing = normals @ light
        mirrored = views - 2 * (views * normals).sum(1, keepdim=True) * normals
        shine = (mirrored @ light).clamp(min=0) ** _SHININESS
        lit = 0.35 + 0.65 * (0.5 + 0.5 * facing)
        return (_paint(hidden) * lit[:, None] + 0.35 * shine[:, None]).clamp(0, 1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return nothing: there is nothing to train."""
        return {}


def _normals(points: Coords) -> Coords:
    """Return outward normals of the nearest shape."""
    with torch.enable_grad():
        places = points.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(distances(places).amin(1).sum(), places)
    return nn.functional.normalize(slopes, dim=1)


def _paint(points: Coords) -> Float[Tensor, "n 3"]:
    """Return the colour of the nearest shape at points: stripes, checks, waves."""
    x, y, z = points.unbind(1)
    stripes = (torch.sin(90 * z) > 0).to(points.dtype)[:, None]
    checks = ((torch.sin(55 * x) * torch.sin(55 * y)) > 0).to(points.dtype)[:, None]
    waves = (0.5 + 0.5 * torch.sin(60 * (x + y)))[:, None]
    inks = (
        ((0.85, 0.30, 0.22), (0.98, 0.86, 0.62), stripes),
        ((0.16, 0.42, 0.65), (0.35, 0.70, 0.80), waves),
        ((0.30, 0.52, 0.28), (0.62, 0.74, 0.36), waves),
        ((0.88, 0.87, 0.84), (0.45, 0.43, 0.42), checks),
    )
    paints = [
        points.new_tensor(first) * (1 - share) + points.new_tensor(second) * share
        for first, second, share in inks
    ]
    nearest = distances(points).argmin(1)
    return torch.stack(paints, dim=1)[torch.arange(len(points)), nearest]
