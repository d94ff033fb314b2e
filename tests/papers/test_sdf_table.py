"""The table of signed distances: its plan, its rows, its Markdown."""

import json

import pytest

from papers.sdf import table as sdf_table
from papers.sdf.render import markdown
from papers.sdf.table import (
    Budget,
    plan,
    read_rows,
    read_table,
    recipe,
    write_rows,
)
from tangrid.presets import model_names
from tangrid.runs.codec import to_plain

TABLE = read_table()


@pytest.mark.parametrize("name", TABLE.budgets)
def test_models_are_known(name: str):
    budget = TABLE.budgets[name]
    assert {model for model, _ in budget.keys} <= set(model_names())
    assert len(set(budget.keys)) == len(budget.keys)
    assert (budget.steps is None) != (budget.minutes is None)
    assert {mesh for meshes in budget.some.values() for mesh in meshes} <= set(
        budget.meshes
    )


def test_plan_says_all_but_where_the_mesh_lies():
    budget = TABLE.budgets["smoke"]
    experiment, signal = plan(budget, ("instant-ngp", "torus"))
    assert signal.name == "torus"
    plain = recipe(experiment)
    assert plain["judge"]["resolution"] == 32
    assert "path" not in plain["signal"]
    assert plain["field"] == to_plain(experiment)["field"]


def test_rows_are_kept_in_order(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sdf_table, "RESULTS", tmp_path / "results")
    budget = Budget(about="", meshes=("a", "b"), models=("m",), params=1, steps=1)
    assert read_rows("some") == {}
    rows = {
        (model, mesh): {"model": model, "mesh": mesh}
        for model, mesh in (("old", "b"), ("m", "b"), ("m", "a"))
    }
    write_rows("some", budget, rows)
    assert list(read_rows("some")) == [("m", "a"), ("m", "b"), ("old", "b")]


def test_markdown_has_means_of_whole_models_only():
    budget = Budget(
        about="About.",
        meshes=("a.obj", "b.obj"),
        models=("whole", "half"),
        params=1,
        steps=1,
        some={"other": ["a.obj"]},
    )
    machine = {"cpu": "a processor", "cores_usable": 2}
    judge = {"resolution": 64, "surface_points": 3000, "box_points": 20_000}
    recipe = {"judge": judge}
    rows = {
        key: {"iou": iou, "nae": 5.0, "machine": machine, "recipe": recipe}
        for key, iou in {
            ("whole", "a.obj"): 0.9,
            ("whole", "b.obj"): 0.8,
            ("half", "a.obj"): 0.7,
            ("other", "a.obj"): None,
        }.items()
    }
    lines = markdown(budget, rows, TABLE.published).splitlines()
    assert lines[0] == "About."
    assert any(line.startswith("| **mean** | whole | 0.8500 | 5.00") for line in lines)
    assert not any(line.startswith("| **mean** | half") for line in lines)
    assert any(line.startswith("| a | other | - | 5.00") for line in lines)
    assert "Made on a processor, 2 cores." in lines
    assert any(line.startswith("IoU counts 20,000 points") for line in lines)


@pytest.mark.parametrize("name", TABLE.budgets)
def test_committed_rows_belong_to_the_table(name: str):
    budget, rows = TABLE.budgets[name], read_rows(name)
    for key, row in rows.items():
        assert key in budget.keys
        assert row["recipe"]["model"] == key[0]
        assert json.dumps(row)
        if budget.minutes is not None:
            assert row["seconds"] == pytest.approx(60 * budget.minutes, rel=0.05)
