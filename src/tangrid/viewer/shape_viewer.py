"""A fitted shape in browsers, as a mesh that they draw themselves."""

import numpy as np
from jaxtyping import Float, Int64

from tangrid.viewer.browser_camera import Y_UP, Start
from tangrid.viewer.page import Page

_COLOUR = (160, 158, 152)
_PLACE = np.array([0.45, 0.28, 0.85])
"""Where a camera stands, seen from the shape; y is up."""
_DISTANCE = 1.6


def show_shape(
    page: Page,
    vertices: Float[np.ndarray, "v 3"],
    faces: Int64[np.ndarray, "f 3"],
) -> None:
    """Show a surface.

    Args:
        page: Where.
        vertices: Its corners.
        faces: Corners of each triangle, counter-clockwise from outside.
    """
    low, high = vertices.min(0), vertices.max(0)
    middle, size = (low + high) / 2, float(np.linalg.norm(high - low))
    page.begin_at(
        Start(position=middle + _DISTANCE * size * _PLACE, target=middle, up=Y_UP)
    )
    page.server.initial_camera.near = size / 1000
    page.server.initial_camera.far = size * 100
    page.server.scene.add_mesh_simple(
        "/surface", vertices, faces, color=_COLOUR, side="double"
    )
