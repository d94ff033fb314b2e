"""The frame of the unit box: corners, scales, larger boxes, contracted space, NDC."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.seeding import generator
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame

OBLONG = SceneSpace(low=(-1.0, 2.0, 0.5), high=(3.0, 4.0, 1.5), near=0.5, far=7.0)
FRAME = NdcFrame(x_scale=1.4, y_scale=1.1, near=0.9)
FORWARD = SceneSpace(low=NDC_LOW, high=NDC_HIGH, ndc=FRAME)

axis = st.floats(-0.5, 1.5)


def world_rays(count: int = 50) -> tuple[Tensor, Tensor]:
    source = generator(0, "rays")
    origins = 5 * torch.randn(count, 3, generator=source)
    directions = torch.randn(count, 3, generator=source)
    return origins, torch.nn.functional.normalize(directions, dim=1)


def forward_rays(count: int = 50) -> tuple[Tensor, Tensor]:
    """Rays of cameras that look along -z, as those of LLFF do."""
    source = generator(0, "forward")
    origins = 0.2 * torch.randn(count, 3, generator=source)
    directions = 0.4 * torch.randn(count, 3, generator=source)
    directions[:, 2] = -1
    return origins, torch.nn.functional.normalize(directions, dim=1)


def test_the_box_has_the_corners_of_the_unit_box():
    corners = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.25, 0.5, 1.0]])
    found = OBLONG.world(corners)
    assert found.tolist() == [[-1.0, 2.0, 0.5], [3.0, 4.0, 1.5], [0.0, 3.0, 1.5]]
    assert OBLONG.sides == (4.0, 2.0, 1.0)
    there = OBLONG.rays(found, torch.eye(3))
    assert torch.allclose(there.origins, corners)


def test_a_ray_passes_the_same_places():
    """What lies at a distance in the world lies at that times the scale in the box."""
    origins, directions = world_rays()
    rays = OBLONG.rays(origins, directions)
    assert torch.allclose(rays.directions.norm(dim=1), torch.ones(50))
    for distance in (0.0, 1.0, 6.5):
        inside = rays.origins + (distance * rays.scales)[:, None] * rays.directions
        assert torch.allclose(
            OBLONG.world(inside), origins + distance * directions, atol=1e-5
        )
    assert torch.allclose(rays.nears, 0.5 * rays.scales)
    assert torch.allclose(rays.fars, 7.0 * rays.scales)


def test_scales_are_those_of_the_axes():
    rays = OBLONG.rays(torch.zeros(3, 3), torch.eye(3))
    assert rays.scales.tolist() == [0.25, 0.5, 1.0]
    cube = SceneSpace(low=(-2.0, -2.0, -2.0), high=(2.0, 2.0, 2.0))
    assert torch.allclose(cube.rays(*world_rays()).scales, torch.tensor(0.25))


@pytest.mark.parametrize("cascades", [1, 2, 4])
def test_the_largest_box_is_the_fields(cascades: int):
    space = SceneSpace(cascades=cascades)
    edge = 2.0 ** (cascades - 2)
    points = 0.5 + edge * torch.tensor([
        [0.0, 0.0, 0.0],
        [1.0, -1.0, 0.5],
        [-1.0, 1.0, -0.25],
    ])
    wanted = torch.tensor([[0.5, 0.5, 0.5], [1.0, 0.0, 0.75], [0.0, 1.0, 0.375]])
    assert torch.allclose(space.coords(points), wanted)


@pytest.mark.parametrize("space", [OBLONG, SceneSpace(cascades=3)])
def test_what_is_beyond_is_moved_to_the_border(space: SceneSpace):
    found = space.coords(torch.tensor([[-9.0, 0.5, 9.0], [0.5, 1e9, -1e9]]))
    assert found.tolist() == [[0.0, 0.5, 1.0], [0.5, 1.0, 0.0]]


CONTRACTED = SceneSpace(cascades=8, outside="contracted")


def test_the_box_is_the_middle_half_of_contracted_space():
    points = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.5, 0.25, 1.0]])
    wanted = [[0.25, 0.25, 0.25], [0.75, 0.75, 0.75], [0.5, 0.375, 0.75]]
    assert CONTRACTED.coords(points).tolist() == wanted
    # A lone box is the whole of the field's, however the rest would be seen.
    alone = dataclasses.replace(CONTRACTED, cascades=1)
    assert alone.coords(points).equal(points)


@given(st.tuples(axis, axis, axis), st.floats(1.0, 1e8))
def test_contraction_is_that_of_the_largest_coordinate(
    place: tuple[float, float, float], stretch: float
):
    """(2 - 1 / |x|) x / |x| of coordinates from -1 to 1, in [-2, 2], scaled by 1/4."""
    point = (2 * torch.tensor([place], dtype=torch.float64) - 1) * stretch
    size = float(point.abs().max())
    wanted = point if size <= 1 else (2 - 1 / size) * point / size
    found = CONTRACTED.coords(point / 2 + 0.5)
    assert torch.allclose(found, wanted / 4 + 0.5, rtol=0, atol=1e-9)
    assert bool(((found >= 0) & (found <= 1)).all())


def test_contraction_is_continuous_at_the_border():
    source = generator(0, "border")
    inside = torch.rand(200, 3, generator=source, dtype=torch.float64)
    inside[torch.arange(200), torch.arange(200) % 3] = 1.0
    outside = 0.5 + (inside - 0.5) * (1 + 1e-9)
    jump = CONTRACTED.coords(outside) - CONTRACTED.coords(inside)
    assert float(jump.abs().max()) < 1e-9
    # The slope along the axis does not jump either: it is 1/2 on both sides.
    middle = torch.tensor([[1.0, 0.5, 0.5]], dtype=torch.float64)
    step = torch.tensor([[1e-6, 0.0, 0.0]], dtype=torch.float64)
    here = CONTRACTED.coords(middle)
    for way in (-step, step):
        slope = (CONTRACTED.coords(middle + way) - here) / way[0, 0]
        assert float(slope[0, 0]) == pytest.approx(0.5, abs=1e-4)


def test_contracted_space_keeps_single_precision_inside():
    far = torch.tensor([[1e30, -1e30, 5.0], [-64.0, 64.0, 0.5], [0.5, 1.0, 1e7]])
    found = CONTRACTED.coords(far)
    assert bool(((found >= 0) & (found <= 1)).all())


def test_forward_facing_rays_are_those_of_nerfs_appendix():
    """Points of a ray, mapped one by one, lie on the ray of the box's frame."""
    origins, directions = forward_rays()
    rays = FORWARD.rays(origins, directions)
    low, high = torch.tensor(NDC_LOW).double(), torch.tensor(NDC_HIGH).double()
    exact, ways = origins.double(), directions.double()
    rays = BoxRays(*(part.double() for part in rays))
    for distance in (1.5, 3.0, 40.0):
        x, y, z = (exact + distance * ways).unbind(1)
        mapped = torch.stack((-1.4 * x / z, -1.1 * y / z, 1 + 2 * 0.9 / z), dim=1)
        # t' = 1 - o_z / (o_z + t d_z), with o on the near plane.
        share = 1 + 0.9 / z
        boxed = (mapped - low) / (high - low)
        along = (share * rays.scales)[:, None] * rays.directions
        assert torch.allclose(rays.origins + along, boxed, atol=1e-5)
    assert torch.allclose(rays.directions.norm(dim=1), torch.ones(50).double())
    assert not rays.nears.any()
    assert torch.allclose(rays.fars, rays.scales)
    assert float(rays.origins[:, 2].abs().max()) < 1e-6
    ends = rays.origins + rays.fars[:, None] * rays.directions
    assert torch.allclose(ends[:, 2], torch.ones(50).double())


