"""Every verb that computes does so on the device that ``--device`` names.

Without a GPU that is a pretended one, which refuses what CUDA refuses.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tangrid import devices, interface
from tangrid.experiments import loading
from tangrid.experiments.demo_scene import demo_scene
from tests.cli.conftest import SMALL, SMALL_SHAPE, Type
from tests.experiments.small_scenes import SETTINGS as SCENE_SETTINGS
from tests.experiments.small_shapes import NAME as EGG
from tests.experiments.small_shapes import egg, save_obj
from tests.signals.scene_files import save_blender

ON = ("--device", "cuda")
SMALL_SCENE = (
    *SMALL, "--batch-size", "1024",
    *(word for k, v in SCENE_SETTINGS.items() for word in ("--set", f"{k}={v}")),
)  # fmt: skip


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def other(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> torch.device:
    """The device that is called cuda."""
    if request.param == "real":
        return torch.device("cuda", 0)
    pretended: torch.device = request.getfixturevalue("pretend")
    real = devices.find_device

    def find(name: str | torch.device, where: str = "device") -> torch.device:
        return pretended if name in ("cuda", pretended) else real(name, where)

    for module in (devices, interface, loading):
        monkeypatch.setattr(module, "find_device", find)
    return pretended


def read(path: str) -> dict:
    return json.loads(Path(path).read_text())


def assert_ran_on(folder: str, device: torch.device) -> None:
    name = devices.device_name(device)
    metrics = read(f"{folder}/metrics.json")
    assert metrics["device"] == name
    assert metrics["peak_device_memory_mb"] > 0
    assert read(f"{folder}/environment.json")["device"] == name
    assert name in (Path(folder) / "report.html").read_text()


def picture(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def assert_alike(first: str, second: str) -> None:
    """Pictures of one field, drawn on two devices."""
    assert np.abs(picture(first) - picture(second)).max() <= 1


@pytest.mark.parametrize(
    "sampling", ["all", pytest.param("continuous", marks=pytest.mark.slow)]
)
def test_images(other: torch.device, sampling: str, workplace: Path, tangrid: Type):
    words = ("fit", "image", "wave.png", *SMALL, "--sampling", sampling)
    outcome = tangrid(*words, *ON, "--out", "run")
    assert outcome.code == 0, outcome.err
    assert_ran_on("run", other)
    for flags, name in ((ON, "there.png"), ((), "here.png")):
        outcome = tangrid("render", "run", *flags, "--out", name)
        assert outcome.code == 0, outcome.err
    assert_alike("there.png", "here.png")
    assert tangrid(*words, "--resume", "--out", "run").code == 0


def test_comparisons(other: torch.device, workplace: Path, tangrid: Type):
    words = ("--params", "20000", "--steps", "6", "--models", "instant-ngp,mulfagrid")
    outcome = tangrid("compare", "image", "wave.png", *words, *ON, "--out", "both")
    assert outcome.code == 0, outcome.err
    rows = read("both/table.json")["rows"]
    assert [row["device"] for row in rows] == [devices.device_name(other)] * 2
    assert devices.device_name(other) in Path("both/report.html").read_text()


@pytest.mark.slow
def test_shapes(other: torch.device, workplace: Path, tangrid: Type):
    save_obj(workplace / f"{EGG}.obj", *egg())
    words = ("fit", "sdf", f"{EGG}.obj", *SMALL_SHAPE, "--steps", "60")
    outcome = tangrid(*words, *ON, "--out", "run")
    assert outcome.code == 0, outcome.err
    assert_ran_on("run", other)
    for flags, name in ((ON, "there"), ((), "here")):
        for verb in (
            ("render", "run", "--width", "24", "--out", f"{name}.png"),
            ("export", "mesh", "run", "--resolution", "16", "--out", f"{name}.ply"),
        ):
            outcome = tangrid(*verb, *flags)
            assert outcome.code == 0, outcome.err
    assert_alike("there.png", "here.png")


def test_scenes(other: torch.device, workplace: Path, tangrid: Type):
    save_blender(workplace / "toy", demo_scene(size=24, train_views=4, test_views=1))
    outcome = tangrid("fit", "scene", "toy", *SMALL_SCENE, *ON, "--out", "run")
    assert outcome.code == 0, outcome.err
    assert_ran_on("run", other)
    for flags, name in ((ON, "there"), ((), "here")):
        for verb in (
            ("render", "run", "--width", "12", "--out", name),
            ("export", "points", "run", "--points", "50", "--out", f"{name}s.ply"),
            ("export", "mesh", "run", "--resolution", "8", "--level", "0.7",
             "--out", f"{name}.ply"),
        ):  # fmt: skip
            outcome = tangrid(*verb, *flags)
            assert outcome.code in (0, 1), outcome.err
            assert "same device" not in outcome.err
    assert_alike("there/r_0.png", "here/r_0.png")


@pytest.mark.slow
def test_kernels(other: torch.device, workplace: Path, tangrid: Type):
    small = ("--params", "8000", "--points", "12", "--steps", "2", "--lattice", "6")
    for flags, name in ((ON, "there"), ((), "here")):
        words = ("analyze", "image", "wave.png", "--models", "instant-ngp,siren")
        outcome = tangrid(*words, *small, *flags, "--out", name)
        assert outcome.code == 0, outcome.err
    assert read("there/environment.json")["device"] == devices.device_name(other)
    pairs = zip(
        read("there/kernel.json")["entries"],
        read("here/kernel.json")["entries"],
        strict=True,
    )
    for there, here in pairs:
        for name, found in there["kernels"].items():
            expected = here["kernels"][name]["summary"]["largest"]
            assert found["summary"]["largest"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_comparisons_of_scenes(other: torch.device, workplace: Path, tangrid: Type):
    save_blender(workplace / "toy", demo_scene(size=24, train_views=4, test_views=1))
    words = ("--steps", "6", "--params", "20000", "--models", "instant-ngp,nerf")
    outcome = tangrid("compare", "scene", "toy", *words, *ON, "--out", "both")
    assert outcome.code == 0, outcome.err
    rows = read("both/table.json")["rows"]
    assert [row["device"] for row in rows] == [devices.device_name(other)] * 2


@pytest.mark.slow
def test_kernels_of_fits(other: torch.device, workplace: Path, tangrid: Type):
    assert tangrid("fit", "image", "wave.png", *SMALL, "--out", "run").code == 0
    for flags, name in ((ON, "there"), ((), "here")):
        words = ("analyze", "run", "--points", "12", "--lattice", "6")
        outcome = tangrid(*words, *flags, "--out", name)
        assert outcome.code == 0, outcome.err
    assert read("there/environment.json")["device"] == devices.device_name(other)
