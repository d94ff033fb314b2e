import math

import numpy as np
import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.rendering.camera_paths import orbit, turntable

VIEWS = [(0.0, 0.0), (30.0, 20.0), (-140.0, -60.0), (75.0, 90.0), (10.0, -90.0)]


@pytest.mark.parametrize(("azimuth", "elevation"), VIEWS)
def test_middle_ray_goes_through_the_centre(azimuth: float, elevation: float):
    centre = (0.3, 0.6, 0.45)
    camera = orbit(azimuth, elevation, centre=centre, distance=2.0, width=5, height=3)
    origins, directions = camera.rays()
    middle = 1 * 5 + 2
    reached = origins[middle] + 2.0 * directions[middle]
    torch.testing.assert_close(reached, torch.tensor(centre), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("azimuth", "elevation"), VIEWS)
def test_orbit_is_a_rotation_with_level_x(azimuth: float, elevation: float):
    pose = orbit(azimuth, elevation, distance=2.0, width=5, height=3).pose
    axes = pose[:3, :3]
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[1, 0] == 0
    assert axes[1, 1] >= -1e-12  # up in the picture is not down in the world


def test_azimuth_and_elevation_say_where_the_camera_is():
    views = {
        (0.0, 0.0): (0.5, 0.5, 2.5),
        (90.0, 0.0): (2.5, 0.5, 0.5),
        (0.0, 90.0): (0.5, 2.5, 0.5),
    }
    for (azimuth, elevation), place in views.items():
        camera = orbit(azimuth, elevation, distance=2.0, width=1, height=1)
        np.testing.assert_allclose(camera.pose[:3, 3], place, atol=1e-12)


def test_field_of_view_spans_the_shorter_side():
    camera = orbit(0.0, 0.0, distance=2.0, width=400, height=100, field_of_view=60.0)
    assert camera.focal == pytest.approx((50 / math.tan(math.radians(30)),) * 2)


def test_turntable_goes_around_evenly():
    cameras = turntable(4, 10.0, distance=2.0, width=3, height=3)
    around = [orbit(90.0 * i, 10.0, distance=2.0, width=3, height=3) for i in range(4)]
    assert len(cameras) == 4
    for camera, wanted in zip(cameras, around, strict=True):
        np.testing.assert_allclose(camera.pose, wanted.pose)


def test_wrong_paths_are_refused():
    with pytest.raises(ConfigError, match="field of view"):
        orbit(0.0, 0.0, distance=2.0, width=1, height=1, field_of_view=180.0)
    with pytest.raises(ConfigError, match="at least one camera"):
        turntable(0, 0.0, distance=2.0, width=1, height=1)
