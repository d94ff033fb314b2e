"""Ports: the usual one, the next that is free, and what is refused in words."""

import errno
import socket
from collections.abc import Iterator

import pytest

from tangrid.errors import ConfigError
from tangrid.viewer.port import find_port

HERE = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((HERE, 0)) as server:
        yield server.getsockname()[1]


def test_the_next_free_port_is_found(taken: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.viewer.port.USUAL_PORT", taken)
    found = find_port(HERE, None)
    assert taken < found < taken + 100
    assert find_port(HERE, found) == found
    monkeypatch.setattr("tangrid.viewer.port.USUAL_PORT", found)
    assert find_port(HERE, None) == found


def test_any_port_may_be_asked_for():
    assert find_port(HERE, 0) == 0


def test_a_taken_port_is_refused(taken: int):
    with pytest.raises(ConfigError, match=f"got {taken}, where another program"):
        find_port(HERE, taken)


def test_no_free_port_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.viewer.port._is_free", lambda host, port: False)
    with pytest.raises(ConfigError, match="a free port from 8080 to 8179, got none"):
        find_port(HERE, None)


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused(port: int):
    with pytest.raises(ConfigError, match=f"expected 0 to 65535, got {port}"):
        find_port(HERE, port)


@pytest.mark.parametrize("host", ["198.51.100.7", "no host"])
def test_addresses_of_others_are_refused(host: str):
    with pytest.raises(ConfigError, match="--host: expected an address of this mach"):
        find_port(host, None)


def test_ports_of_the_system_are_explained(monkeypatch: pytest.MonkeyPatch):
    def refuse(self: socket.socket, place: tuple) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse, raising=False)
    with pytest.raises(ConfigError, match="expected one that this user may open"):
        find_port(HERE, 80)
