"""Find a port to listen on before a server waits for it."""

import errno
import socket

from tangrid.errors import ConfigError

USUAL_PORT = 8080
"""Where a viewer listens if nothing else is asked for, and nobody else is there."""

_LARGEST_PORT = 2**16 - 1
_TRIED = 100
"""Ports that are tried one after the other."""


def find_port(host: str, port: int | None) -> int:
    """Return a port that is free.

    Args:
        host: Address of this machine to listen on.
        port: The port that is asked for, 0 for any that is free; None for the usual
            one or the next that is free.

    Raises:
        ConfigError: If the address is none of this machine's, or the port is taken.
    """
    if port is None:
        tried = range(USUAL_PORT, USUAL_PORT + _TRIED)
        free = (number for number in tried if _is_free(host, number))
        found = next(free, None)
        if found is None:
            raise ConfigError(
                f"--port: expected a free port from {tried[0]} to {tried[-1]}, got "
                "none. Name another one."
            )
        return found
    if not 0 <= port <= _LARGEST_PORT:
        raise ConfigError(
            f"--port: expected 0 to {_LARGEST_PORT}, got {port}. Leave it out for "
            f"{USUAL_PORT} or the next that is free."
        )
    if not _is_free(host, port):
        raise ConfigError(
            f"--port: expected one that is free, got {port}, where another program "
            "listens. Name another one, or leave it out for the next that is free."
        )
    return port


def _is_free(host: str, port: int) -> bool:
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for family, kind, _, _, place in places:
            with socket.socket(family, kind) as probe:
                # As the server will do, or a port just left would count as taken.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"--port: expected one that this user may open, got {port} "
                f"({error.strerror}). Ports from 1024 on are open to all."
            ) from error
        raise ConfigError(
            f"--host: expected an address of this machine, got '{host}' "
            f"({error.strerror}). 127.0.0.1 is for this machine alone, 0.0.0.0 for all "
            "that reach it."
        ) from error
    return True
