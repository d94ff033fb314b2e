"""Fixtures and skips for all tests; nothing else decides what is skipped."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

# OpenMP looks once, when torch loads it: threads that wait for each other spin, and two
# processes of tests on two cores take half as long again for it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import torch

# Triton looks once, when it is imported: without a GPU its programs are interpreted.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
    # Autograd counts devices once, too, at the first backward pass.
    from tests import pretended_device
else:
    pretended_device = None

from tangrid.seeding import generator
from tests import typechecking  # noqa: F401 (looked up by the name in pyproject.toml)

# A loaded machine is no failure, and a CI run must give the same answer twice.
hypothesis.settings.register_profile(
    "tangrid", deadline=None, derandomize="CI" in os.environ
)
hypothesis.settings.load_profile("tangrid")

NEEDS = {
    "browser": (
        lambda: shutil.which("chromium") is not None,
        "needs chromium on the path",
    ),
    "gpu": (torch.cuda.is_available, "needs a CUDA device"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, (is_there, reason) in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if marked and not is_there():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep drawn points out of the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TANGRID_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real images, meshes and scenes."""
    folder = os.environ.get("TANGRID_DATA")
    if not folder:
        pytest.skip("TANGRID_DATA names no folder with real data")
    path = Path(folder)
    assert path.is_dir(), f"TANGRID_DATA: expected a folder, got {path}"
    return path


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Leave the refusing of wrong shapes and types to the library, as outside tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def seeded(request: pytest.FixtureRequest) -> torch.Generator:
    """A generator of random numbers that is the same on every run of a test."""
    return generator(0, "tests", request.node.name)


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A second device of ordinary memory that refuses what CUDA refuses."""
    if pretended_device is None:
        pytest.skip("a GPU is there: nothing need pretend to be one")
    monkeypatch.setattr(torch, "Generator", pretended_device.PretendedGenerator)
    pretended_device.waits.clear()
    yield pretended_device.PRETEND
    pretended_device.waits.clear()
