"""``tangrid render`` of a scene: held-out views, ways and files of cameras."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tangrid.cli.render_scene import picture_names
from tangrid.experiments import scene_output
from tests.cli.conftest import Type
from tests.experiments.small_scenes import SIDE, closed_form


def pixels(path: str | Path, mode: str = "RGBA") -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == mode
        return np.asarray(picture)


def names_in(folder: str | Path) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_default_is_a_folder_of_the_views_that_judge_the_fit(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    shutil.copytree(fitted_scene, "run")
    outcome = tangrid("render", "run")
    assert outcome.code == 0, outcome.err
    assert outcome.out == f"2 pictures of {SIDE} x {SIDE} pixels\nrun-views\n"
    assert names_in("run-views") == ["r_0.png", "r_1.png"]
    for number in range(2):
        # The fit judged these views before white.
        judged = pixels(f"run/view_{number}_fit.png", "RGB").astype(float)
        found = pixels(f"run-views/r_{number}.png") / 255
        blended = 255 * (found[..., :3] * found[..., 3:] + 1 - found[..., 3:])
        assert np.abs(blended - judged).max() <= 2
    assert tangrid("render", "run").code == 2
    assert tangrid("render", "run", "--overwrite", "--threads", 1).code == 0


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        (("--width", 12), (12, 12)),
        (("--height", 36), (36, 36)),
        (("--width", 12, "--height", 20), (20, 12)),
    ],
)
def test_sizes(
    flags: tuple, shape: tuple, fitted_scene: Path, workplace: Path, tangrid: Type
):
    outcome = tangrid("render", fitted_scene, "--out", "new", *flags)
    assert outcome.out.startswith(f"2 pictures of {shape[1]} x {shape[0]} pixels")
    assert pixels("new/r_0.png").shape == (*shape, 4)


def test_backgrounds(fitted_scene: Path, workplace: Path, tangrid: Type):
    for name in ("transparent", "white", "black"):
        words = ("render", fitted_scene, "--out", name, "--background", name)
        assert tangrid(*words).code == 0
    through = pixels("transparent/r_0.png") / 255
    opacity = through[..., 3:]
    for name, behind in (("white", 1.0), ("black", 0.0)):
        wanted = through[..., :3] * opacity + behind * (1 - opacity)
        found = pixels(f"{name}/r_0.png", "RGB") / 255
        assert np.abs(found - wanted).max() < 2.5 / 255
    assert 0 < opacity.mean() < 1


def test_depths_stand_beside(fitted_scene: Path, workplace: Path, tangrid: Type):
    words = ("render", fitted_scene, "--out", "new")
    assert tangrid(*words, "--depth").code == 0
    wanted = ["r_0.png", "r_0_depth.png", "r_1.png", "r_1_depth.png"]
    assert names_in("new") == wanted
    opacity = pixels("new/r_0.png")[..., 3] / 255
    depth = pixels("new/r_0_depth.png", "RGB")
    assert (depth[opacity < 0.49] == 255).all()
    assert (depth[opacity > 0.51] < 255).any(axis=1).all()
    # Without it, what was written with it goes.
    assert tangrid(*words, "--overwrite").code == 0
    assert names_in("new") == ["r_0.png", "r_1.png"]


def test_a_way_is_a_folder_of_frames(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    shutil.copytree(fitted_scene, "run")
    words = ("render", "run", "--width", 8, "--frames")
    outcome = tangrid(*words, 3)
    assert outcome.code == 0, outcome.err
    assert outcome.out == "3 pictures of 8 x 8 pixels\nrun-orbit\n"
    frames = [f"frame_000{number}.png" for number in range(3)]
    assert names_in("run-orbit") == frames
    first, second = (pixels(f"run-orbit/{name}") for name in frames[:2])
    assert not np.array_equal(first, second)
    # Said by name it is the same, and a shorter one replaces a longer one.
    again = ("--path", "orbit", "--overwrite", "--depth")
    assert tangrid(*words, 2, *again).code == 0
    assert np.array_equal(pixels("run-orbit/frame_0000.png"), first)
    assert "frame_0002.png" not in names_in("run-orbit")
    assert "frame_0001_depth.png" in names_in("run-orbit")
    Path("run-orbit/letter.txt").write_text("mine")
    refused = tangrid(*words, 1, "--overwrite")
    assert refused.code == 2
    assert "also holds letter.txt" in refused.message
    assert len(names_in("run-orbit")) == 5


def test_a_way_is_a_video(
    fitted_scene: Path, workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    av = pytest.importorskip("av")
    # A short fit is fog; what was photographed has an edge.
    monkeypatch.setattr(scene_output, "radiance_of", lambda run: closed_form())
    words = ("render", fitted_scene, "--frames", 4, "--width", 33, "--height", 32)
    for name, background in (("auto.mp4", ()), ("dark.mp4", ("--background", "black"))):
        outcome = tangrid(*words, "--out", name, *background)
        assert outcome.code == 0, outcome.err
        assert outcome.out == f"4 pictures of 34 x 32 pixels\n{name}\n"
        with av.open(name) as film:
            frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
        assert [frame.shape for frame in frames] == [(32, 34, 3)] * 4
        # What is transparent in a picture is nearly white.
        corner = int(frames[0][0, 0].mean())
        assert corner < 40 if background else corner > 200
    assert tangrid(*words, "--out", "auto.mp4").code == 2


def test_an_mp4_alone_asks_for_the_way_that_suits(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    pytest.importorskip("av")
    outcome = tangrid("render", fitted_scene, "--out", "new.mp4", "--width", 4)
    assert outcome.out == "60 pictures of 4 x 4 pixels\nnew.mp4\n"


def test_cameras_of_a_file(fitted_scene: Path, workplace: Path, tangrid: Type):
    kept = json.loads((fitted_scene / "cameras.json").read_text())
    test = [frame for frame in kept["frames"] if frame["split"] == "test"]
    Path("mine.json").write_text(json.dumps(test))
    Path("one.json").write_text(json.dumps(test[1]))
    words = ("render", fitted_scene, "--out")
    assert tangrid(*words, "views").code == 0
    assert tangrid(*words, "mine", "--camera", "mine.json").code == 0
    one = tangrid(*words, "one.png", "--camera", "one.json", "--depth")
    assert one.out == f"{SIDE} x {SIDE} pixels\none.png\n"
    assert names_in("mine") == names_in("views")
    wanted = pixels("views/r_1.png")
    assert np.array_equal(pixels("mine/r_1.png"), wanted)
    assert np.array_equal(pixels("one.png"), wanted)
    assert pixels("one_depth.png", "RGB").shape == (SIDE, SIDE, 3)
    # With an angle alone it has the size of the photographs.
    pose = {"transform_matrix": test[1]["transform_matrix"], "camera_angle_x": 0.69}
    Path("angle.json").write_text(json.dumps(pose))
    assert tangrid(*words, "angle.png", "--camera", "angle.json").code == 0
    off = np.abs(pixels("angle.png").astype(float) - wanted)
    assert off.max() <= 1


def test_runs_of_before_cameras_were_kept(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    run = Path(shutil.copytree(fitted_scene, "run"))
    (run / "cameras.json").rename("mine.json")
    outcome = tangrid("render", "run")
    assert outcome.code == 2
    assert "give cameras of your own with --camera" in outcome.message
    outcome = tangrid("render", "run", "--camera", "mine.json")
    assert outcome.out == f"8 pictures of {SIDE} x {SIDE} pixels\nrun-mine\n"
    # Nothing says that photographs were transparent.
    assert pixels("run-mine/test-r_0.png", "RGB").shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["./a/x.png", "a/y.jpg"], ["x", "y"]),
        (["a/x.png", "b/x.png"], ["a-x", "b-x"]),
        (["a\\x.png", "b\\x.png"], ["a-x", "b-x"]),
        (["x.png", "x.jpg"], ["0000_x", "0001_x"]),
        (["x.png", "X.png"], ["0000_x", "0001_X"]),
        (["x.png", "x_depth.png"], ["0000_x", "0001_x_depth"]),
        (["camera_0000"], ["camera_0000"]),
        (["../../x.png", "../y.png"], ["x", "y"]),
        ([".."], ["0000_.."]),
        ([".hidden", "y"], ["0000_.hidden", "0001_y"]),
        (["x\0y"], ["view_0000"]),
    ],
)
def test_names_of_pictures(names: list[str], wanted: list[str]):
    assert picture_names(names) == wanted
