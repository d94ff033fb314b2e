"""A page is there while it is used, says nothing of its own, and ends in order."""

import logging
import socket
import sys
import threading
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import rich

from tangrid.errors import ConfigError, NumericalError
from tangrid.viewer.page import Page
from tangrid.viewer.port import find_port


def test_it_is_there_while_it_is_used(capfd: pytest.CaptureFixture[str]):
    with Page(port=0) as page:
        address, port = page.address, page.port
        assert address == f"http://127.0.0.1:{port}"
        with urlopen(address, timeout=15) as answer:
            assert b"<html" in answer.read()[:500]
    with pytest.raises(URLError):
        urlopen(address, timeout=15)
    assert find_port("127.0.0.1", port) == port
    assert capfd.readouterr() == ("", "")
    assert not rich.get_console().quiet


def test_who_says_nothing_is_not_spoken_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    # Those of earlier pages stay.
    monkeypatch.setattr(logging.getLogger("websockets.server"), "filters", [])
    with Page(port=0) as page:
        socket.create_connection(("127.0.0.1", page.port)).close()
        with urlopen(page.address, timeout=15) as answer:
            assert answer.status == 200
    assert not [one for one in caplog.records if one.name.startswith("websockets")]


def test_two_pages_have_two_ports():
    with Page() as one, Page() as other:
        assert one.port != other.port


def test_everyone_is_shown_an_address_that_opens_here():
    with Page(host="0.0.0.0", port=0) as page:
        assert page.address == f"http://localhost:{page.port}"


def test_what_fails_ends_the_waiting():
    with Page(port=0) as page:
        page.fail(NumericalError("nothing is finite"))
        with pytest.raises(NumericalError, match="nothing is finite"):
            page.wait()


def test_no_thread_is_left():
    before = set(threading.enumerate())
    with Page(port=0):
        assert set(threading.enumerate()) > before
    assert {one for one in threading.enumerate() if not one.daemon} <= before


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(ConfigError, match=r"pip install 'tangrid\[view\]'"):
        Page().__enter__()
