"""``tangrid export mesh``: the fitted surface as a file, where the mesh was."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh

from tangrid.experiments import scene_surface
from tangrid.signals.mesh import MeshSignal
from tests.cli.conftest import Type
from tests.experiments.small_scenes import closed_form
from tests.experiments.small_shapes import CENTRE, SIDES, egg

CELL = 2 / 0.9 / 24
EXPORT = ("--resolution", 24)


def opened(path: str | Path) -> trimesh.Trimesh:
    mesh = trimesh.load(path, process=False, force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


def test_default_is_a_ply_beside_the_run(
    fitted_shape: Path, workplace: Path, tangrid: Type
):
    shutil.copytree(fitted_shape, "run")
    outcome = tangrid("export", "mesh", "run", *EXPORT)
    assert outcome.code == 0, outcome.err
    mesh = opened("run.ply")
    counts = f"{len(mesh.vertices):,} vertices, {len(mesh.faces):,} triangles"
    assert outcome.out == f"{counts}\nrun.ply\n"
    assert tangrid("export", "mesh", "run", *EXPORT).code == 2
    again = tangrid("export", "mesh", "run/.", "--resolution", 12, "--overwrite")
    assert again.code == 0
    assert len(opened("run.ply").faces) < len(mesh.faces)


@pytest.mark.parametrize("ending", [".ply", ".obj", ".glb", ".PLY"])
def test_formats(ending: str, fitted_shape: Path, workplace: Path, tangrid: Type):
    path = f"new/egg{ending}"
    outcome = tangrid("export", "mesh", fitted_shape, "--out", path, *EXPORT)
    assert outcome.code == 0, outcome.err
    mesh = opened(path)
    reach = np.array(SIDES) / 2
    bounds = np.stack((CENTRE - reach, CENTRE + reach))
    assert np.abs(mesh.bounds - bounds).max() < CELL
    assert mesh.is_watertight
    assert mesh.volume > 0
    along = (mesh.vertex_normals[mesh.faces].mean(1) * mesh.face_normals).sum(1)
    assert along.mean() > 0.9


@pytest.mark.parametrize(("scale", "move"), [(1e-6, 0.0), (1.0, 1e6)])
def test_tiny_and_far_meshes(
    scale: float, move: float, fitted_shape: Path, workplace: Path, tangrid: Type
):
    # The field is the same wherever the egg is; only the frame tells.
    placed = egg()[0] * scale + move
    config = json.loads((fitted_shape / "config.json").read_text())
    frame = MeshSignal.from_arrays(placed, egg()[1]).frame
    config["frame"] |= {"centre": list(frame.centre), "side": frame.side}
    run = Path(shutil.copytree(fitted_shape, "run"))
    (run / "config.json").write_text(json.dumps(config))
    for path in ("run.ply", "run.obj"):
        outcome = tangrid("export", "mesh", "run", "--out", path, *EXPORT)
        assert outcome.code == 0, outcome.err
        bounds = np.stack((placed.min(0), placed.max(0)))
        assert np.abs(opened(path).bounds - bounds).max() < 2 * CELL * scale


def test_a_level_is_a_shell(fitted_shape: Path, workplace: Path, tangrid: Type):
    for name, level in (("own.ply", ()), ("shell.ply", ("--level", 0.1))):
        words = ("export", "mesh", fitted_shape, "--out", name, *EXPORT, *level)
        assert tangrid(*words).code == 0
    assert opened("shell.ply").volume > opened("own.ply").volume


def test_a_level_that_is_not_there(fitted_shape: Path, workplace: Path, tangrid: Type):
    words = ("export", "mesh", fitted_shape, "--out", "new.ply", *EXPORT)
    outcome = tangrid(*words, "--level", 99)
    assert outcome.code == 1
    assert outcome.message.startswith("level 99: ")
    assert "got values from " in outcome.message
    assert not Path("new.ply").exists()


@pytest.mark.parametrize("ending", [".ply", ".obj", ".glb"])
def test_a_scene_has_a_surface_with_colours(
    ending: str,
    fitted_scene: Path,
    workplace: Path,
    tangrid: Type,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(scene_surface, "radiance_of", lambda run: closed_form())
    path = f"new/scene{ending}"
    words = ("export", "mesh", fitted_scene, "--out", path, "--resolution", 48)
    outcome = tangrid(*words)
    assert outcome.code == 0, outcome.err
    mesh = opened(path)
    counts = f"{len(mesh.vertices):,} vertices, {len(mesh.faces):,} triangles"
    assert outcome.out == f"{counts}\n{path}\n"
    # The disc that all stands on is 0.4 of three units to each side.
    assert np.abs(mesh.bounds[:, :2] - [[-1.2] * 2, [1.2] * 2]).max() < 3 / 48
    assert isinstance(mesh.visual, trimesh.visual.ColorVisuals)
    assert mesh.visual.vertex_colors[:, :3].std(0).min() > 20
    thinner = tangrid(*words, "--overwrite", "--level", 390)
    assert thinner.code == 0
    assert opened(path).volume < mesh.volume


def test_a_density_that_is_not_there(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    words = ("export", "mesh", fitted_scene, "--out", "new.ply", "--resolution", 16)
    outcome = tangrid(*words, "--level", 1e9)
    assert outcome.code == 1
    assert outcome.message.startswith("level 1e+09: expected a density on both sides")
    assert not Path("new.ply").exists()
