"""Put a fitted scene or shape on a page, with what is known of its cameras."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tangrid.cli.view import ViewRequest
from tangrid.errors import TangridError
from tangrid.experiments.fit_scene import (
    FitScene,
    fit_of_scene,
    heldout_views,
    radiance_of,
)
from tangrid.experiments.fitting import FittedRun
from tangrid.experiments.shape_output import own_surface
from tangrid.progress import bar
from tangrid.signals.scene import Scene
from tangrid.tasks.view_protocols import find_protocol
from tangrid.viewer.browser_camera import Start, upright
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
    radiance = unclipped(radiance_of(run))
    signal = None if request.no_cameras else _photographs(experiment)
    if signal is None:
        cameras, start = [], Start.before(experiment.space)
    else:
        cameras = [view.camera for view in signal.of_split("train")]
        first = heldout_views(signal)[0].camera
        start = Start.at(first, experiment.space, upright(cameras))
    background = find_protocol(experiment.judge.protocol).background
    viewer = SceneViewer(
        page,
        radiance,
        start,
        cameras=cameras,
        style=Style(background=background),
        threads=request.threads,
    )
    with page, viewer:
        yield


def _photographs(experiment: FitScene) -> Scene | None:
    """Return the photographs of a fit, or say why they are not there."""
    try:
        with bar("reading photographs") as show:
            signal = experiment.signal.open(show)
    except TangridError as error:
        print(
            f"tangrid: no cameras are known, and the view begins before the box. "
            f"{error}",
            file=sys.stderr,
        )
        return None
    if signal.digest != experiment.digest:
        print(
            f"tangrid: {signal.name}: the photographs or their cameras have changed "
            "since the fit; cameras are drawn where they are now.",
            file=sys.stderr,
        )
    return signal


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
