"""Wrong use gets one paragraph, exit code 2, and leaves nothing behind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import trimesh
from PIL import Image
from safetensors.numpy import save_file

from tests.cli.conftest import SMALL, Type, everything_in, save_wave, wave
from tests.cli.messages import MESSAGES, Case
from tests.experiments.small_shapes import save_obj
from tests.metrics.lpips_weights import save_wrong_weights
from tests.signals.scene_files import save_blender, small_scene

WITHOUT_RUNS = [
    case
    for section in (
        "pictures",
        "meshes",
        "settings",
        "plugins",
        "folders",
        "verbs",
        "scenes",
        "predictions",
    )
    for case in MESSAGES[section].values()
]


def name_of(case: Case) -> str:
    return case.name


def save_wrong_meshes(folder: Path) -> None:
    box = trimesh.creation.box()
    corners, faces = np.asarray(box.vertices), np.asarray(box.faces)
    (folder / "empty.obj").touch()
    (folder / "text.obj").write_text("hello")
    (folder / "text.glb").write_text("hello")
    whole = box.export(file_type="ply")
    (folder / "truncated.ply").write_bytes(whole[: len(whole) // 2])
    save_obj(folder / "points.obj", corners, faces[:0])
    save_obj(folder / "flat.obj", corners, faces[:, [0, 0, 1]])
    save_obj(folder / "nan.obj", corners * np.nan, faces)
    (folder / "nothing.off").write_text("OFF\n0 0 0\n")
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    (folder / "no-faces.ply").write_text(
        f"ply\nformat ascii 1.0\nelement vertex 3\n{axes}element face 0\n"
        "property list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n"
    )


@pytest.fixture(scope="module")
def wrong_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of everything that is no picture, or no plugin."""
    folder = tmp_path_factory.mktemp("wrong")
    whole = save_wave(folder / "wave.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("hello")
    Image.fromarray(wave(1, 1)).save(folder / "1x1.png")
    Image.fromarray(wave(50, 1)).save(folder / "50x1.png")
    values = np.full((8, 8, 3), 0.5, np.float32)
    values[0, 0, 0], values[2, 3, 1] = np.inf, np.nan
    header = {"type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"RGB": values}).write(str(folder / "nan.exr"))
    save_wrong_meshes(folder)
    save_blender(folder / "toy", small_scene())
    save_wrong_weights(folder)
    (folder / "folder").mkdir()
    (folder / "folder" / "letter.txt").write_text("mine")
    (folder / "fails.py").write_text("x = 1\ny = x / 0\n")
    (folder / "syntax.py").write_text("def f(:\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    (folder / "registers.py").write_text(
        "from tangrid.encodings import ENCODINGS\n\n"
        "@ENCODINGS.register('my-grid')\nclass Grid: ...\n"
    )
    return folder


@pytest.mark.parametrize("case", WITHOUT_RUNS, ids=name_of)
def test_wrong_use(
    case: Case, wrong_files: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(wrong_files)
    before = everything_in(wrong_files)
    outcome = tangrid(*case.command.split())
    assert case.matches(outcome.message), outcome.err
    assert outcome.err.count("\n") == 1, "expected one paragraph"
    assert (outcome.code, outcome.out) == (2, "")
    assert everything_in(wrong_files) == before


@pytest.mark.parametrize("case", MESSAGES["render"].values(), ids=name_of)
def test_wrong_render(case: Case, workplace: Path, fitted: Path, tangrid: Type):
    before = everything_in(workplace)
    words = [str(fitted) if word == "RUN" else word for word in case.command.split()]
    outcome = tangrid(*words)
    assert case.matches(outcome.message), outcome.err
    assert outcome.code == 2
    assert everything_in(workplace) == before


@pytest.mark.parametrize("case", MESSAGES["shapes"].values(), ids=name_of)
def test_wrong_use_of_a_shape(
    case: Case, workplace: Path, fitted: Path, fitted_shape: Path, tangrid: Type
):
    (workplace / "taken.ply").touch()
    before = everything_in(workplace)
    runs = {"SHAPE": str(fitted_shape), "IMAGE": str(fitted)}
    outcome = tangrid(*(runs.get(word, word) for word in case.command.split()))
    assert case.matches(outcome.message), outcome.err
    assert outcome.err.count("\n") == 1, "expected one paragraph"
    assert (outcome.code, outcome.out) == (2, "")
    assert everything_in(workplace) == before


def save_wrong_cameras(folder: Path) -> None:
    pose = np.eye(4).tolist()
    plain = {"transform_matrix": pose, "width": 8, "height": 6, "fl_x": 9}
    for name, content in {
        "fine": plain,
        "none": [],
        "no-pose": {"width": 8, "height": 6, "fl_x": 9},
        "no-size": {"transform_matrix": pose, "fl_x": 9},
        "no-focal": {"transform_matrix": pose, "width": 8, "height": 6},
        "huge": plain | {"width": 80000, "height": 60000},
        "two-sizes": [plain, plain | {"width": 16}],
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "text.json").write_text("hello")


@pytest.mark.parametrize("case", MESSAGES["fitted scenes"].values(), ids=name_of)
def test_wrong_use_of_a_scene(
    case: Case,
    workplace: Path,
    fitted: Path,
    fitted_shape: Path,
    fitted_scene: Path,
    tangrid: Type,
):
    (workplace / "taken.ply").touch()
    save_wrong_cameras(workplace)
    before = everything_in(workplace)
    runs = {
        "SHAPE": str(fitted_shape),
        "IMAGE": str(fitted),
        "SCENE": str(fitted_scene),
    }
    outcome = tangrid(*(runs.get(word, word) for word in case.command.split()))
    assert case.matches(outcome.message), outcome.err
    assert outcome.err.count("\n") == 1, "expected one paragraph"
    assert (outcome.code, outcome.out) == (2, "")
    assert everything_in(workplace) == before


@pytest.fixture
def damaged(fitted: Path, workplace: Path) -> Path:
    """A copy of a run, to be damaged."""
    return shutil.copytree(fitted, workplace / "RUN")


@pytest.mark.parametrize("damage", MESSAGES["damage"])
def test_damaged_run(damage: str, damaged: Path, tangrid: Type):
    name, kind = damage.split()
    file = damaged / name
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:100])
    elif kind == "foreign":
        save_file({"weight": np.zeros(3, np.float32)}, file)
    elif kind == "other":
        shutil.copy(damaged / "state.safetensors", file)
    else:
        file.write_text(file.read_text().replace('"hash-grid"', '"my-grid"'))
    outcome = tangrid("render", "RUN", "--out", "new.png")
    assert MESSAGES["damage"][damage].matches(outcome.message), outcome.err
    assert outcome.code == 2
    assert not Path("new.png").exists()


@pytest.mark.parametrize("name", MESSAGES["resume"])
def test_wrong_resume(name: str, damaged: Path, workplace: Path, tangrid: Type):
    more: list[str] = []
    picture = Path(str(damaged)).parent / "wave.png"
    assert picture.exists()
    config = damaged / "config.json"
    text = re.sub(r'"path": ".*?"', f'"path": "{picture}"', config.read_text())
    config.write_text(text)
    if name == "other-seed":
        more = ["--seed", "2"]
    else:
        (damaged / "metrics.json").unlink()
        state = damaged / "state.safetensors"
        data = state.read_bytes()
        changed = data[:100]
        if name == "later-state":
            changed = data.replace(b'"step":"12"', b'"step":"13"')
        assert changed != data
        state.write_bytes(changed)
    outcome = tangrid(
        "fit", "image", "wave.png", *SMALL, "--out", "RUN", "--resume", *more
    )
    assert MESSAGES["resume"][name].matches(outcome.message), outcome.err
    assert outcome.code == 2
    assert (damaged / "field.safetensors").exists()


def test_long_picture_works(workplace: Path, tangrid: Type):
    Image.fromarray(wave(20_000, 3)).save("long.png")
    outcome = tangrid("fit", "image", "long.png", *SMALL[:-1], "2", "--out", "run")
    assert outcome.code == 0, outcome.err
    assert (workplace / "run" / "report.html").exists()


def test_parse_errors_are_wrong_use(workplace: Path, tangrid: Type):
    outcome = tangrid("fit", "image", "wave.png", "--steps", "many")
    assert outcome.code == 2
    assert "--steps: expected a whole number, got 'many'." in outcome.err
    outcome = tangrid("fit", "image", "wave.png", "--stpes", "3")
    assert outcome.code == 2
    assert "--steps N" in outcome.err, "expected the nearest flag"
    for words in ("--loss l3", "--sampling grid", "--holdout", "--points few"):
        outcome = tangrid("fit", "sdf", "box", *words.split())
        assert outcome.code == 2
        assert words.split()[-1] in outcome.err
        assert "bug" not in outcome.err
