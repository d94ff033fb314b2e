import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.rendering.camera_paths import orbit
from tangrid.rendering.sphere_tracing import trace
from tests.rendering.shapes import box, sphere, torus

TOLERANCE = 2e-4
# Rays that pass closer than this to a silhouette may hit or miss.
GRAZING = 1e-3

places = st.floats(0.1, 0.9)


def rays(azimuth: float = 30.0, elevation: float = 20.0, side: int = 48):
    return orbit(azimuth, elevation, distance=2.4, width=side, height=side).rays()


def sphere_depth(
    origins: Tensor, directions: Tensor, centre: tuple[float, ...], radius: float
) -> tuple[Tensor, Tensor]:
    """Return how near each ray passes the centre, and where it comes in."""
    to_centre = torch.tensor(centre).double() - origins.double()
    along = (to_centre * directions).sum(1)
    apart = (to_centre.square().sum(1) - along.square()).clamp(min=0)
    return apart.sqrt(), along - (radius**2 - apart).clamp(min=0).sqrt()


@settings(max_examples=25)
@given(
    centre=st.tuples(places, places, places),
    share=st.floats(0.05, 1.0),
    azimuth=st.floats(-180, 180),
    elevation=st.floats(-90, 90),
    unsigned=st.booleans(),
)
def test_spheres_are_hit_where_they_are(
    centre: tuple[float, float, float],
    share: float,
    azimuth: float,
    elevation: float,
    unsigned: bool,
):
    radius = share * min(min(c, 1 - c) for c in centre)
    origins, directions = rays(azimuth, elevation, side=32)

    def distance(points: Tensor) -> Tensor:
        found = sphere(points, centre=centre, radius=radius)
        return found.abs() if unsigned else found

    hits = trace(distance, origins, directions)
    apart, depth = sphere_depth(origins, directions, centre, radius)
    assert bool(hits.is_hit[apart < radius].all())
    assert not bool(hits.is_hit[apart > radius + GRAZING].any())
    error = sphere(hits.points[hits.is_hit], centre=centre, radius=radius)
    assert float(error.abs().amax() if len(error) else 0) < 2 * TOLERANCE
    steep = apart < 0.8 * radius
    reached = (hits.points.double() - origins).norm(dim=1)
    assert bool(((reached - depth)[steep].abs() < 4 * TOLERANCE).all())


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.2])
@pytest.mark.parametrize("shape", [torus, box])
def test_distances_need_not_be_exact(shape, factor: float):
    origins, directions = rays()
    exact = trace(shape, origins, directions, tolerance=1e-5, relaxation=0.5)
    hits = trace(lambda points: factor * shape(points), origins, directions)
    assert int((exact.is_hit != hits.is_hit).sum()) <= 2
    both = exact.is_hit & hits.is_hit
    assert int(both.sum()) > 200
    assert float(shape(hits.points[both]).abs().max()) < 2 * TOLERANCE / factor
    apart = (exact.points - hits.points)[both].norm(dim=1)
    assert float(apart.quantile(0.98)) < 10 * TOLERANCE / factor


def test_a_jump_over_the_front_is_found_by_bisection():
    # Three times too far: from the entry of the box the first step ends inside.
    origins = torch.tensor([[0.5, 0.5, 2.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0]])
    distance = functools.partial(sphere, radius=0.3)
    hits = trace(lambda points: 3 * distance(points), origins, directions)
    assert bool(hits.is_hit)
    assert hits.points[0].tolist() == pytest.approx([0.5, 0.5, 0.8], abs=TOLERANCE)


def test_short_steps_keep_a_film_from_being_missed():
    # Unsigned and a fifth too far: a full step passes the film and never comes back.
    origins = torch.tensor([[0.5, 0.5, 2.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0]])

    def film(points: Tensor) -> Tensor:
        return 1.2 * (points[:, 2] - 0.3).abs()

    assert bool(trace(film, origins, directions).is_hit)
    assert not bool(trace(film, origins, directions, relaxation=1.0).is_hit)


