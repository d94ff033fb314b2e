"""What rays see by few even samples and more of them where these see something."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.experiments.demo_scene import analytic_radiance
from tangrid.fields.radiance import Density, EncodedRadianceConfig
from tangrid.fields.workers import Workers
from tangrid.notation import Coords
from tangrid.rendering.camera_paths import turntable
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.sampling import stratified
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, render_view
from tangrid.rendering.volume import MarchSettings, Seen, look
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.ops.comparison import assert_same_bits, relative_rms
from tests.rendering.media import SLAB, EvenMedium, ball_chords, in_ball, in_slab

SPACE = SceneSpace(low=(0.0, 0.0, 0.0), high=(1.0, 1.0, 1.0))
GRID = OccupancySettings(resolution=32)
FEW = MarchSettings(
    sampling="hierarchical", coarse=32, fine=32, least_transmittance=1e-6
)
EVEN = dataclasses.replace(FEW, coarse=64, fine=0)
"""As many samples, without looking first."""


class CountingMedium(EvenMedium):
    """Know how many places were asked for, and whether gradients were wanted."""

    def __init__(self, *given) -> None:
        super().__init__(*given)
        self.asked: list[tuple[int, bool]] = []

    def density(self, coords: Coords) -> Density:
        self.asked.append((len(coords), torch.is_grad_enabled()))
        return super().density(coords)


def parallel_rays(count: int = 100) -> tuple[Tensor, Tensor]:
    origins = torch.rand(count, 3, generator=generator(0, "parallel"))
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
    march: MarchSettings = FEW,
    *,
    offsets: Tensor | None = None,
    occupancy: Occupancy | None = None,
    space: SceneSpace = SPACE,
) -> Seen:
    if offsets is None:
        offsets = torch.full((len(world[0]),), 0.5)
    occupancy = occupancy or Occupancy(GRID, march.longest_steps(space.cascades))
    rays = space.rays(*world)
    return look(field, rays, world[1], space, occupancy, march, offsets)


@pytest.mark.parametrize("march", [FEW, EVEN])
def test_an_even_box_is_exact_wherever_samples_stand(march: MarchSettings):
    world = rays_to_the_middle()
    everywhere = EvenMedium(lambda coords: coords[:, 0] > -1, 1.5)
    offsets = torch.rand(300, generator=generator(0, "offsets"))
    found = seen_of(everywhere, world, march, offsets=offsets).rays.opacity.detach()
    origins, directions = (part.double() for part in world)
    planes = torch.stack((-origins, 1 - origins)) / directions
    way = planes.amax(0).amin(1) - planes.amin(0).amax(1)
    exact = 1 - torch.exp(-1.5 * way.clamp(min=0))
    assert float((found - exact).abs().max()) < 1e-5


def test_surfaces_are_found_closer_than_by_as_many_even_samples():
    """Where a dense ball begins, against the mean depth in closed form."""
    world, density = rays_to_the_middle(), 60.0
    chords = ball_chords(*world)
    from_centre = world[0].double() - 0.5
    first = -(from_centre * world[1]).sum(1) - chords / 2
    passed = density * chords
    opacity = 1 - torch.exp(-passed)
    behind = (1 - torch.exp(-passed) * (1 + passed)) / density
    exact = first * opacity + behind
    offsets = torch.rand(300, generator=generator(1, "offsets"))
    few, even = (
        seen_of(EvenMedium(in_ball, density), world, march, offsets=offsets).rays
        for march in (FEW, EVEN)
    )
    errors = [relative_rms(seen.depth.detach(), exact) for seen in (few, even)]
    assert errors[0] < errors[1] / 2
    solid = chords > 0.3
    depth = few.depth.detach()[solid] - exact[solid]
    # Bins of even samples are at least 1/64 long.
    assert float(depth.square().mean().sqrt()) < 1 / 64 / 4


@pytest.mark.parametrize("density", [0.5, 4.0])
def test_a_slab_lets_through_what_beer_and_lambert_say(density: float):
    field = EvenMedium(in_slab, density)
    seen = seen_of(field, parallel_rays())
    length = SLAB[1] - SLAB[0]
    exact = 1 - math.exp(-density * length)
    # Both planes lie between samples, which are 1/32 apart at most.
    error = density * math.exp(-density * length) / 32
    assert float((seen.rays.opacity.detach() - exact).abs().max()) < error
    (slope,) = torch.autograd.grad(seen.rays.opacity.mean(), field.strength)
    assert float(slope) == pytest.approx(length * (1 - exact), rel=0.08)


def test_the_field_is_asked_first_without_gradients():
    field = CountingMedium(in_slab, 5.0)
    seen = seen_of(field, parallel_rays(10))
    assert field.asked == [(320, False), (640, True)]
    assert seen.samples.bounds.diff().tolist() == [64] * 10
    assert len(seen.densities) == 640
    assert seen.num_kept == len(seen.kept.numbers) == field.asked_colours
    assert seen.thickness.requires_grad
    assert not seen.densities.requires_grad


def test_without_fine_samples_the_even_ones_are_left():
    world, field = rays_to_the_middle(40), CountingMedium(in_ball, 5.0)
    seen = seen_of(field, world, EVEN)
    assert [with_gradients for _, with_gradients in field.asked] == [True]
    cells = Occupancy(GRID, (EVEN.step,)).cells
    middles = torch.full((40,), 0.5)
    wanted = stratified(SPACE.rays(*world), cells, 64, middles)
    assert_same_bits(seen.samples._asdict(), wanted._asdict())


def test_nothing_but_the_offsets_is_random():
    world, field = rays_to_the_middle(50), EvenMedium(in_ball, 20.0)
    offsets = torch.rand(50, generator=generator(2, "offsets"))
    runs = [seen_of(field, world, offsets=offsets) for _ in range(2)]
    assert_same_bits(runs[0].samples._asdict(), runs[1].samples._asdict())
    assert_same_bits(runs[0].rays._asdict(), runs[1].rays._asdict())
    other = seen_of(field, world).samples.distances
    assert not bool((other == runs[0].samples.distances).any())


def test_it_does_not_matter_what_is_known_of_cells():
    world, field = parallel_rays(20), EvenMedium(in_slab, 5.0)
    occupancy = Occupancy(GRID, (FEW.step,))
    expected = seen_of(field, world, occupancy=occupancy)
    every = torch.arange(len(occupancy.densities))
    occupancy.see(every, torch.where(every > 0, 0.0, 1e6))
    occupancy.refresh()
    assert occupancy.fraction < 1e-4
    found = seen_of(field, world, occupancy=occupancy)
    assert_same_bits(found.rays._asdict(), expected.rays._asdict())


@pytest.mark.parametrize("case", ["beside the box", "no rays"])
def test_nothing_on_any_ray_is_the_background(case: str):
    config = EncodedRadianceConfig()
    field = config.build(Site(num_dims=3, num_channels=3), generator(0))
    origins = torch.tensor([[-1.0, 2.0, 0.5], [0.5, 0.5, 3.0]])
    world = origins, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    if case == "no rays":
        world = (world[0][:0], world[1][:0])
    seen = seen_of(field, world)
    assert len(seen.densities) == seen.num_kept == 0
    assert not any(part.any() for part in seen.rays)
    grads = torch.autograd.grad(seen.rays.colour.sum(), list(field.parameters()))
    assert all(not grad.any() for grad in grads)


@pytest.mark.parametrize("outside", ["scaled", "contracted"])
def test_larger_boxes_hold_the_same_ball(outside):
    space = dataclasses.replace(SPACE, cascades=4, outside=outside)

    def inside(coords: Tensor) -> Tensor:
        # Both maps are even in the unit box, by an eighth or by a half.
        scale = 8 if outside == "scaled" else 2
        return in_ball((coords - 0.5) * scale + 0.5)

    origins, directions = rays_to_the_middle()
    # Cameras in the box, which are near to what they see.
    world = origins + 1.4 * directions, directions
    march = dataclasses.replace(FEW, coarse=64, fine=64, spacing="disparity")
    seen = seen_of(EvenMedium(inside, 5.0), world, march, space=space)
    exact = 1 - torch.exp(-5.0 * ball_chords(*world))
    assert float((seen.rays.opacity.detach() - exact).abs().max()) < 0.1
    assert relative_rms(seen.rays.opacity.detach(), exact) < 0.03


def test_a_whole_view_is_that_of_many_short_steps():
    """Half the samples of the published rule; 1500 short steps see the truth."""
    scene = analytic_radiance()
    (camera,) = turntable(
        1,
        30.0,
        centre=(0.0, 0.0, 0.0),
        distance=4.0,
        width=32,
        height=32,
        field_of_view=40.0,
    )
    few = RadianceScene(
        field=scene.field, space=scene.space, occupancy=scene.occupancy, march=FEW
    )
    with Workers(2) as workers:
        expected, found = (render_view(each, camera, workers) for each in (scene, few))
    error = (found.colour - expected.colour).square().mean()
    # 44.6 dB when written; 64 even samples have 31.
    assert float(error) < 1e-4
    assert float(found.opacity.max()) > 0.99


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sampling": "random"}, "march.sampling: expected one of 'occupancy', 'hier"),
        ({"spacing": "inverse"}, "march.spacing: expected one of 'distance', 'dispar"),
        ({"coarse": 0}, "expected coarse >= 1 and fine >= 0.*, got 0 and 128"),
        ({"fine": -1}, "got 64 and -1"),
    ],
)
def test_rays_without_samples_are_refused(settings: dict, words: str, unchecked: None):
    with pytest.raises(ConfigError, match=words):
        MarchSettings(**settings)
