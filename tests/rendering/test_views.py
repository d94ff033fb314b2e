"""Whole pictures of an even ball: where it is, how large, how far away."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from tangrid.fields.radiance import EncodedRadianceConfig
from tangrid.fields.workers import Workers
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import SceneSpace
from tangrid.rendering.views import RadianceScene, RenderedView, render_view
from tangrid.rendering.volume import MarchSettings
from tangrid.seeding import generator
from tangrid.signals.camera import Camera
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tangrid.signals.site import Site
from tests.ops.comparison import assert_same_bits
from tests.rendering.media import COLOUR, RADIUS, EvenMedium, in_ball

SIDE = 61
DISTANCE = 5.0
FOCAL = 70.0
CENTRE = np.array([1.0, -2.0, 3.0])
"""Where the middle of the box lies in the world, of which it is two units long."""
SPACE = SceneSpace(low=(0.0, -3.0, 2.0), high=(2.0, -1.0, 4.0))
MARCH = MarchSettings(step=1 / 256, least_transmittance=1e-4)


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The pose of a camera with its right side level."""
    back = (position - target) / np.linalg.norm(position - target)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :4] = np.stack((right, np.cross(back, right), back, position), axis=1)
    return pose


def moved(x: float, y: float, z: float) -> np.ndarray:
    return CENTRE + np.array([x, y, z])


def camera(shift: tuple[float, float] = (0.0, 0.0)) -> Camera:
    """From aslant on the ball, with a middle moved by some pixels."""
    direction = np.array([1.0, 2.0, -1.0]) / math.sqrt(6)
    return Camera(
        pose=look_at(CENTRE + DISTANCE * direction, CENTRE),
        width=SIDE,
        height=SIDE,
        focal=(FOCAL, FOCAL),
        centre=(SIDE / 2 + shift[0], SIDE / 2 + shift[1]),
    )


def ball_scene(density: float) -> RadianceScene:
    grid = OccupancySettings(resolution=32)
    return RadianceScene(
        field=EvenMedium(in_ball, density),
        space=SPACE,
        occupancy=Occupancy(grid, (MARCH.step,)),
        march=MARCH,
    )


def rendered(scene: RadianceScene, at: Camera, workers: int = 2) -> RenderedView:
    with Workers(workers) as threads:
        return render_view(scene, at, threads)


def chords(at: Camera) -> torch.Tensor:
    """How long each pixel's ray is in the ball, in the world."""
    origins, directions = (part.double() for part in at.rays())
    from_centre = origins - torch.from_numpy(CENTRE)
    along = (from_centre * directions).sum(1)
    apart = from_centre.square().sum(1) - along.square()
    half = ((2 * RADIUS) ** 2 - apart).clamp(min=0).sqrt()
    return 2 * half.view(at.height, at.width)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (9.0, -6.0)])
def test_a_ball_is_where_the_camera_sees_it(shift: tuple[float, float]):
    view = rendered(ball_scene(300.0), camera(shift))
    assert view.colour.shape == (SIDE, SIDE, 3)
    solid = view.opacity > 0.5
    rows, columns = np.nonzero(solid.numpy())
    centre = columns.mean() + 0.5, rows.mean() + 0.5
    wanted = SIDE / 2 + shift[0], SIDE / 2 + shift[1]
    assert centre == pytest.approx(wanted, abs=0.2)
    # Its outline is a cone that touches the ball.
    radius = FOCAL * math.tan(math.asin(2 * RADIUS / DISTANCE))
    assert math.sqrt(int(solid.sum()) / math.pi) == pytest.approx(radius, rel=0.04)


def test_opacity_is_that_of_the_chords():
    view = rendered(ball_scene(3.0), camera())
    # Density is per side of the box, which is two of the world's units.
    exact = 1 - torch.exp(-3.0 * chords(camera()) / 2)
    assert float((view.opacity - exact).abs().max()) < 3.0 * MARCH.step + 1e-4
    # Chords of 0.6 sides: 1 - exp(-1.8) is 0.83.
    assert float(view.opacity.max()) == pytest.approx(0.835, abs=0.01)
    colour = torch.tensor(COLOUR) * view.opacity[..., None]
    assert torch.allclose(view.colour, colour, atol=1e-5)


def test_depth_is_in_the_worlds_units():
    view = rendered(ball_scene(300.0), camera())
    middle = SIDE // 2
    # One mean free path, of 1/300 side of two units, into the ball.
    wanted = DISTANCE - 2 * RADIUS + 2 / 300
    assert float(view.depth[middle, middle]) == pytest.approx(wanted, abs=0.01)
    solid = chords(camera()) > 0.3
    origins, directions = camera().rays()
    places = origins + view.depth.reshape(-1, 1) * directions
    apart = (places - torch.from_numpy(CENTRE).float()).norm(dim=1).view(SIDE, SIDE)
    assert torch.allclose(apart[solid], torch.tensor(2 * RADIUS), atol=0.03)
    assert not view.depth[view.opacity == 0].any()
    assert bool((view.opacity == 0).any())


