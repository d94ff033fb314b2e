"""The painter: coarse pictures at once, fine ones at rest, the newest sight counts."""

import dataclasses
import math
import threading
import time

import numpy as np
import pytest

from tangrid.fields.workers import Workers
from tangrid.rendering.views import RadianceScene
from tangrid.viewer.browser_camera import BrowserCamera
from tangrid.viewer.painter import Painter, Painting
from tangrid.viewer.sight import Sight, Style, picture
from tests.tolerances import STRIPS
from tests.viewer.small_sights import (
    CENTRE,
    SPACE,
    brick_scene,
    camera_around,
    truth,
)
from tests.viewer.waiting import soon


class Gallery:
    """What a painter has shown, and whether it failed."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, Painting]] = []
        self.failures: list[Exception] = []

    def show(self, viewer: int, painting: Painting) -> None:
        self.shown.append((viewer, painting))

    def of(self, viewer: int) -> list[Painting]:
        return [painting for number, painting in self.shown if number == viewer]

    def is_done(self, viewer: int, sight: Sight) -> bool:
        return any(one.is_finest and one.sight is sight for one in self.of(viewer))

    def painter(self, scene: RadianceScene) -> Painter:
        return Painter(scene, self.show, self.failures.append, threads=1)


def sight(azimuth: float = 35.0, height: int = 64) -> Sight:
    camera = camera_around(azimuth, width=96, height=64)
    return Sight(camera=BrowserCamera.of(camera), style=Style(height=height))


@pytest.fixture
def gallery() -> Gallery:
    return Gallery()


def test_pictures_come_from_coarse_to_fine(gallery: Gallery):
    wanted = sight()
    with gallery.painter(brick_scene()) as painter:
        painter.ask(7, wanted)
        assert soon(lambda: gallery.is_done(7, wanted))
    heights = [one.pixels.shape[0] for one in gallery.of(7)]
    assert heights == [32, 64]
    assert [one.is_finest for one in gallery.of(7)] == [False, True]
    exact = picture(truth(brick_scene(), wanted.camera.camera(64)), wanted.style)
    found = gallery.of(7)[-1].pixels.astype(int)
    assert np.abs(found - exact).max() <= 255 * STRIPS + 1
    assert not gallery.failures


def test_the_newest_sight_counts(gallery: Gallery):
    sights = [sight(float(azimuth)) for azimuth in range(40)]
    with gallery.painter(brick_scene()) as painter:
        for one in sights:
            painter.ask(0, one)
        assert soon(lambda: gallery.is_done(0, sights[-1]))
        time.sleep(0.1)
    shown = gallery.of(0)
    assert sum(one.is_finest for one in shown) == 1
    assert len(shown) < 10, "most of them were passed over"


def test_a_camera_that_never_rests_is_followed(gallery: Gallery):
    def shows_three() -> bool:
        painter.ask(0, sight(float(len(gallery.shown)), height=512))
        return len(gallery.shown) >= 3

    with gallery.painter(brick_scene()) as painter:
        assert soon(shows_three)
    assert not any(one.is_finest for one in gallery.of(0))


def test_a_finer_picture_is_given_up_for_a_new_sight(gallery: Gallery):
    slow, quick = sight(height=2048), sight(10.0, height=16)
    with gallery.painter(brick_scene()) as painter:
        painter.ask(0, slow)
        assert soon(lambda: len(gallery.shown) > 1)
        painter.ask(0, quick)
        start = time.monotonic()
        assert soon(lambda: gallery.is_done(0, quick))
        seconds = time.monotonic() - start
    assert not gallery.is_done(0, slow)
    assert seconds < 5


def test_two_viewers_are_both_served(gallery: Gallery):
    sights = {0: sight(0.0), 1: sight(90.0)}
    with gallery.painter(brick_scene()) as painter:
        for viewer, wanted in sights.items():
            painter.ask(viewer, wanted)
        assert soon(lambda: all(gallery.is_done(*one) for one in sights.items()))
    assert len(gallery.of(0)) == len(gallery.of(1)) == 2
    # Both have a first picture before one has a fine one.
    assert [viewer for viewer, _ in gallery.shown[:2]] == [0, 1]


def test_who_has_left_is_shown_nothing(gallery: Gallery):
    with gallery.painter(brick_scene()) as painter:
        painter.ask(0, sight(height=512))
        assert soon(lambda: gallery.shown)
        painter.forget(0)
        last = sight(height=16)
        painter.ask(1, last)
        assert soon(lambda: gallery.is_done(1, last))
        assert len(gallery.of(0)) <= 2
        painter.forget(9)


def test_an_error_is_told(gallery: Gallery):
    def fail(viewer: int, painting: Painting) -> None:
        raise OSError("nobody is there")

    with Painter(brick_scene(), fail, gallery.failures.append, threads=1) as painter:
        painter.ask(0, sight())
        assert soon(lambda: gallery.failures)
        painter.ask(0, sight())
    assert [str(error) for error in gallery.failures] == ["nobody is there"]


def test_a_new_sight_counts_as_soon_as_an_order_is_taken(gallery: Gallery):
    """A finer picture is given up also for what came before its drawing began."""
    painter = gallery.painter(brick_scene())
    painter.ask(0, sight(height=512))
    taken = painter._next()
    assert taken is not None
    order, newest = taken
    painter.ask(1, sight(10.0))
    finer = dataclasses.replace(order, level=1)
    with Workers(1) as workers:
        painter._draw(finer, newest, workers)
        assert not gallery.shown
        painter._draw(order, newest, workers)
    assert len(gallery.of(0)) == 1


FAR_SPACE = dataclasses.replace(SPACE, near=0.0, far=1e9)
AHEAD = np.array([1.0, 0.0, 0.0, 0.0])
"""Turned so that it looks along +z of the world."""


@pytest.mark.parametrize(
    "change",
    [
        {"position": np.array([np.nan, 0.0, 0.0])},
        {"position": np.array([1e20, 0.0, 0.0])},
        {"wxyz": np.zeros(4)},
        {"wxyz": np.full(4, np.nan)},
        {"angle": 0.0},
        {"angle": math.nan},
        {"aspect": math.nan},
        {"aspect": math.inf},
        {"position": np.array(CENTRE) - [0.0, 0.0, 1e6], "wxyz": AHEAD, "angle": 1e-5},
    ],
)
def test_a_camera_that_is_none_is_passed_over(change: dict, gallery: Gallery):
    fine = sight(height=16)
    wrong = Sight(
        camera=dataclasses.replace(fine.camera, **change), style=Style(height=16)
    )
    with gallery.painter(brick_scene(FAR_SPACE)) as painter:
        painter.ask(0, wrong)
        painter.ask(1, fine)
        assert soon(lambda: gallery.is_done(1, fine))
        painter.ask(0, fine)
        assert soon(lambda: gallery.is_done(0, fine))
    assert not gallery.failures
    assert all(one.sight is fine for one in gallery.of(0))


def test_it_ends_while_it_draws(gallery: Gallery):
    before = threading.active_count()
    with gallery.painter(brick_scene()) as painter:
        painter.ask(0, sight(height=2048))
        assert soon(lambda: gallery.shown)
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert threading.active_count() <= before
