"""``tangrid view RUN``: look around a fitted scene or shape in a browser."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.flag_types import Count, Device
from tangrid.cli.flags import PluginFlags, check_device, check_threads, device_named
from tangrid.cli.plugin import load_plugin
from tangrid.errors import ConfigError, DataError

if TYPE_CHECKING:
    from tangrid.viewer.page import Page


@dataclass(frozen=True, kw_only=True)
class ViewRequest:
    """Look around a fitted scene or shape in a browser, until Ctrl-C.

    A scene is drawn for the browser's camera: coarsely while it moves, then finely.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of a fit of a scene or of a signed distance."""
    port: Count = None
    """Port to listen on (default: 8080, or the next that is free)."""
    host: Annotated[str, arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on; 0.0.0.0 shows the page to every machine that reaches it."""
    height: Count = None
    """Pixels of a scene's finest picture, top to bottom, at first (default: 480)."""
    threads: Count = None
    """Threads to draw with (default: all that this process may)."""
    device: Device = "cpu"
    """Where to compute: cpu, cuda, cuda:1 and so on, or auto (a GPU, if there is)."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: ViewRequest, command: Sequence[str]) -> None:
    """Show the field until the user ends it.

    Args:
        request: What was asked for.
        command: The whole command.

    Raises:
        DataError: If the run fitted an image.
        ConfigError: If something is asked for that cannot be had.
    """
    del command
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.cli.run_folder import named_folder  # noqa: PLC0415
    from tangrid.cli.view_run import scene_shown, shape_shown  # noqa: PLC0415
    from tangrid.experiments import FitScene, FitSdf, load  # noqa: PLC0415
    from tangrid.viewer.page import Page, check_viser  # noqa: PLC0415
    from tangrid.viewer.port import find_port  # noqa: PLC0415

    load_plugin(request.other.plugin)
    check_threads(request.threads)
    check_device(request.device)
    _check_height(request.height)
    check_viser()
    # Now, too: a wrong address should be told before everything is read.
    find_port(request.host, request.port)
    folder = named_folder(request.run)
    fitted = load(folder, device=device_named(request.device))
    page = Page(host=request.host, port=request.port)
    if isinstance(fitted.experiment, FitScene):
        shown = scene_shown(request, fitted, page)
    elif isinstance(fitted.experiment, FitSdf):
        if request.height is not None:
            raise ConfigError(
                "--height: expected a fit of a scene, got one of a signed distance, "
                "which the browser draws itself. Leave --height out."
            )
        shown = shape_shown(request, fitted, page)
    else:
        raise DataError(
            f"{folder}: expected a fit of a scene or of a signed distance, got one of "
            f"an image. Draw it with `tangrid render {request.run}`."
        )
    try:
        with shown:
            _tell(page, request.port)
            page.wait()
    except KeyboardInterrupt:
        print("\nThe viewer has ended.", file=sys.stderr)


def _check_height(height: int | None) -> None:
    from tangrid.viewer.scene_viewer import HEIGHTS  # noqa: PLC0415

    low, high = HEIGHTS
    if height is not None and not low <= height <= high:
        raise ConfigError(
            f"--height: expected {low} to {high} pixels, got {height}. It can be "
            "changed on the page."
        )


def _tell(page: "Page", wanted: int | None) -> None:
    from tangrid.viewer.port import USUAL_PORT  # noqa: PLC0415

    if wanted is None and page.port != USUAL_PORT:
        print(
            f"tangrid: another program listens on port {USUAL_PORT}; {page.port} is "
            "the next that is free.",
            file=sys.stderr,
        )
    print(page.address)
    # At once, also where nobody reads before the end.
    print("Open it in a browser; Ctrl-C ends it.", flush=True)
