"""A fitted scene in browsers: each sees what its own camera sees of the field."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self, get_args

import numpy as np

from tangrid.rendering.views import RadianceScene
from tangrid.signals.camera import Camera
from tangrid.signals.scene import Background
from tangrid.viewer.browser_camera import BrowserCamera, Start
from tangrid.viewer.page import Page
from tangrid.viewer.painter import Painter, Painting
from tangrid.viewer.sight import Mode, Sight, Style

if TYPE_CHECKING:
    import viser

HEIGHTS = (64, 1440)
"""Least and largest height of the finest picture, in pixels."""
_FRUSTUM = 0.04
"""Length of a drawn camera, as a share of how far the cameras are apart."""
_FRUSTUM_COLOUR = (194, 87, 26)
_JPEG_QUALITY = 85


class SceneViewer:
    """Draw a radiance field for every browser that has a page open.

    Use it in a ``with`` statement.

    Args:
        page: The page.
        scene: What is shown.
        start: Where the camera of a new window stands.
        cameras: Cameras that can be drawn into the scene.
        style: How the field is shown at first.
        threads: Threads to draw with; None for all that the process may use.
    """

    def __init__(
        self,
        page: Page,
        scene: RadianceScene,
        start: Start,
        *,
        cameras: Sequence[Camera] = (),
        style: Style | None = None,
        threads: int | None = None,
    ) -> None:
        self._page = page
        self._style = style or Style()
        self._painter = Painter(scene, self._show, page.fail, threads=threads)
        self._start = start
        self._cameras = cameras
        self.paintings: dict[int, Painting] = {}
        """The newest picture of every viewer."""

    def __enter__(self) -> Self:
        """Return itself, ready for browsers."""
        self._painter.__enter__()
        self._page.begin_at(self._start)
        self._add_controls()
        server = self._page.server
        server.on_client_disconnect(self._leave)
        server.on_client_connect(self._welcome)
        return self

    def __exit__(self, *_: object) -> None:
        """Draw nothing more."""
        self._painter.__exit__()

    def restyle(self, style: Style) -> None:
        """Show the field in another way, in all browsers.

        Args:
            style: How.
        """
        self._style = style
        for viewer, client in self._page.server.get_clients().items():
            self._ask(viewer, client.camera)

    async def _welcome(self, client: "viser.ClientHandle") -> None:
        async def look(camera: "viser.CameraHandle") -> None:
            self._ask(client.client_id, camera)

        # Not on viser's threads: those would take turns in any order.
        client.camera.on_update(look)
        self._ask(client.client_id, client.camera)

    async def _leave(self, client: "viser.ClientHandle") -> None:
        self._painter.forget(client.client_id)
        self.paintings.pop(client.client_id, None)

    def _ask(self, viewer: int, camera: "viser.CameraHandle") -> None:
        width, height = camera.image_width, camera.image_height
        if min(width, height) < 1:
            return  # a window that is folded away
        seen_from = BrowserCamera(
            wxyz=camera.wxyz,
            position=camera.position,
            angle=camera.fov,
            aspect=width / height,
        )
        # More pixels than the window has would be drawn for nothing.
        style = replace(self._style, height=min(self._style.height, height))
        self._painter.ask(viewer, Sight(camera=seen_from, style=style))

    def _show(self, viewer: int, painting: Painting) -> None:
        client = self._page.server.get_clients().get(viewer)
        if client is None:
            return
        client.scene.set_background_image(
            painting.pixels,
            format="png" if painting.is_finest else "jpeg",
            jpeg_quality=_JPEG_QUALITY,
        )
        self.paintings[viewer] = painting

    def _add_controls(self) -> None:
        gui, style = self._page.server.gui, self._style
        mode = gui.add_dropdown("show", get_args(Mode), initial_value=style.mode)
        background = gui.add_dropdown(
            "background", get_args(Background), initial_value=style.background
        )
        height = gui.add_slider(
            "resolution",
            min=HEIGHTS[0],
            max=HEIGHTS[1],
            step=8,
            initial_value=style.height,
            hint="Pixels of the finest picture, top to bottom; at most the window's",
        )

        async def follow(_: object) -> None:
            self.restyle(
                Style(mode=mode.value, background=background.value, height=height.value)
            )

        for control in (mode, background, height):
            control.on_update(follow)
        if self._cameras:
            self._add_cameras()

    def _add_cameras(self) -> None:
        server = self._page.server
        shown = server.gui.add_checkbox("training cameras", initial_value=False)
        places = np.stack([camera.position for camera in self._cameras])
        extent = float(np.ptp(places, axis=0).max()) or 1.0
        group = server.scene.add_frame("/cameras", show_axes=False, visible=False)
        for number, camera in enumerate(self._cameras):
            one = BrowserCamera.of(camera)
            server.scene.add_camera_frustum(
                f"/cameras/{number}",
                fov=one.angle,
                aspect=one.aspect,
                scale=_FRUSTUM * extent,
                thickness=1.5,
                thickness_units="screen",
                color=_FRUSTUM_COLOUR,
                wxyz=one.wxyz,
                position=one.position,
            )

        @shown.on_update
        def _(_: object) -> None:
            group.visible = shown.value
