"""``tangrid render``: the field at any size, anywhere, with the right pixels."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.experiments import drawing
from tangrid.signals.image import ImageSignal
from tests.cli.conftest import Type


def pixels(path: str | Path) -> np.ndarray:
    return ImageSignal.open(path).pixels


def test_default_is_the_reconstruction(fitted: Path, workplace: Path, tangrid: Type):
    run = shutil.copytree(fitted, workplace / "run")
    outcome = tangrid("render", "run")
    assert (outcome.code, outcome.out) == (0, "32 x 24 pixels\nrun.png\n")
    assert np.array_equal(pixels("run.png"), pixels(run / "reconstruction.png"))
    assert tangrid("render", "run").code == 2
    assert tangrid("render", "run", "--overwrite", "--width", 8).code == 0
    assert pixels("run.png").shape == (6, 8, 3)


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        ("--width 64", (48, 64)),
        ("--height 12", (12, 16)),
        ("--width 5 --height 7", (7, 5)),
        ("--region 0,0,0.5,0.25", (6, 16)),
        ("--region 0,0.5,0.25,1 --width 20", (30, 20)),
        ("--crop 8", (8, 8)),
        ("--crop 8x4+3+5 --height 40", (40, 80)),
    ],
)
def test_sizes(
    flags: str, shape: tuple[int, int], fitted: Path, workplace: Path, tangrid: Type
):
    outcome = tangrid("render", fitted, "--out", "new/picture.png", *flags.split())
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{shape[1]} x {shape[0]} pixels")
    assert pixels("new/picture.png").shape == (*shape, 3)


def test_part_equals_the_whole(fitted: Path, workplace: Path, tangrid: Type):
    assert tangrid("render", fitted, "--out", "whole.npy").code == 0
    assert tangrid("render", fitted, "--out", "crop.npy", "--crop", "8x6+3+5").code == 0
    flags = ("--region", "0.25,0.5,0.75,1")
    assert tangrid("render", fitted, "--out", "part.npy", *flags).code == 0
    whole = np.load("whole.npy")
    assert (whole.shape, whole.dtype) == ((24, 32, 3), np.float32)
    assert np.abs(np.load("crop.npy") - whole[5:11, 3:11]).max() < 1e-6
    assert np.abs(np.load("part.npy") - whole[12:, 8:24]).max() < 1e-6


def test_sixteen_bits(fitted: Path, workplace: Path, tangrid: Type):
    assert tangrid("render", fitted, "--out", "values.npy").code == 0
    expected = np.round(np.load("values.npy").clip(0, 1) * 65535)
    for name in ("deep.png", "deep.tiff"):
        assert tangrid("render", fitted, "--out", name, "--bits", 16).code == 0
        assert pixels(name).dtype == np.uint16
        assert np.array_equal(pixels(name), expected)


def test_strips_make_one_picture(
    fitted: Path, workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    assert tangrid("render", fitted, "--out", "once.png").code == 0
    monkeypatch.setattr(drawing, "_POINTS_PER_STRIP", 100)
    assert tangrid("render", fitted, "--out", "strips.png").code == 0
    assert np.array_equal(pixels("once.png"), pixels("strips.png"))


def test_linear_fields_are_coded_for_the_screen(workplace: Path, tangrid: Type):
    Image.fromarray(np.full((16, 16), 188, np.uint8)).save("grey.png")
    words = ("--model", "instant-ngp", "--params", 20000, "--steps", 60)
    flags = ("--colour", "linear", "--out", "run")
    assert tangrid("fit", "image", "grey.png", *words, *flags).code == 0
    assert tangrid("render", "run", "--out", "values.npy").code == 0
    assert tangrid("render", "run", "--out", "picture.png").code == 0
    # sRGB 188 of 255 is half of the light.
    assert np.load("values.npy").mean() == pytest.approx(0.5, abs=0.03)
    assert pixels("picture.png").mean() == pytest.approx(188, abs=4)


def test_folder_of_a_comparison_is_refused(workplace: Path, tangrid: Type):
    words = ("--models", "instant-ngp", "--params", 20000, "--steps", 1)
    assert tangrid("compare", "image", "wave.png", *words, "--out", "run").code == 0
    outcome = tangrid("render", "run")
    assert outcome.code == 2
    assert "Name one of the folders below it" in outcome.message
    assert tangrid("render", "run/runs/wave-instant-ngp-seed0").code == 0
