"""Put a fitted scene or shape on a page, with what is known of its cameras."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from tangrid.cli.view import ViewRequest
from tangrid.errors import ConfigError, DataError
from tangrid.experiments.fit_scene import fit_of_scene, radiance_of
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.scene_cameras import kept_cameras
from tangrid.experiments.shape_output import own_surface
from tangrid.progress import bar
from tangrid.rendering.camera_tours import upward
from tangrid.rendering.scene_space import SceneSpace
from tangrid.signals.camera import Camera
from tangrid.tasks.view_protocols import find_protocol
from tangrid.viewer.browser_camera import Start
from tangrid.viewer.page import Page
from tangrid.viewer.scene_viewer import SceneViewer
from tangrid.viewer.shape_viewer import show_shape
from tangrid.viewer.sight import Style, unclipped

_CELLS = 256
"""Cells along each side of the box in which the surface of a shape is looked for."""


@contextmanager
def scene_shown(request: ViewRequest, run: FittedRun, page: Page) -> Iterator[None]:
    """Show a fitted scene while the block runs.

    Args:
        request: What was asked for.
        run: The fit.
        page: Where it is shown; opened here.
    """
    experiment = fit_of_scene(run)
    cameras, start = _cameras(run, experiment.space)
    style = Style(background=find_protocol(experiment.judge.protocol).background)
    if request.height is not None:
        style = replace(style, height=request.height)
    viewer = SceneViewer(
        page,
        unclipped(radiance_of(run)),
        start,
        cameras=cameras,
        style=style,
        threads=request.threads,
    )
    with page, viewer:
        yield


def _cameras(run: FittedRun, space: SceneSpace) -> tuple[Sequence[Camera], Start]:
    """Return the training cameras, and where to begin; says what is not known."""
    try:
        kept = kept_cameras(run.folder)
    except (ConfigError, DataError) as error:
        print(
            "tangrid: the view begins at a place of its own, and no cameras are shown. "
            f"{error}",
            file=sys.stderr,
        )
        return (), Start.before(space)
    training = [view.camera for view in kept.training]
    first = (kept.heldout or kept.training)[0].camera
    try:
        up = upward(training)
    except ConfigError:
        print(
            "tangrid: the training cameras are held every way; what is up in the first "
            "view counts as up.",
            file=sys.stderr,
        )
        up = first.pose[:3, 1]
    return training, Start.at(first, space, up)


@contextmanager
def shape_shown(request: ViewRequest, run: FittedRun, page: Page) -> Iterator[None]:
    """Show the surface of a fitted shape while the block runs.

    Args:
        request: What was asked for.
        run: The fit.
        page: Where it is shown; opened here.
    """
    with bar("looking for the surface") as show:
        surface = own_surface(run, _CELLS, threads=request.threads, on_block=show)
    with page:
        show_shape(page, surface.vertices, surface.faces)
        yield
