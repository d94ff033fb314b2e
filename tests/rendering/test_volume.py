"""What rays see of media whose transmittance is known in closed form."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.fields.radiance import EncodedRadianceConfig
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.rendering.volume import MarchSettings, Seen, look
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.ops.comparison import relative_rms
from tests.rendering.media import (
    COLOUR,
    SLAB,
    EvenMedium,
    ball_chords,
    in_ball,
    in_slab,
)

SPACE = SceneSpace(low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0))
FINE = MarchSettings(step=1 / 512)
GRID = OccupancySettings(resolution=32)


def everywhere(march: MarchSettings = FINE, cascades: int = 1) -> Occupancy:
    return Occupancy(GRID, march.longest_steps(cascades))


def parallel_rays(count: int = 200) -> tuple[Tensor, Tensor]:
    """Rays along +x, that meet the box at its side x = 0."""
    source = generator(0, "parallel")
    origins = torch.rand(count, 3, generator=source)
    origins[:, 0] = -1
    return origins, torch.tensor([[1.0, 0.0, 0.0]]).repeat(count, 1)


def rays_to_the_middle(count: int = 300) -> tuple[Tensor, Tensor]:
    source = generator(0, "middle")
    directions = torch.randn(count, 3, generator=source)
    directions = torch.nn.functional.normalize(directions, dim=1)
    targets = 0.5 + 0.15 * torch.randn(count, 3, generator=source)
    return targets - 2 * directions, directions


def seen_of(
    field,
    world: tuple[Tensor, Tensor],
    march: MarchSettings = FINE,
    occupancy: Occupancy | None = None,
    space: SceneSpace = SPACE,
) -> Seen:
    rays = space.rays(*world)
    occupancy = occupancy or everywhere(march, space.cascades)
    middle = torch.full((len(world[0]),), 0.5)
    return look(field, rays, world[1], space, occupancy, march, middle)


@pytest.mark.parametrize("density", [0.1, 3.0, 40.0])
def test_a_slab_lets_through_what_beer_and_lambert_say(density: float):
    seen = seen_of(EvenMedium(in_slab, density), parallel_rays())
    length = SLAB[1] - SLAB[0]
    opacity = 1 - math.exp(-density * length)
    # Its planes lie between samples: each may be off by half a step.
    error = density * FINE.step * math.exp(-density * length) + FINE.least_transmittance
    found = seen.rays.opacity.detach()
    assert float((found - opacity).abs().max()) <= error
    colour = torch.tensor(COLOUR) * found[:, None]
    assert torch.allclose(seen.rays.colour, colour, atol=1e-6)
    # The mean distance of an exponential that is cut off, from where the slab begins.
    cut = length * math.exp(-density * length) / opacity
    depth = 1 + SLAB[0] + 1 / density - cut
    assert torch.allclose(
        seen.rays.depth.detach() / found, torch.tensor(depth), atol=2 * FINE.step
    )


@pytest.mark.parametrize("density", [1.0, 8.0])
def test_a_ball_is_as_opaque_as_its_chords_are_long(density: float):
    world = rays_to_the_middle()
    seen = seen_of(EvenMedium(in_ball, density), world)
    exact = 1 - torch.exp(-density * ball_chords(*world))
    error = (seen.rays.opacity.detach() - exact).abs()
    assert float(error.max()) <= density * FINE.step + FINE.least_transmittance
    assert relative_rms(seen.rays.opacity.detach(), exact) < 0.004
    assert float(exact.min()) == 0
    assert float(exact.max()) > 0.4


def test_shorter_steps_come_closer():
    world = rays_to_the_middle()
    exact = 1 - torch.exp(-8.0 * ball_chords(*world))
    errors = []
    for step in (1 / 16, 1 / 64, 1 / 256):
        march = MarchSettings(step=step, least_transmittance=1e-6)
        seen = seen_of(EvenMedium(in_ball, 8.0), world, march)
        errors.append(relative_rms(seen.rays.opacity.detach(), exact))
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2


def test_the_length_of_the_sides_is_that_of_the_world():
    """Density is per side of the box: twice the side, and the picture is the same."""
    twice = SceneSpace(low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0))
    origins, directions = rays_to_the_middle()
    field = EvenMedium(in_ball, 5.0)
    expected = seen_of(field, (origins, directions)).rays
    found = seen_of(field, (2 * origins - 1, directions), space=twice).rays
    assert torch.allclose(found.opacity, expected.opacity, atol=5.0 * FINE.step)
    assert relative_rms(found.colour.detach(), expected.colour.detach()) < 5e-3


@pytest.mark.parametrize("outside", ["scaled", "contracted"])
def test_larger_boxes_hold_the_same_ball(outside):
    space = dataclasses.replace(SPACE, cascades=3, outside=outside)

    def inside(coords: Tensor) -> Tensor:
        # Both maps are even in the unit box, by a quarter or by a half.
        scale = 4 if outside == "scaled" else 2
        return in_ball((coords - 0.5) * scale + 0.5)

    world = rays_to_the_middle()
    march = MarchSettings(step=1 / 256, slope=1 / 128)
    seen = seen_of(EvenMedium(inside, 5.0), world, march, space=space)
    exact = 1 - torch.exp(-5.0 * ball_chords(*world))
    # Two sides away steps are 1/64.
    error = (seen.rays.opacity.detach() - exact).abs()
    assert float(error.max()) <= 5.0 / 64 + march.least_transmittance
    assert relative_rms(seen.rays.opacity.detach(), exact) < 0.03


def test_colour_is_asked_for_only_where_light_comes_through():
    field = EvenMedium(in_slab, 200.0)
    seen = seen_of(field, parallel_rays())
    total = len(seen.densities)
    assert len(seen.samples.points) == total == 200 * 512
    # Nothing in front of the slab hides, and a few steps into it little is left.
    front = SLAB[0] * 512 + math.log(1 / FINE.least_transmittance) / (200 / 512) + 2
    assert field.asked_colours == seen.num_kept <= 200 * front
    assert seen.num_kept > 200 * SLAB[0] * 500
    assert not seen.densities.requires_grad


@pytest.mark.parametrize("least", [1e-2, 1e-4])
def test_an_early_end_changes_less_than_its_threshold(least: float):
    world = rays_to_the_middle()
    field = EvenMedium(in_ball, 30.0)
    settings = dataclasses.replace(FINE, least_transmittance=least)
    whole = seen_of(field, world, dataclasses.replace(FINE, least_transmittance=1e-9))
    part = seen_of(field, world, settings)
    assert part.num_kept < whole.num_kept
    lost = (whole.rays.colour - part.rays.colour).detach()
    assert float(lost.min()) > -1e-6
    assert 0 < float(lost.max()) < least


def test_known_cells_end_rays_as_early_as_their_floors_allow():
    """What was seen on the way ends the next rays, and changes next to nothing."""
    world, field = rays_to_the_middle(), EvenMedium(in_ball, 60.0)
    occupancy = everywhere()
    settings = dataclasses.replace(FINE, most_thickness=8.0, least_transmittance=1e-6)
    expected = seen_of(field, world, settings, occupancy)
    occupancy.see(expected.samples.cells, expected.densities)
    occupancy.refresh()
    found = seen_of(field, world, settings, occupancy)
    assert len(found.densities) < 0.8 * len(expected.densities)
    # What rays have found empty is left out; the rest of the box is not known.
    assert 0.5 < occupancy.fraction < 1
    # Rays go on behind the ball only by what is left of them.
    lost = (expected.rays.colour - found.rays.colour).detach().abs()
    assert float(lost.max()) < 1.1 * math.exp(-8.0)
    # A floor is the least of a cell, so that a cell at the edge ends no ray.
    outside = ~in_ball(expected.samples.points)
    edge = expected.samples.cells[outside]
    assert not occupancy.floors[edge].any()


def rays_beside_the_box() -> tuple[Tensor, Tensor]:
    origins = torch.tensor([[-1.0, 2.0, 0.5], [0.5, 0.5, 3.0]])
    return origins, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("case", ["beside the box", "through empty cells", "no rays"])
def test_nothing_on_any_ray_is_the_background(case: str):
    """No sample at all: the most frequent crash of such programs."""
    config = EncodedRadianceConfig()
    field = config.build(Site(num_dims=3, num_channels=3), generator(0))
    world, occupancy = rays_beside_the_box(), everywhere()
    if case == "through empty cells":
        world = parallel_rays(2)
        every = torch.arange(len(occupancy.densities))
        occupancy.see(every, torch.where(every > 0, 0.0, 1e6))
        occupancy.refresh()
        world[0][:, 1:] = 0.9
    elif case == "no rays":
        world = (world[0][:0], world[1][:0])
    seen = seen_of(field, world, occupancy=occupancy)
    assert len(seen.densities) == seen.num_kept == 0
    for part in seen.rays:
        assert len(part) == len(world[0])
        assert not part.any()
    behind = 1 - seen.rays.opacity[:, None] + seen.rays.colour
    assert behind.tolist() == [[1.0, 1.0, 1.0]] * len(world[0])
    grads = torch.autograd.grad(behind.sum(), list(field.parameters()))
    assert all(not grad.any() for grad in grads)


def test_gradients_are_those_of_the_closed_form():
    field = EvenMedium(in_slab, 3.0)
    seen = seen_of(field, parallel_rays())
    length = SLAB[1] - SLAB[0]
    grads = torch.autograd.grad(
        seen.rays.opacity.mean(), field.strength, retain_graph=True
    )
    assert float(grads[0]) == pytest.approx(length * math.exp(-3 * length), rel=0.01)
    (of_paint,) = torch.autograd.grad(seen.rays.colour.mean(0).sum(), field.paint)
    assert torch.allclose(of_paint, seen.rays.opacity.mean().detach(), rtol=1e-4)


def test_offsets_move_samples_by_shares_of_a_step():
    world = parallel_rays(3)
    march = MarchSettings(step=0.1)
    rays = SPACE.rays(*world)
    offsets = torch.tensor([0.0, 0.25, 0.75])
    seen = look(
        EvenMedium(in_slab, 1.0),
        rays,
        world[1],
        SPACE,
        everywhere(march),
        march,
        offsets,
    )
    first = seen.samples.distances[seen.samples.bounds[:-1]]
    assert torch.allclose(first, 1 + 0.1 * offsets, atol=1e-6)


def test_near_and_far_are_in_the_worlds_units():
    space = SceneSpace(low=(0.0,) * 3, high=(2.0,) * 3, near=1.5, far=2.5)
    origins = torch.tensor([[-1.0, 1.0, 1.0]])
    rays = space.rays(origins, torch.tensor([[1.0, 0.0, 0.0]]))
    assert isinstance(rays, BoxRays)
    seen = seen_of(EvenMedium(in_slab, 1.0), (origins, torch.eye(3)[:1]), space=space)
    x = space.world(seen.samples.points)[:, 0]
    assert float(x.min()) == pytest.approx(0.5, abs=2 * FINE.step)
    assert float(x.max()) == pytest.approx(1.5, abs=2 * FINE.step)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"least_transmittance": 0.0}, "march.least_transmittance: expected a share"),
        ({"least_transmittance": 1.0}, "above 0 and below 1, got 1.0"),
        ({"least_transmittance": float("nan")}, "expected a share above 0"),
        ({"step": 0.0}, "expected 0 < shortest"),
        ({"slope": 1.5}, "a slope from 0 to below 1, got"),
    ],
)
def test_rays_that_never_end_are_refused(settings: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        MarchSettings(**settings)


def test_steps_grow_to_a_cell_of_the_largest_box():
    steps = MarchSettings(step=0.004, slope=1 / 256).steps(4)
    assert (steps.shortest, steps.slope) == (0.004, 1 / 256)
    assert steps.longest == pytest.approx(0.032)