def test_forward_facing_places_come_back_to_the_world():
    origins, directions = forward_rays()
    rays = FORWARD.rays(origins, directions)
    places = rays.origins + 0.6 * rays.fars[:, None] * rays.directions
    world = FORWARD.world(places)
    apart = world - origins
    along = (apart * directions).sum(1, keepdim=True)
    assert float((apart - along * directions).abs().max()) < 1e-4
    # 0.6 = 1 + 0.9 / z.
    assert torch.allclose(world[:, 2], torch.full((50,), -0.9 / 0.4), rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"outside": "nowhere"}, "space.outside.*'scaled', 'contracted'"),
        ({"low": (1.0, 0.0, 0.0)}, "space: expected a box with low < high along every"),
        ({"high": (float("nan"), 1.0, 1.0)}, "expected a box with low < high"),
        ({"near": 2.0, "far": 2.0}, "expected 0 <= near < far, got 2 and 2"),
        ({"far": 0.0}, "Say --set space.near=A and --set space.far=B in the scene"),
        ({"near": -0.1}, "expected 0 <= near < far, got -0.1 and 1e"),
        ({"near": float("nan")}, "expected 0 <= near < far"),
        ({"cascades": 0}, "space.cascades: expected 1 to 8, got 0"),
        ({"cascades": 9}, "space.cascades: expected 1 to 8, got 9"),
    ],
)
def test_spaces_that_are_none_are_refused(settings: dict, words: str, unchecked: None):
    with pytest.raises(ConfigError, match=words):
        SceneSpace(**settings)
