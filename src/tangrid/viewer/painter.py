"""A thread that draws what browsers want to see: the newest first, coarse to fine."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import UInt8

from tangrid.errors import ConfigError
from tangrid.fields.workers import Workers
from tangrid.rendering.views import RadianceScene
from tangrid.signals.camera import Camera
from tangrid.viewer.sight import Sight, picture, render_while_wanted

_PREVIEW_SECONDS = 0.1
"""How long the first picture of a new view may take."""
_STRIP_SECONDS = 0.05
"""How long nobody asks whether a picture is still wanted."""
_REST_SECONDS = 0.15
"""How long all cameras must rest before pictures become finer."""
_FIRST_SPEED = 20_000.0
"""Rays per second before any were counted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Painting:
    """A picture for a browser."""

    sight: Sight
    """What it shows."""
    pixels: UInt8[np.ndarray, "h w 3"]
    """The picture."""
    is_finest: bool
    """Whether no finer one follows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Order:
    viewer: int
    number: int
    sight: Sight
    heights: tuple[int, ...]
    level: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        # The oldest of the newest: no viewer waits for another that never rests.
        return self.level, self.number


class Painter:
    """Draw what is asked for on a thread of its own; use it in a ``with`` statement.

    One picture is drawn at a time. Every viewer's newest sight counts: a small picture
    of it comes first, and finer ones follow when all cameras rest. A new sight ends the
    drawing of a finer picture, but not that of a first one, so that a camera that never
    rests is followed, too.

    Args:
        scene: What is drawn.
        show: Is given every picture, with the number of its viewer.
        on_failure: Is given the error that ended the thread.
        threads: Threads to draw with; None for all that the process may use.
    """

    def __init__(
        self,
        scene: RadianceScene,
        show: Callable[[int, Painting], None],
        on_failure: Callable[[Exception], None],
        *,
        threads: int | None = None,
    ) -> None:
        self._scene = scene
        self._show = show
        self._on_failure = on_failure
        self._num_threads = threads
        self._speed = _FIRST_SPEED
        self._changed = threading.Condition()
        self._orders: dict[int, _Order] = {}
        self._number = 0
        self._asked = 0.0
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="painter", daemon=True)

    def __enter__(self) -> Self:
        """Return itself, waiting for something to draw."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread; what it draws is given up."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join()

    def ask(self, viewer: int, sight: Sight) -> None:
        """Have something drawn, instead of what the viewer has asked for before.

        Args:
            viewer: Number of the viewer.
            sight: What it wants to see.
        """
        with self._changed:
            self._number += 1
            self._asked = time.monotonic()
            self._orders[viewer] = _Order(
                viewer=viewer,
                number=self._number,
                sight=sight,
                heights=tuple(sight.heights(self._speed * _PREVIEW_SECONDS)),
            )
            self._changed.notify_all()

    def forget(self, viewer: int) -> None:
        """Draw nothing more for a viewer.

        Args:
            viewer: Its number.
        """
        with self._changed:
            self._orders.pop(viewer, None)

    def _work(self) -> None:
        try:
            device = self._scene.field.device
            with Workers(self._num_threads, device) as workers:
                while (found := self._next()) is not None:
                    self._draw(*found, workers)
        except Exception as error:
            self._on_failure(error)

    def _next(self) -> tuple[_Order, int] | None:
        """Return the next order, when there is one, and the newest number; or None."""
        with self._changed:
            while not self._is_over:
                order = min(
                    self._orders.values(), key=lambda one: one.rank, default=None
                )
                wait = None
                if order is not None:
                    rested = time.monotonic() - self._asked
                    wait = _REST_SECONDS - rested if order.level else 0.0
                    if wait <= 0:
                        return order, self._number
                self._changed.wait(wait)
        return None

    def _draw(self, order: _Order, newest: int, workers: Workers) -> None:
        camera = _camera_of(order)
        if camera is None:
            self._drop(order)
            return

        def is_stale() -> bool:
            is_passed = order.level > 0 and self._number != newest
            return self._is_over or is_passed

        start = time.monotonic()
        try:
            seen = render_while_wanted(
                self._scene,
                camera,
                workers,
                rays_at_once=self._speed * _STRIP_SECONDS,
                is_stale=is_stale,
            )
        except ConfigError:
            # So far away that single precision does not tell two samples apart.
            self._drop(order)
            return
        if seen is None:
            return
        seconds = time.monotonic() - start
        speed = camera.width * camera.height / max(seconds, 1e-6)
        with self._changed:
            self._speed = (self._speed + speed) / 2
            if order.viewer not in self._orders:
                return
        painting = Painting(
            sight=order.sight,
            pixels=picture(seen, order.sight.style),
            is_finest=order.level == len(order.heights) - 1,
        )
        self._show(order.viewer, painting)
        with self._changed:
            if self._orders.get(order.viewer) is not order:
                return
            if painting.is_finest:
                del self._orders[order.viewer]
            else:
                self._orders[order.viewer] = replace(order, level=order.level + 1)

    def _drop(self, order: _Order) -> None:
        """Forget an order, if nothing newer has taken its place."""
        with self._changed:
            if self._orders.get(order.viewer) is order:
                del self._orders[order.viewer]


def _camera_of(order: _Order) -> Camera | None:
    """Return where an order is seen from; None if that is nowhere.

    Browsers send what they like, and one of them must not end the page for all.
    """
    try:
        return order.sight.camera.camera(order.heights[order.level])
    except (ConfigError, ValueError, ArithmeticError):
        return None
