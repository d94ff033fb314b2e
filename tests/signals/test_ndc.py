import torch
from hypothesis import given
from hypothesis import strategies as st

from tangrid.signals.ndc import NdcFrame
from tests.tolerances import LINEAR_ALGEBRA

FRAME = NdcFrame(x_scale=1.6, y_scale=2.1, near=1.0)


def random_rays(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = 0.3 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    directions = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    directions[:, 2] = -1.0 - directions[:, 2].abs()
    return origins, directions


@given(st.integers(0, 1000), st.floats(0.0, 50.0))
def test_points_of_a_ray_lie_on_its_image(seed: int, further: float):
    origins, directions = random_rays(seed)
    starts, along = FRAME.warp(origins, directions)
    # The formula of NeRF's appendix: t' = 1 - z / (z + t d_z), from the near plane.
    shift = -(1.0 + origins[:, 2:]) / directions[:, 2:]
    plane = origins + shift * directions
    time = 1 - plane[:, 2:] / (plane[:, 2:] + further * directions[:, 2:])
    points = FRAME.points(plane + further * directions)
    torch.testing.assert_close(
        starts + time * along, points, atol=LINEAR_ALGEBRA, rtol=LINEAR_ALGEBRA
    )
    assert ((time >= 0) & (time < 1)).all()


def test_the_picture_of_the_average_camera_is_the_square():
    """A camera of these scales at the origin sees x and y from -1 to 1."""
    width, height, focal = 8.0, 6.0, 5.0
    frame = NdcFrame(x_scale=2 * focal / width, y_scale=2 * focal / height, near=1.0)
    corner = torch.tensor([[width / 2 / focal, height / 2 / focal, -1.0]])
    for depth in (1.0, 7.0, 1e5):
        x, y, z = frame.points(depth * corner)[0].tolist()
        assert abs(x - 1) < 1e-6
        assert abs(y - 1) < 1e-6
        assert -1 <= z <= 1


def test_infinity_is_at_one():
    origins, directions = random_rays(3)
    starts, along = FRAME.warp(origins, directions)
    assert torch.allclose(starts[:, 2], torch.tensor(-1.0).double())
    assert torch.allclose((starts + along)[:, 2], torch.tensor(1.0).double())
