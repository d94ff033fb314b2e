"""What the tests of the command line share: pictures, meshes, a way to type, runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.cli.main import main
from tests.experiments.small_scenes import fit_scene
from tests.experiments.small_shapes import NAME as EGG
from tests.experiments.small_shapes import SETTINGS, egg, save_obj

SMALL = ("--model", "instant-ngp", "--params", "20000", "--steps", "12")
"""A fit that takes a fraction of a second."""
NAME = "wave"
JUDGED = tuple(
    word for path, text in SETTINGS.items() for word in ("--set", f"{path}={text}")
)
SMALL_SHAPE = (
    "--model", "instant-ngp", "--params", "20000", "--batch-size", "1024",
    "--points", "8192", "--loss", "l1",
    "--set", "field.encoding.num-levels=4", *JUDGED,
)  # fmt: skip
"""A fit to a mesh that takes a moment, but for its number of steps."""


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The last paragraph on standard error, without the program's name."""
        return self.err.strip().splitlines()[-1].removeprefix("tangrid: ")


Type = Callable[..., Outcome]


def wave(width: int, height: int, channels: int = 3) -> np.ndarray:
    """A smooth picture that a small model can begin to fit."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    phases = np.arange(channels)
    values = 0.5 + 0.5 * np.sin(6 * x[..., None] + 9 * y[..., None] * (1 + phases))
    return np.round(values * 255).astype(np.uint8)


def save_wave(path: Path, width: int = 32, height: int = 24) -> Path:
    Image.fromarray(wave(width, height)).save(path)
    return path


def everything_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


def typed(words: Sequence[str]) -> int:
    """Exit code of a command; tyro leaves by an exit of its own."""
    try:
        return main(words)
    except SystemExit as leave:
        return int(leave.code or 0)


@pytest.fixture
def tangrid(capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command and see what it printed."""

    def type_command(*words: object) -> Outcome:
        capsys.readouterr()
        code = typed([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, out, err)

    return type_command


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with one picture, in which the command is typed."""
    save_wave(tmp_path / f"{NAME}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fit; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("fitted")
    picture = save_wave(folder / f"{NAME}.png")
    words = ["fit", "image", str(picture), *SMALL, "--out", str(folder / "run")]
    assert typed(words) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def fitted_shape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished fit of an egg; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("fitted-shape")
    mesh = save_obj(folder / f"{EGG}.obj", *egg())
    words = ["fit", "sdf", str(mesh), *SMALL_SHAPE, "--steps", "200"]
    assert typed([*words, "--out", str(folder / "shape")]) == 0
    return folder / "shape"


@pytest.fixture(scope="session")
def fitted_scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short fit of a scene; tests must leave it as it is."""
    folder = tmp_path_factory.mktemp("fitted-scene") / "scene"
    fit_scene(folder)
    return folder
