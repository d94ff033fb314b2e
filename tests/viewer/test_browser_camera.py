"""Cameras of a browser see what cameras of the house see, from the same place."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from viser.transforms import SO3

from tangrid.rendering.scene_space import SceneSpace
from tangrid.signals.camera import Camera
from tangrid.signals.ndc import NDC_HIGH, NDC_LOW, NdcFrame
from tangrid.viewer.browser_camera import BrowserCamera, Start, angle_of
from tests.tolerances import ROTATIONS
from tests.viewer.small_sights import CENTRE, SPACE, camera_around, tilted

UP = np.array([0.0, 1.0, 0.0])

places = st.tuples(
    st.floats(-180, 180), st.floats(-90, 90), st.integers(1, 9), st.integers(1, 9)
)


@given(place=places, turn=st.floats(-180, 180))
def test_it_sees_the_same(place: tuple, turn: float):
    camera = tilted(camera_around(*place), turn)
    there = BrowserCamera.of(camera).camera(camera.height)
    assert (there.width, there.height) == (camera.width, camera.height)
    np.testing.assert_allclose(there.pose, camera.pose, atol=ROTATIONS)
    np.testing.assert_allclose(there.corners, camera.corners, atol=ROTATIONS)


@given(place=places, turn=st.floats(-180, 180))
def test_axes_are_right_down_forward(place: tuple, turn: float):
    camera = tilted(camera_around(*place), turn)
    axes = SO3(BrowserCamera.of(camera).wxyz).as_matrix()
    right, up, back = camera.pose[:3, :3].T
    np.testing.assert_allclose(axes.T, [right, -up, -back], atol=ROTATIONS)


def test_pixels_may_be_higher_than_wide():
    camera = Camera(pose=np.eye(4), width=8, height=6, focal=(10.0, 5.0))
    seen = BrowserCamera.of(camera)
    assert seen.aspect == pytest.approx((8 / 10) / (6 / 5))
    assert math.tan(seen.angle / 2) == pytest.approx(3 / 5)
    np.testing.assert_allclose(seen.camera(6).corners, camera.corners, atol=ROTATIONS)


@pytest.mark.parametrize("height", [1, 3, 16, 1000])
@pytest.mark.parametrize("aspect", [0.3, 1.0, 1.7772])
def test_a_picture_of_any_height_fills_the_window(height: int, aspect: float):
    window = BrowserCamera(
        wxyz=np.array([0.0, 1.0, 0.0, 0.0]),
        position=np.zeros(3),
        angle=math.radians(90),
        aspect=aspect,
    )
    camera = window.camera(height)
    assert camera.width == max(round(aspect * height), 1)
    corner = camera.corners[2] / -camera.corners[2, 2]
    np.testing.assert_allclose(corner, [aspect, -1.0, -1.0], atol=ROTATIONS)


def test_the_beginning_is_a_known_camera():
    camera = camera_around()
    start = Start.at(camera, SPACE, UP)
    np.testing.assert_array_equal(start.position, camera.position)
    np.testing.assert_allclose(start.target, CENTRE, atol=ROTATIONS)
    assert start.angle == angle_of(camera) == pytest.approx(math.radians(30))
    np.testing.assert_array_equal(start.up, UP)


def test_a_camera_that_looks_away_begins_looking_away():
    pose = camera_around().pose @ np.diag([-1.0, 1.0, -1.0, 1.0])
    camera = Camera(pose=pose, width=4, height=4, focal=(4.0, 4.0))
    start = Start.at(camera, SPACE, UP)
    along = (start.target - start.position) @ -pose[:3, 2]
    assert along == pytest.approx(math.sqrt(3))


def test_without_cameras_the_box_is_seen_from_outside():
    start = Start.before(SPACE)
    distance = np.linalg.norm(start.position - CENTRE)
    np.testing.assert_allclose(start.target, CENTRE)
    assert distance == pytest.approx(2 * math.sqrt(3))
    # From there, a ball around the box fits between top and bottom, nearly.
    assert math.sqrt(3) / distance < 1.5 * math.sin(start.angle / 2) / math.sin(0.35)
    np.testing.assert_array_equal(start.up, [0.0, 0.0, 1.0])


def test_without_cameras_a_place_is_seen_from_within():
    space = SceneSpace(low=SPACE.low, high=SPACE.high, cascades=3)
    start = Start.before(space)
    assert (np.array(space.low) < start.position).all()
    assert (start.position < np.array(space.high)).all()


def test_without_cameras_a_view_out_of_a_window_begins_in_its_middle():
    frame = NdcFrame(x_scale=1.5, y_scale=2.0, near=1.0)
    space = SceneSpace(low=NDC_LOW, high=NDC_HIGH, near=0.0, far=1.0, ndc=frame)
    start = Start.before(space)
    np.testing.assert_array_equal(start.position, 0)
    np.testing.assert_allclose(start.target, [0.0, 0.0, -2.0], atol=1e-6)
    # y_scale is twice the focal length over the height.
    assert math.tan(start.angle / 2) == pytest.approx(1 / 2)
    np.testing.assert_array_equal(start.up, UP)