def test_a_ray_that_enters_inside_hits_where_it_enters():
    origins, directions = (
        torch.tensor([[0.5, 2.0, 0.5]]),
        torch.tensor([[0.0, -1.0, 0.0]]),
    )
    hits = trace(lambda points: points[:, 1] - 2, origins, directions)
    assert hits.points.tolist() == [[0.5, 1.0, 0.5]]
    inside = torch.tensor([[0.5, 0.4, 0.5]])
    hits = trace(sphere, inside, directions)
    assert torch.equal(hits.points, inside)


def test_rays_beside_the_box_and_away_from_it_ask_nothing():
    origins = torch.tensor([[2.0, 0.5, 2.0], [0.5, 0.5, 2.0], [-1.0, 0.5, 2.0]])
    directions = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])

    def distance(points: Tensor) -> Tensor:
        raise AssertionError(points)

    hits = trace(distance, origins, directions)
    assert not bool(hits.is_hit.any())
    assert not bool(hits.points.any())


def test_only_points_of_the_box_are_asked_for():
    def distance(points: Tensor) -> Tensor:
        assert bool(((points >= 0) & (points <= 1)).all())
        return sphere(points, radius=0.2)

    assert bool(trace(distance, *rays()).is_hit.any())


def test_a_ray_that_leaves_is_not_bent_along_the_side():
    origins = torch.tensor([[-1.0, 0.2, 0.5]])
    directions = torch.tensor([[2.0, 0.5, 0.0]]) / 4.25**0.5

    def distance(points: Tensor) -> Tensor:
        torch.testing.assert_close(points[:, 1] - 0.2, (points[:, 0] + 1) / 4)
        return torch.full_like(points[:, 0], 0.4)

    assert not bool(trace(distance, origins, directions).is_hit)


def test_rays_that_are_done_are_not_asked_again():
    asked = []

    def distance(points: Tensor) -> Tensor:
        asked.append(len(points))
        return torus(points)

    trace(distance, *rays())
    assert asked[0] > 1000
    assert asked[60] < asked[0] / 20
    assert sum(asked) < 30 * asked[0]


@pytest.mark.parametrize("max_steps", [20, 100, 400])
def test_a_ray_along_a_floor_ends_and_finds_the_wall(max_steps: int):
    origins = torch.tensor([[-1.0, 0.5003, 0.5]])
    directions = torch.tensor([[1.0, 0.0, 0.0]])
    asked = []

    def floor(points: Tensor) -> Tensor:
        asked.append(float(points[0, 0]))
        return points[:, 1] - 0.5

    assert not bool(trace(floor, origins, directions, max_steps=max_steps).is_hit)
    assert len(asked) <= max_steps
    assert asked[-1] == 1

    def floor_and_wall(points: Tensor) -> Tensor:
        return torch.minimum(points[:, 1] - 0.5, 0.8 - points[:, 0])

    hits = trace(floor_and_wall, origins, directions, max_steps=max_steps)
    assert bool(hits.is_hit)
    assert float(hits.points[0, 0]) == pytest.approx(0.8, abs=1.5 * TOLERANCE)


def test_a_wall_on_the_far_side_is_hit():
    origins, directions = (
        torch.tensor([[0.5, 0.5, 2.0]]),
        torch.tensor([[0.0, 0.0, -1.0]]),
    )
    hits = trace(lambda points: points[:, 2] - 1e-3, origins, directions)
    assert float(hits.points[0, 2]) == pytest.approx(1e-3, abs=TOLERANCE)


def test_wrong_settings_and_numbers_are_refused():
    with pytest.raises(ConfigError, match="tolerance"):
        trace(sphere, *rays(), tolerance=0.0)
    with pytest.raises(ConfigError, match="relaxation"):
        trace(sphere, *rays(), relaxation=1.5)
    with pytest.raises(NumericalError, match="finite"):
        trace(lambda points: sphere(points) * float("nan"), *rays())
