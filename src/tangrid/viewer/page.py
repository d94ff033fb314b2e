"""A page that browsers open: viser's server, from its start to its end."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import rich

from tangrid.errors import ConfigError
from tangrid.viewer.browser_camera import Start
from tangrid.viewer.port import find_port

if TYPE_CHECKING:
    import viser

_NOWHERE = ("0.0.0.0", "::")
"""Addresses to listen on that no browser can open."""


def check_viser() -> None:
    """Refuse to show anything where the library for it is missing.

    Raises:
        ConfigError: If viser is not installed.
    """
    try:
        import viser  # noqa: F401, PLC0415
    except ImportError as error:
        raise ConfigError(
            "tangrid view: expected the package 'viser', which shows fields in a "
            "browser, got none installed. Install it with `pip install "
            "'tangrid[view]'`."
        ) from error


class Page:
    """Serve a page; use it in a ``with`` statement.

    Args:
        host: Address of this machine to listen on.
        port: Port to listen on, 0 for any; None for 8080 or the next that is free.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int | None = None) -> None:
        self._host = host
        self._wanted = port
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._server: viser.ViserServer | None = None

    def __enter__(self) -> Self:
        """Return itself, when browsers can open it.

        Raises:
            ConfigError: If viser is missing, or the port cannot be had.
        """
        check_viser()
        import viser  # noqa: PLC0415

        port = find_port(self._host, self._wanted)
        # A browser may leave while its picture is drawn, or before it says a word.
        warnings.filterwarnings("ignore", "Queued a .* on a closed connection")
        logging.getLogger("websockets.server").addFilter(_is_news)
        with _silence():
            self._server = viser.ViserServer(
                host=self._host, port=port, label="tangrid", verbose=False
            )
        # It would show what it serves to everyone, through servers of others.
        self._server.gui.configure_theme(show_share_button=False)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        with _silence():
            self.server.stop()
        self._server = None

    @property
    def server(self) -> "viser.ViserServer":
        """The server, while it runs."""
        assert self._server is not None, "a page is used in a with statement"
        return self._server

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self.server.get_port()

    @property
    def address(self) -> str:
        """What one opens in a browser on this machine."""
        host = "localhost" if self._host in _NOWHERE else self._host
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"

    def begin_at(self, start: Start) -> None:
        """Say where the cameras of new windows stand.

        Args:
            start: Their place.
        """
        self.server.scene.set_up_direction(start.up)
        camera = self.server.initial_camera
        camera.position, camera.look_at = start.position, start.target
        camera.fov = start.angle

    def fail(self, error: Exception) -> None:
        """End the waiting with an error.

        Args:
            error: What went wrong.
        """
        self._failure = error
        self._over.set()

    def wait(self) -> None:
        """Wait for an interrupt, or until something fails."""
        self._over.wait()
        if self._failure is not None:
            raise self._failure


def _is_news(record: logging.LogRecord) -> bool:
    return record.getMessage() != "opening handshake failed"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep viser from saying in its own words what the command says in its."""
    console = rich.get_console()
    before = console.quiet
    console.quiet = True
    try:
        yield
    finally:
        console.quiet = before
