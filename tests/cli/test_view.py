"""``tangrid view``: scenes and shapes in a browser, until the user ends it."""

import json
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

from tangrid.experiments.scene_cameras import kept_cameras
from tangrid.runs.store import RunFolder
from tangrid.viewer.page import Page
from tests.cli.conftest import Type, everything_in
from tests.cli.messages import MESSAGES, Case
from tests.viewer.chromium import tab
from tests.viewer.small_sights import fit_demo
from tests.viewer.waiting import soon


@pytest.fixture(scope="module")
def fitted_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fit of a scene; tests must leave it as it is."""
    folder = RunFolder.create(tmp_path_factory.mktemp("fitted-scene") / "scene")
    fit_demo(folder)
    return folder.path


class Shown(NamedTuple):
    """What a page is like while the command waits."""

    position: np.ndarray
    names: set[str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    """Pages that were shown; instead of waiting, the user presses Ctrl-C."""
    pages = []

    def interrupt(page: Page) -> None:
        scene, start = page.server.scene, page.server.initial_camera
        pages.append(Shown(start.position, set(scene._handle_from_node_name)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Page, "wait", interrupt)
    return pages


def test_a_scene_begins_at_a_test_view(
    fitted_scene: Path, workplace: Path, tangrid: Type, shown: list[Shown]
):
    outcome = tangrid("view", fitted_scene, "--port", 0)
    assert outcome.code == 0, outcome.err
    address, advice = outcome.out.splitlines()
    assert address.startswith("http://127.0.0.1:")
    assert "Ctrl-C" in advice
    assert outcome.message == "The viewer has ended."
    cameras = kept_cameras(RunFolder.open(fitted_scene))
    first = cameras.heldout[0].camera
    np.testing.assert_allclose(shown[0].position, first.position)
    drawn = {name for name in shown[0].names if name.startswith("/cameras/")}
    assert len(drawn) == len(cameras.training) == 6


def test_a_scene_without_its_cameras_says_so(
    fitted_scene: Path, workplace: Path, tangrid: Type, shown: list[Shown]
):
    shutil.copytree(fitted_scene, "old")
    Path("old/cameras.json").unlink()
    outcome = tangrid("view", "old", "--port", 0)
    assert outcome.code == 0, outcome.err
    assert "the view begins at a place of its own, and no cameras" in outcome.err
    assert "old: expected the cameras of the scene in cameras.json" in outcome.err
    assert not any(name.startswith("/cameras") for name in shown[0].names)


def test_cameras_that_are_held_every_way_are_shown(
    fitted_scene: Path, workplace: Path, tangrid: Type, shown: list[Shown]
):
    shutil.copytree(fitted_scene, "turned")
    file = Path("turned/cameras.json")
    content = json.loads(file.read_text())
    frames = [one for one in content["frames"] if one["split"] == "train"]
    for number, frame in enumerate(frames):
        pose = np.array(frames[0]["transform_matrix"])
        # Each other one is upside down.
        pose[:3, :2] *= -1 if number % 2 else 1
        frame["transform_matrix"] = pose.tolist()
    file.write_text(json.dumps(content))
    outcome = tangrid("view", "turned", "--port", 0)
    assert outcome.code == 0, outcome.err
    assert "the training cameras are held every way" in outcome.err
    first = kept_cameras(RunFolder.open(Path("turned"))).heldout[0].camera
    np.testing.assert_allclose(shown[0].position, first.position)
    drawn = {name for name in shown[0].names if name.startswith("/cameras/")}
    assert len(drawn) == 6


def test_a_shape_is_a_mesh(
    fitted_shape: Path,
    workplace: Path,
    tangrid: Type,
    shown: list[Shown],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("tangrid.cli.view_run._CELLS", 24)
    outcome = tangrid("view", fitted_shape, "--port", 0)
    assert outcome.code == 0, outcome.err
    assert "/surface" in shown[0].names


def test_a_taken_port_is_told(
    fitted_scene: Path,
    workplace: Path,
    tangrid: Type,
    shown: list[Shown],
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("tangrid.viewer.port.USUAL_PORT", taken)
    outcome = tangrid("view", fitted_scene)
    assert outcome.code == 0
    assert f"another program listens on port {taken}; " in outcome.err
    assert outcome.out.splitlines()[0] != f"http://127.0.0.1:{taken}"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("case", MESSAGES["view"].values(), ids=lambda case: case.name)
def test_wrong_view(
    case: Case,
    workplace: Path,
    fitted: Path,
    fitted_shape: Path,
    tangrid: Type,
    taken: int,
):
    before = everything_in(workplace)
    words = {"IMAGE": fitted, "SHAPE": fitted_shape, "TAKEN": taken}
    outcome = tangrid(*(words.get(word, word) for word in case.command.split()))
    assert case.matches(outcome.message), outcome.err
    assert outcome.err.count("\n") == 1, "expected one paragraph"
    assert (outcome.code, outcome.out) == (2, "")
    assert everything_in(workplace) == before


def test_a_missing_package_is_named(
    fitted_scene: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "viser", None)
    outcome = tangrid("view", fitted_scene)
    assert outcome.code == 2
    assert outcome.message.startswith("tangrid view: expected the package 'viser'")


@contextmanager
def interrupting(look: Callable[[], object]) -> Iterator[Future]:
    """Look from another thread, then press Ctrl-C on this one."""

    def look_and_interrupt() -> object:
        try:
            return look()
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(look_and_interrupt)


def opens(address: str) -> bool:
    try:
        with urlopen(address, timeout=15) as answer:
            return b"<html" in answer.read()[:500]
    except URLError:
        return False


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when the command waits for its end."""
    begun = threading.Event()
    wait = Page.wait

    def wait_openly(page: Page) -> None:
        begun.set()
        wait(page)

    monkeypatch.setattr(Page, "wait", wait_openly)
    return begun


def test_control_c_ends_it(
    fitted_scene: Path, tangrid: Type, free: int, waiting: threading.Event
):
    address = f"http://127.0.0.1:{free}"
    with interrupting(lambda: waiting.wait(60) and opens(address)) as seen:
        outcome = tangrid("view", fitted_scene, "--port", free)
    assert seen.result()
    assert outcome.code == 0
    assert outcome.out.startswith(f"{address}\n")
    assert outcome.err.strip() == "The viewer has ended."
    assert not opens(address)


@pytest.mark.browser
def test_a_browser_shows_a_fit(
    fitted_scene: Path,
    tangrid: Type,
    free: int,
    waiting: threading.Event,
    tmp_path: Path,
):
    address = f"http://127.0.0.1:{free}"

    def is_drawn() -> bool:
        with tab(address, tmp_path) as opened:
            # Between and below the controls.
            return soon(lambda: opened.screenshot()[250:, 250:550].std() > 10)

    with interrupting(lambda: waiting.wait(60) and is_drawn()) as seen:
        outcome = tangrid("view", fitted_scene, "--port", free)
    assert seen.result()
    assert outcome.code == 0
    assert outcome.err.strip() == "The viewer has ended."
