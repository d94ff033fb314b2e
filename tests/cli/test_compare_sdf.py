"""``tangrid compare sdf``: several models and meshes, one table, one page."""

import os
import signal
from pathlib import Path

import pytest

from tangrid.progress import ProgressLine
from tangrid.training import Moment
from tests.cli.conftest import JUDGED, Type
from tests.cli.test_compare_image import rows
from tests.experiments.small_shapes import egg, save_obj

MODELS = ("instant-ngp", "dense-grid")
CELLS = [(mesh, model) for mesh in ("egg", "box") for model in MODELS]
COMPARE = (
    "compare", "sdf", "egg.obj", "box", "--models", ",".join(MODELS),
    "--params", "20000", "--steps", "60", "--batch-size", "1024", "--points", "8192",
    *JUDGED, "--set", "field.encoding.num-levels=4",
)  # fmt: skip


@pytest.mark.slow
def test_two_models_on_two_meshes_with_a_stop_between(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    begun = []

    def interrupt(line: ProgressLine, moment: Moment) -> None:
        del moment
        begun.append(line)
        if len(begun) == 62:
            os.kill(os.getpid(), signal.SIGINT)

    save_obj(workplace / "egg.obj", *egg())
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupt)
        outcome = tangrid(*COMPARE)
    assert outcome.code == 130
    assert "saved in runs/comparison/runs/egg-dense-grid-seed0" in outcome.err
    assert len(rows("runs/comparison")) == 1
    done = Path("runs/comparison/runs/egg-instant-ngp-seed0/metrics.json")
    before = done.stat().st_mtime_ns
    outcome = tangrid(*COMPARE, "--resume")
    assert outcome.code == 0, outcome.err
    assert done.stat().st_mtime_ns == before
    *table, report = outcome.out.splitlines()
    assert report == "runs/comparison/report.html"
    assert "IoU" in table[0]
    cells = [tuple(line.split()[:2]) for line in table[1:] if not line.startswith("-")]
    assert cells == [*CELLS, ("mean", "instant-ngp"), ("mean", "dense-grid")]
    found = rows("runs/comparison")
    assert [(row["signal"], row["model"]) for row in found] == CELLS
    for row in found:
        assert abs(row["params_trainable"] / 20_000 - 1) < 0.02
        assert f"{row['iou']:.4f}" in outcome.out
        assert Path("runs/comparison", row["run"], "report.html").exists()
    assert "2/4 egg dense-grid: starting" in outcome.err
    assert all(mesh in Path(report).read_text() for mesh in ("egg", "box"))


def test_one_mesh_names_the_folder(workplace: Path, tangrid: Type):
    words = ("--models", "plain-mlp", "--params", 5000, "--steps", 1, "--points", 99)
    outcome = tangrid("compare", "sdf", "box", *words, *JUDGED)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "runs/box-comparison/report.html"


def test_what_is_odd_about_meshes_and_fits_is_said(workplace: Path, tangrid: Type):
    save_obj(workplace / "odd.obj", egg()[0], egg()[1][1:])
    words = ("--steps", 1, "--points", 99, *JUDGED)
    outcome = tangrid("compare", "sdf", "odd.obj", "--models", "plain-mlp", *words)
    assert outcome.code == 0, outcome.err
    missing, opened, _ = outcome.out.splitlines()[-3:]
    (row,) = rows("runs/odd-comparison")
    assert missing == f"odd, plain-mlp, seed 0: {row['surface_missing']}"
    assert opened.startswith("odd: The mesh is open (edges of a single triangle: 3)")


def test_failed_comparison_leaves_nothing(workplace: Path, tangrid: Type):
    outcome = tangrid("compare", "sdf", "box", *COMPARE[4:], "--set", "field.a=8")
    assert outcome.code == 2
    assert outcome.message.startswith("field: expected fields of encoded")
    assert not Path("runs").exists()
