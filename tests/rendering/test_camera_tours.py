"""Ways through a scene: where cameras of a way stand and what they look at."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tangrid.errors import ConfigError
from tangrid.rendering.camera_paths import orbit
from tangrid.rendering.camera_tours import (
    at_size,
    looked_at,
    orbit_around,
    spiral,
    upward,
)
from tangrid.signals.camera import Camera
from tangrid.signals.lens import Lens
from tangrid.signals.scene_check import meeting_point
from tests.signals.views import random_camera

CENTRE = np.array([3.0, -1.0, 2.0])
TURN = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
"""From a world in which y is up to one in which it is aslant."""
UP = TURN[:, 1]


def placed(azimuth: float, elevation: float, distance: float) -> Camera:
    """A level camera around the centre, in the world that stands aslant."""
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = TURN, CENTRE
    flat = orbit(
        azimuth,
        elevation,
        centre=(0.0, 0.0, 0.0),
        distance=distance,
        width=40,
        height=30,
    )
    return Camera(pose=frame @ flat.pose, width=40, height=30, focal=(50.0, 51.0))


def around() -> list[Camera]:
    return [placed(70.0 * k, 5.0 + 10 * k, 2.0 + 0.5 * k) for k in range(5)]


def abreast(turned: float = 0.02) -> list[Camera]:
    """Cameras side by side that all look along -z, each turned a little."""
    rng = np.random.default_rng(0)
    cameras = []
    for _ in range(12):
        pose = np.eye(4)
        turn = Rotation.from_rotvec(turned * rng.normal(size=3)).as_matrix()
        pose[:3, :3] = turn
        pose[:3, 3] = rng.normal(size=3) * (1.0, 0.5, 0.2)
        cameras.append(Camera(pose=pose, width=8, height=6, focal=(7.0, 7.0)))
    return cameras


def test_what_cameras_look_at_is_found():
    np.testing.assert_allclose(looked_at(around()), CENTRE, atol=1e-12)


def test_what_is_nearest_to_axes_that_miss_each_other():
    # One axis along x at z = 1, one along y at z = 3: the middle is at z = 2.
    poses = [np.eye(4), np.eye(4)]
    poses[0][:3, :3] = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]])
    poses[0][:3, 3] = (-5, 0, 1)
    poses[1][:3, :3] = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    poses[1][:3, 3] = (0, -5, 3)
    cameras = [Camera(pose=p, width=2, height=2, focal=(2.0, 2.0)) for p in poses]
    np.testing.assert_allclose(looked_at(cameras), (0, 0, 2), atol=1e-12)


def test_cameras_that_hardly_turn_look_at_no_place_here_and_where_data_is_checked():
    # Mean squared sines of the angles between them on both sides of one threshold.
    for turned, is_found in ((0.02, False), (0.06, True)):
        cameras = abreast(turned)
        assert (meeting_point(cameras) is not None) == is_found
        if not is_found:
            with pytest.raises(ConfigError, match="all look the same way"):
                looked_at(cameras)


def test_up_is_that_of_level_cameras_whatever_they_look_down_on():
    # All stand high on one side: their mean up leans far forward.
    cameras = [placed(turn, 60.0, 2.0) for turn in (0.0, 20.0, 45.0, 70.0)]
    mean = np.mean([camera.pose[:3, 1] for camera in cameras], axis=0)
    assert mean @ UP / np.linalg.norm(mean) < 0.8
    np.testing.assert_allclose(upward(cameras), UP, atol=1e-12)


def test_up_is_the_mean_where_cameras_hardly_turn():
    cameras = abreast()
    mean = np.mean([camera.pose[:3, 1] for camera in cameras], axis=0)
    assert upward(cameras) @ mean / np.linalg.norm(mean) > 0.9999
    rolled = [placed(0.0, 30.0, 2.0)] * 2
    np.testing.assert_allclose(upward(rolled), rolled[0].pose[:3, 1], atol=1e-12)


def test_orbit_is_a_level_circle_at_the_mean_height_and_distance():
    tour = orbit_around(around(), 8)
    assert len(tour) == 8
    offsets = np.stack([camera.position for camera in tour]) - CENTRE
    distances = np.linalg.norm(offsets, axis=1)
    np.testing.assert_allclose(distances, 3.0, atol=1e-12)
    heights = np.degrees(np.arcsin(offsets @ UP / distances))
    np.testing.assert_allclose(heights, 25.0, atol=1e-9)
    for camera, offset in zip(tour, offsets, strict=True):
        # It looks at the centre, its right side is level and its top is up.
        np.testing.assert_allclose(-camera.pose[:3, 2], -offset / 3, atol=1e-12)
        assert camera.pose[:3, 0] @ UP == pytest.approx(0, abs=1e-12)
        assert camera.pose[:3, 1] @ UP > 0
        assert (camera.width, camera.height, camera.focal) == (40, 30, (50.0, 51.0))


def test_orbit_is_closed_and_begins_where_the_first_camera_is():
    tour = orbit_around(around(), 12)
    positions = np.stack([camera.position for camera in tour])
    steps = np.linalg.norm(np.roll(positions, -1, axis=0) - positions, axis=1)
    np.testing.assert_allclose(steps, steps[0], atol=1e-12)
    flat = positions[0] - CENTRE - ((positions[0] - CENTRE) @ UP) * UP
    first = around()[0].position - CENTRE
    first = first - (first @ UP) * UP
    assert flat @ first == pytest.approx(np.linalg.norm(flat) * np.linalg.norm(first))


def test_orbit_from_a_camera_that_looks_straight_down():
    tour = orbit_around([placed(0.0, 90.0, 2.0), *around()], 4)
    assert all(np.isfinite(camera.pose).all() for camera in tour)


def test_spiral_is_closed_and_goes_as_far_as_most_cameras():
    cameras = abreast(turned=0.0)
    tour = spiral(cameras, 40, near=2.0, far=math.inf)
    positions = np.stack([camera.position for camera in tour])
    steps = np.linalg.norm(np.roll(positions, -1, axis=0) - positions, axis=1)
    assert steps.max() < 2.5 * np.median(steps)
    own = np.stack([camera.position for camera in cameras])
    reach = np.percentile(np.abs(own - own.mean(0)), 90, axis=0)
    np.testing.assert_allclose(np.abs(positions - own.mean(0)).max(0), reach)


@pytest.mark.parametrize(("far", "depth"), [(math.inf, 8.0), (4.0, 1 / 0.1625)])
def test_spiral_looks_at_one_point_at_the_mean_of_inverse_depths(
    far: float, depth: float
):
    tour = spiral(abreast(), 10, near=2.0, far=far)
    target = looked_at(tour)
    forward = np.stack([-camera.pose[:3, 2] for camera in tour])
    towards = target - np.stack([camera.position for camera in tour])
    across = towards - (towards * forward).sum(1, keepdims=True) * forward
    assert np.abs(across).max() < 1e-9
    middle = np.mean([camera.position for camera in abreast()], axis=0)
    assert np.linalg.norm(target - middle) == pytest.approx(depth)


def test_ways_have_pinholes_of_the_first_camera():
    fisheye = Lens(is_fisheye=True, k1=0.1)
    first = around()[0]
    bent = Camera(
        pose=first.pose, width=9, height=7, focal=(5.0, 5.0), centre=(4.0, 3.0),
        lens=fisheye,
    )  # fmt: skip
    for camera in orbit_around([bent, *around()], 3):
        assert camera.lens.is_plain
        assert (camera.width, camera.height) == (9, 7)
        assert camera.principal_point == (4.5, 3.5)


def test_ways_that_a_scene_does_not_have():
    with pytest.raises(ConfigError, match=r"all look the same way. Choose .* spiral"):
        orbit_around([placed(0.0, 10.0, 2.0)] * 3, 4)
    with pytest.raises(ConfigError, match="away from each other"):
        orbit_around([turned_away(camera) for camera in around()], 4)
    ring = [placed(30.0 * number, 10.0, 2.0) for number in range(12)]
    with pytest.raises(ConfigError, match=r"from all around. Choose the path orbit"):
        spiral(ring, 4, near=1.0, far=2.0)
    with pytest.raises(ConfigError, match="at least one camera and a positive depth"):
        spiral(abreast(), 4, near=0.0, far=2.0)
    upside_down = placed(0.0, 0.0, 2.0).pose.copy()
    upside_down[:3, :2] *= -1
    both = [placed(0.0, 0.0, 2.0), with_pose(upside_down)]
    with pytest.raises(ConfigError, match="which way is up"):
        upward(both)


def turned_away(camera: Camera) -> Camera:
    pose = camera.pose.copy()
    pose[:3, [0, 2]] *= -1
    return with_pose(pose)


def with_pose(pose: np.ndarray) -> Camera:
    return Camera(pose=pose, width=4, height=4, focal=(4.0, 4.0))


@pytest.mark.parametrize("number", range(6))
def test_a_size_shows_all_of_the_view_in_the_same_place(number: int):
    camera = random_camera(number)
    for size in ((30, None), (None, 31), (64, 20), (20, 64)):
        sized = at_size(camera, *size)
        assert all(
            got == want for got, want in zip(sides(sized), size, strict=True) if want
        )
        scale = sized.focal[0] / camera.focal[0]
        assert sized.focal[1] / camera.focal[1] == pytest.approx(scale)
        # What was in the middle of the picture still is, and so it is in the corners.
        for place in ((0.0, 0.0), (1.0, 0.3), (-0.5, 0.5)):
            here = np.array([place]) * sides(camera) + np.array(sides(camera)) / 2
            there = (here - np.array(sides(camera)) / 2) * scale
            there += np.array(sides(sized)) / 2
            np.testing.assert_allclose(
                sized.directions(there), camera.directions(here), atol=1e-12
            )
        least = scale * np.array(sides(camera)) - 0.5
        assert (np.array(sides(sized)) >= least).all()


def sides(camera: Camera) -> tuple[int, int]:
    return camera.width, camera.height


def test_no_size_is_the_same_camera():
    camera = random_camera(1)
    same = at_size(camera)
    assert (sides(same), same.focal, same.centre) == (
        sides(camera),
        camera.focal,
        camera.centre,
    )
