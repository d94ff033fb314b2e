"""``tangrid render`` of a shape: views with a transparent background, and turns."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Type


def pixels(path: str | Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "RGBA"
        return np.asarray(picture)


def test_default_is_a_square_beside_the_run(
    fitted_shape: Path, workplace: Path, tangrid: Type
):
    shutil.copytree(fitted_shape, "run")
    outcome = tangrid("render", "run", "--width", 16)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "16 x 16 pixels\nrun.png\n"
    found = pixels("run.png")
    assert found.shape == (16, 16, 4)
    assert (found[8, 8, 3], found[0, 0, 3]) == (255, 0)
    assert tangrid("render", "run", "--width", 16).code == 2
    assert tangrid("render", "run", "--height", 8, "--overwrite").code == 0
    assert pixels("run.png").shape == (8, 8, 4)


@pytest.mark.parametrize(
    "flags", ["--azimuth 25 --elevation 15", "--azimuth 115", "--elevation 90"]
)
def test_views(flags: str, fitted_shape: Path, workplace: Path, tangrid: Type):
    words = ("render", fitted_shape, "--width", 24, "--height", 16)
    assert tangrid(*words, "--out", "usual.png").code == 0
    assert tangrid(*words, "--out", "new/other.png", *flags.split()).code == 0
    usual, other = pixels("usual.png"), pixels("new/other.png")
    assert usual.shape == other.shape == (16, 24, 4)
    assert np.array_equal(usual, other) == ("25" in flags)


def test_a_turn_is_a_folder(fitted_shape: Path, workplace: Path, tangrid: Type):
    shutil.copytree(fitted_shape, "run")
    words = ("render", "run", "--turntable", 3, "--width", 16)
    outcome = tangrid(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "16 x 16 pixels\nrun-turntable\n"
    paths = sorted(Path("run-turntable").iterdir())
    assert [path.name for path in paths] == [f"turn_000{n}.png" for n in range(3)]
    first, second, _ = (pixels(path) for path in paths)
    assert not np.array_equal(first, second)
    assert tangrid("render", "run", "--out", "front.png", "--width", 16,
                   "--azimuth", 0).code == 0  # fmt: skip
    assert np.array_equal(first, pixels("front.png"))
    assert tangrid(*words).code == 2
    Path("mine").mkdir()
    assert tangrid(*words, "--out", "mine").code == 0


def test_a_shorter_turn_replaces_a_longer_one(
    fitted_shape: Path, workplace: Path, tangrid: Type
):
    words = ("render", fitted_shape, "--out", "turn", "--width", 8, "--turntable")
    assert tangrid(*words, 3).code == 0
    assert tangrid(*words, 2, "--overwrite").code == 0
    names = {path.name for path in Path("turn").iterdir()}
    assert names == {"turn_0000.png", "turn_0001.png"}
    Path("turn/letter.txt").write_text("mine")
    refused = tangrid(*words, 1, "--overwrite")
    assert refused.code == 2
    assert "also holds letter.txt" in refused.message
    assert {path.name for path in Path("turn").iterdir()} == {*names, "letter.txt"}


def test_a_turn_is_a_video(fitted_shape: Path, workplace: Path, tangrid: Type):
    av = pytest.importorskip("av")
    words = ("render", fitted_shape, "--out", "new/turn.mp4", "--turntable", 4)
    outcome = tangrid(*words, "--width", 33, "--height", 32)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "34 x 32 pixels\nnew/turn.mp4\n"
    with av.open("new/turn.mp4") as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert [frame.shape for frame in frames] == [(32, 34, 3)] * 4
    # What is transparent in a picture is nearly white.
    assert frames[0][0, 0].min() > 235
    assert frames[0][16, 17].max() < 235
    assert tangrid(*words, "--width", 32).code == 2


def test_a_video_needs_its_package(
    fitted_shape: Path, workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    words = ("render", fitted_shape, "--out", "turn.mp4", "--turntable", 2)
    outcome = tangrid(*words)
    assert outcome.code == 2
    assert outcome.message.startswith("MP4: expected the package 'av', which writes it")
    assert not Path("turn.mp4").exists()