def test_a_background_fills_what_is_left():
    view = rendered(ball_scene(3.0), camera())
    over = view.over((0.0, 1.0, 0.5))
    exact = (1 - view.opacity)[..., None] * torch.tensor([0.0, 1.0, 0.5])
    assert torch.allclose(over, view.colour + exact, atol=1e-6)
    assert over[0, 0].tolist() == [0.0, 1.0, 0.5]
    too_bright = RenderedView(
        colour=torch.full((1, 1, 3), 1.5),
        opacity=torch.ones(1, 1),
        depth=torch.ones(1, 1),
    )
    assert too_bright.over((0.0, 0.0, 0.0)).tolist() == [[[1.0, 1.0, 1.0]]]


def test_a_transparent_picture_has_the_colour_of_what_is_seen():
    view = rendered(ball_scene(3.0), camera())
    straight = view.straight()
    assert torch.allclose(straight[..., 3], view.opacity)
    seen = view.opacity > 0.01
    paint = torch.tensor(COLOUR).expand(int(seen.sum()), 3)
    assert torch.allclose(straight[..., :3][seen], paint, atol=1e-4)
    assert not straight[view.opacity == 0].any()


def test_several_rays_of_a_pixel_are_their_mean():
    """A large pixel is the mean of the small ones that a finer camera has there."""
    scene, at = ball_scene(3.0), camera()
    with Workers(2) as workers:
        found = render_view(scene, at, workers, supersampling=3)
        fine = render_view(scene, at.finer(3), workers)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return values.view(SIDE, 3, SIDE, 3, -1).mean((1, 3)).view(SIDE, SIDE, -1)

    assert torch.allclose(found.opacity, mean(fine.opacity)[..., 0], atol=1e-6)
    assert torch.allclose(found.colour, mean(fine.colour), atol=1e-6)
    # Of pixels of which a ray passes by, what is seen alone has a depth.
    far = mean(fine.depth * fine.opacity)[..., 0] / found.opacity.clamp(min=1e-6)
    assert torch.allclose(found.depth, far, atol=1e-4)
    edge = (found.opacity > 0) & (mean((fine.opacity == 0).float())[..., 0] > 0)
    assert float(found.depth[edge].min()) > DISTANCE - 2 * RADIUS


def random_scene() -> RadianceScene:
    config = EncodedRadianceConfig(density_shift=2.0)
    field = config.build(Site(num_dims=3, num_channels=3), generator(0))
    march = MarchSettings(step=1 / 32)
    occupancy = Occupancy(OccupancySettings(resolution=32), (march.step,))
    return RadianceScene(field=field, space=SPACE, occupancy=occupancy, march=march)


def test_workers_do_not_change_the_bits():
    scene = random_scene()
    views = [rendered(scene, camera(), workers) for workers in (1, 2, 2)]
    assert float(views[0].opacity.max()) > 0.9
    for view in views[1:]:
        assert_same_bits(vars(view), vars(views[0]))
    assert not views[0].colour.requires_grad


def test_a_camera_that_looks_away_sees_nothing():
    pose = look_at(moved(0, 0, 9), moved(0, 0, 18))
    away = Camera(pose=pose, width=7, height=5, focal=(7.0, 7.0))
    view = rendered(ball_scene(300.0), away)
    for part in (view.colour, view.opacity, view.depth):
        assert not part.any()
    assert bool((view.over((1.0, 1.0, 1.0)) == 1).all())


def test_a_camera_inside_sees_what_is_before_it():
    """From the middle of the ball every chord is its radius."""
    inside = Camera(
        pose=look_at(CENTRE, moved(1, 0.3, 0.2)),
        width=16,
        height=12,
        focal=(12.0, 12.0),
    )
    view = rendered(ball_scene(4.0), inside)
    exact = 1 - math.exp(-4.0 * RADIUS)
    assert float((view.opacity - exact).abs().max()) < 4.0 * MARCH.step


def test_a_ray_along_the_planes_of_device_coordinates_sees_nothing():
    """It has no place among them; its pixel is empty, and no number is lost."""
    space = SceneSpace(
        low=NDC_LOW, high=NDC_HIGH, ndc=NdcFrame(x_scale=1.4, y_scale=1.1, near=0.9)
    )
    scene = dataclasses.replace(ball_scene(1.0), space=space)
    eye = np.array([0.0, 0.0, 1.0])
    sideways = Camera(
        pose=look_at(eye, eye + np.array([1.0, 0.0, 0.0])),
        width=3,
        height=3,
        focal=(3.0, 3.0),
        centre=(1.5, 1.5),
    )
    found = rendered(scene, sideways)
    assert bool(found.depth.isfinite().all())
    assert float(found.opacity[1, 1]) == float(found.depth[1, 1]) == 0
