"""``tangrid export points``: what cameras see of a scene, as points in a file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from tangrid.experiments import scene_output
from tangrid.rendering.analytic_scene import distances
from tests.cli.conftest import Type
from tests.experiments.small_scenes import closed_form


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the scene that was photographed in the place of what a short fit made."""
    monkeypatch.setattr(scene_output, "radiance_of", lambda run: closed_form())


def opened(path: str | Path) -> trimesh.PointCloud:
    cloud = trimesh.load(path)
    assert isinstance(cloud, trimesh.PointCloud)
    return cloud


@pytest.mark.usefixtures("known")
def test_default_is_a_ply_beside_the_run(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    shutil.copytree(fitted_scene, "run")
    outcome = tangrid("export", "points", "run")
    assert outcome.code == 0, outcome.err
    cloud = opened("run-points.ply")
    assert outcome.out == f"{len(cloud.vertices):,} points\nrun-points.ply\n"
    # Eight views of 24 x 24 pixels, about a third of which see something.
    assert 800 < len(cloud.vertices) < 8 * 24 * 24
    places = torch.from_numpy((np.asarray(cloud.vertices) + 1.5) / 3).float()
    assert distances(places).amin(1).abs().max() < 0.012
    assert np.asarray(cloud.colors)[:, :3].std(0).min() > 20
    assert tangrid("export", "points", "run").code == 2
    again = ("--points", 300, "--overwrite", "--threads", 1)
    assert tangrid("export", "points", "run/.", *again).out.startswith("300 points")
    assert len(opened("run-points.ply").vertices) == 300


@pytest.mark.usefixtures("known")
def test_a_seed_draws_the_same_points(
    fitted_scene: Path, workplace: Path, tangrid: Type
):
    words = ("export", "points", fitted_scene, "--points", 50, "--out")
    for name, seed in (("a.ply", 1), ("b.ply", 1), ("new/c.ply", 2)):
        assert tangrid(*words, name, "--seed", seed).code == 0
    one, same, other = (
        Path(name).read_bytes() for name in ("a.ply", "b.ply", "new/c.ply")
    )
    assert one == same
    assert one != other


def test_a_fit_that_has_seen_nothing_yet(
    fitted_scene: Path, workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scene_output, "_SEEN", 2.0)
    outcome = tangrid("export", "points", fitted_scene, "--out", "new.ply")
    assert outcome.code == 1
    assert "got 8 that see none: 0 of their pixels" in outcome.message
    assert not Path("new.ply").exists()
