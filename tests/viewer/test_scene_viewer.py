"""A scene in a browser: its camera is the one asked for, and it shows its picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.signals.camera import Camera
from tangrid.viewer.browser_camera import Start
from tangrid.viewer.page import Page
from tangrid.viewer.painter import Painting
from tangrid.viewer.scene_viewer import SceneViewer
from tangrid.viewer.sight import Style, picture
from tests.tolerances import STRIPS
from tests.viewer.chromium import Tab, tab
from tests.viewer.small_sights import brick_scene, camera_around, truth
from tests.viewer.waiting import soon

HEIGHT = 96
UP = np.array([0.0, 1.0, 0.0])
CLICK = """
[...document.querySelectorAll("label")]
  .filter(label => label.textContent == "training cameras")
  .map(label => document.getElementById(label.htmlFor).click()).length
"""
SAME_PLACE = 1e-6
"""Largest difference between a pose and what a browser makes of it."""
ALIKE = 2.0
"""Mean difference, of 255, between a picture and the browser's own enlargement."""


def newest(viewer: SceneViewer) -> Painting | None:
    return next(iter(viewer.paintings.values()), None)


def shows(viewer: SceneViewer, style: Style) -> bool:
    painting = newest(viewer)
    return painting is not None and painting.is_finest and painting.sight.style == style


def looks_from(viewer: SceneViewer, camera: Camera) -> bool:
    painting = newest(viewer)
    if painting is None:
        return False
    pose = painting.sight.camera.camera(HEIGHT).pose
    return bool(np.abs(pose - camera.pose).max() < SAME_PLACE)


def screen_shows(opened: Tab, painting: Painting) -> bool:
    """Whether the lower half of the window, where no controls are, is the picture."""
    screen = opened.screenshot()
    height, width, _ = screen.shape
    large = Image.fromarray(painting.pixels).resize((width, height))
    difference = np.abs(np.asarray(large, float) - screen)[height // 2 :]
    return float(difference.mean()) < ALIKE


@pytest.mark.browser
def test_a_browser_shows_the_scene_from_a_known_camera(tmp_path: Path):
    scene, camera = brick_scene(), camera_around()
    cameras = [camera_around(azimuth) for azimuth in (0.0, 90.0)]
    style = Style(height=HEIGHT)
    with (
        Page(port=0) as page,
        SceneViewer(
            page,
            scene,
            Start.at(camera, scene.space, UP),
            cameras=cameras,
            style=style,
            threads=1,
        ) as viewer,
        tab(page.address, tmp_path) as opened,
    ):
        # A window opens with a camera of its own, and is told of ours at once.
        assert soon(lambda: shows(viewer, style) and looks_from(viewer, camera))
        (client,) = page.server.get_clients().values()
        np.testing.assert_allclose(client.camera.up_direction, UP, atol=1e-6)
        painting = newest(viewer)
        assert painting is not None
        there = painting.sight.camera.camera(HEIGHT)
        assert painting.sight.camera.angle == pytest.approx(np.radians(30), abs=1e-6)
        exact = picture(truth(scene, there), style).astype(int)
        assert np.abs(painting.pixels - exact).max() <= 255 * STRIPS + 1
        assert exact[HEIGHT // 2 :].std() > 10
        assert soon(lambda: screen_shows(opened, painting))
        for turned in (painting.pixels[:, ::-1], painting.pixels[::-1]):
            assert not screen_shows(opened, replace(painting, pixels=turned))
        before = opened.screenshot()
        clicked = opened.call("Runtime.evaluate", expression=CLICK)
        assert clicked["result"]["value"] == 1
        assert soon(lambda: np.abs(opened.screenshot().astype(int) - before).max() > 50)
        dark = Style(height=HEIGHT, background="black")
        viewer.restyle(dark)
        assert soon(lambda: shows(viewer, dark))
        assert newest(viewer).pixels[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("cameras", [[], [camera_around()]])
def test_it_begins_and_ends_without_a_browser(cameras: list):
    scene = brick_scene()
    start = Start.before(scene.space)
    with Page(port=0) as page, SceneViewer(page, scene, start, cameras=cameras) as one:
        initial = page.server.initial_camera
        np.testing.assert_allclose(initial.position, start.position)
        np.testing.assert_allclose(initial.look_at, start.target)
        assert initial.fov == start.angle
        assert not one.paintings
        one.restyle(Style(mode="depth"))
