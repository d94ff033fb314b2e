"""The image table: what it asks for, what is missing, how it is shown."""

import csv
import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast
from unittest.mock import ANY

import pytest
from PIL import Image

from papers.images import fill
from papers.images.fill import (
    fit_cell,
    missing,
    read_results,
    run_folder,
    write_page,
    write_results,
)
from papers.images.picture import draw_models
from papers.images.plan import Cell, Row, Table, cells, read_table
from papers.images.render import markdown, to_csv
from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError, DataError
from tangrid.fields import EncodedFieldConfig
from tangrid.presets import model_names
from tangrid.runs.codec import to_plain
from tangrid.runs.overrides import with_overrides

TABLE = read_table()
ROWS = tuple(name for name, row in TABLE.rows.items() if "smoke" in row.budgets)


def growth(cell: Cell) -> float:
    field = cast("EncodedFieldConfig", cell.experiment.field)
    return cast("TableGridConfig", field.encoding).growth


def changed_by(cell: Cell, settings: dict[str, str]) -> Cell:
    experiment = with_overrides(cell.experiment, settings)
    return dataclasses.replace(cell, experiment=experiment)


def row_of(cell: Cell, psnr: float, **more: Any) -> dict[str, Any]:
    name, image, seed = cell.key
    return {
        "model": name,
        "signal": image,
        "seed": seed,
        "psnr": psnr,
        "ssim": 0.9,
        "params_trainable": 20_000,
        "params_stored": 21_000,
        "seconds": 2.0,
        "peak_memory_mb": 500.0,
        "digest": cell.digest,
        "commit": "0123456789",
        "machine": {"cpu": "a processor", "cores_usable": 2},
        **more,
    }


def test_rows_name_models_budgets_and_rows_that_exist():
    for row in TABLE.rows.values():
        assert row.model in model_names()
        assert set(row.budgets) <= set(TABLE.budgets)
        assert set(row.seeds) <= set(row.budgets)
        assert set(row.images) <= set(row.budgets)
        for budget, images in row.images.items():
            assert set(images) <= set(TABLE.budgets[budget].images)
        assert row.levels_of is None or row.levels_of in TABLE.rows
        assert row.title


def test_budgets_name_files_each_by_a_name_of_its_own():
    for budget in TABLE.budgets.values():
        assert len({Path(image).stem for image in budget.images}) == len(budget.images)
        assert not any("*" in image for image in budget.images)


def test_every_model_of_the_smoke_table_can_be_planned():
    planned = cells(TABLE, "smoke")
    assert {cell.row.name for cell in planned} == set(ROWS)
    assert len({cell.digest for cell in planned}) == len(ROWS)


def test_grids_of_one_kind_share_their_levels():
    planned = {cell.key: cell for cell in cells(TABLE, "smoke")}
    one, other = (
        planned[name, "coffee", 0] for name in ("instant-ngp", "instant-ngp-sine")
    )
    assert growth(one) == growth(other)


def test_a_row_too_far_from_the_budget_is_refused():
    budget = dataclasses.replace(TABLE.budgets["smoke"], tolerance=0.001)
    table = dataclasses.replace(TABLE, budgets={"smoke": budget})
    words = r"expected 20000 parameters within 0\.1% with the levels of 'mulfagrid-16'"
    with pytest.raises(ConfigError, match=words):
        cells(table, "smoke", ("instant-ngp",))
    tight = dataclasses.replace(budget, tolerance=1e-6)
    table = dataclasses.replace(TABLE, budgets={"smoke": tight})
    with pytest.raises(ConfigError, match=r"within 0\.0%, got"):
        cells(table, "smoke", ("mulfagrid",))


@pytest.mark.parametrize(
    ("budget", "names", "words"),
    [("crop25", (), "crop256"), ("smoke", ("instantngp",), "instant-ngp")],
)
def test_other_names_are_refused(budget: str, names: tuple[str, ...], words: str):
    with pytest.raises(ConfigError, match=f"Did you mean '{words}'"):
        cells(TABLE, budget, names)


def test_images_need_their_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TANGRID_DATA", raising=False)
    budget = dataclasses.replace(TABLE.budgets["smoke"], images=("kodak/kodim99.png",))
    table = dataclasses.replace(TABLE, budgets={"smoke": budget})
    with pytest.raises(DataError, match="environment variable TANGRID_DATA"):
        cells(table, "smoke", ("instant-ngp",))


def test_a_cell_is_done_until_its_settings_change(tmp_path: Path):
    planned = cells(TABLE, "smoke", ("instant-ngp",))
    path = tmp_path / "smoke.json"
    assert missing(planned, *read_results(path)) == planned
    first = planned[0]
    rows, recipes = (
        {first.key: row_of(first, 30.0)},
        {first.digest: to_plain(first.recipe)},
    )
    write_results(path, rows, recipes, planned)
    assert read_results(path) == (rows, recipes)
    assert missing(planned, rows, recipes) == planned[1:]
    changed = changed_by(first, {"training.rates.grid": "0.5"})
    assert missing([changed], rows, recipes) == [changed]


def test_a_recipe_older_than_a_setting_stands_for_its_default():
    (cell, _) = cells(TABLE, "smoke", ("instant-ngp",))
    old = json.loads(json.dumps(to_plain(cell.recipe)))
    del old["field"]["encoding"]["footprint"]
    del old["training"]["checkpoint_minutes"]
    del old["signal"]["downscale"]
    rows = {cell.key: row_of(cell, 30.0, digest="old")}
    assert missing([cell], rows, {"old": old}) == []
    old["training"]["ema"] = 0.9
    assert missing([cell], rows, {"old": old}) == [cell]
    old["no such setting"] = 1
    assert missing([cell], rows, {"old": old}) == [cell]


def test_where_an_image_stands_does_not_matter():
    (cell, _) = cells(TABLE, "smoke", ("instant-ngp",))
    moved = changed_by(cell, {"signal.path": "elsewhere.png", "seed": "7"})
    assert moved.digest == cell.digest


def test_the_table_shows_means_seeds_and_what_is_missing():
    one = cells(TABLE, "smoke", ("instant-ngp",))[0]
    rows = {}
    for seed, scores in ((0, (30.0, 32.0)), (1, (31.0, 33.0))):
        for image, psnr in zip(("astronaut", "coffee"), scores, strict=True):
            key = ("instant-ngp", image, seed)
            rows[key] = row_of(one, psnr, signal=image, seed=seed)
    half = row_of(one, 25.0, model="neurbf")
    rows["neurbf", "astronaut", 0] = half
    # A seed without every image counts for nothing, and an unknown number is not 0.
    stray = row_of(one, 10.0, signal="coffee", seed=2)
    rows["instant-ngp", "coffee", 2] = stray
    rows["instant-ngp", "coffee", 0]["ssim"] = None
    models = [
        Row(name="instant-ngp", title="InstantNGP", model="instant-ngp", group="grids"),
        Row(name="neurbf", title="NeuRBF", model="neurbf", group="others"),
        Row(name="absent", title="Absent", model="siren"),
    ]
    text = markdown(TABLE.budgets["smoke"], models, rows, TABLE.published)
    assert "| InstantNGP | 30.50 | 32.50 | **31.50** ± 0.71 | - | 20,000 |" in text
    assert "| NeuRBF | 25.00 | - | - | - | 20,000 |" in text
    assert "*others*" in text
    assert "Absent" not in text
    assert "a processor, 2 cores, at commit 01234567" in text
    assert TABLE.published[0].comparable in text
    parsed = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert len(parsed) == 6
    assert parsed[0]["psnr"] == "30.0"


def test_a_cell_is_fitted_and_shown(tmp_path: Path):
    (cell, _) = cells(TABLE, "smoke", ("instant-ngp",))
    cell = changed_by(cell, {"training.steps": "3"})
    row = json.loads(json.dumps(fit_cell(tmp_path, cell)))
    assert (row["model"], row["signal"], row["seed"]) == cell.key
    assert row["digest"] == cell.digest
    assert row["steps"] == 3
    page = write_page(tmp_path, [cell], {cell.key: row})
    assert "instant-ngp" in page.read_text()
    # A second fit finds the folder of the first and has nothing left to do.
    assert fit_cell(tmp_path, cell) == {**row, "peak_memory_mb": ANY}


def test_models_are_drawn_side_by_side(tmp_path: Path):
    planned = cells(TABLE, "smoke", ("instant-ngp", "instant-ngp-sine"))
    drawn = [
        changed_by(cell, {"training.steps": "3"})
        for cell in planned
        if cell.image == "coffee"
    ]
    target = tmp_path / "models.png"
    draw_models(tmp_path, drawn, target)
    with Image.open(target) as picture:
        assert picture.width > 1000
    scales = {
        json.loads((run_folder(tmp_path, cell) / "pictures.json").read_text())[
            "error_scale"
        ]
        for cell in drawn
    }
    assert len(scales) == 1


def test_a_fit_of_another_commit_begins_anew(tmp_path: Path):
    cell = changed_by(
        cells(TABLE, "smoke", ("instant-ngp",))[0], {"training.steps": "3"}
    )
    fit_cell(tmp_path, cell)
    path = run_folder(tmp_path, cell) / "environment.json"
    environment = json.loads(path.read_text())
    path.write_text(json.dumps({**environment, "commit": "0" * 40, "time": "then"}))
    again = fit_cell(tmp_path, cell)
    assert again["commit"] == environment["commit"]
    assert again["time"] != "then"


def test_one_fit_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    planned = cells(TABLE, "smoke", ("instant-ngp",))
    lines = iter([None, row_of(planned[1], 30.0)])
    monkeypatch.setattr(fill, "RESULTS", tmp_path)
    monkeypatch.setattr(fill, "_last_line", lambda command: next(lines))
    smoke = TABLE.budgets["smoke"]
    assert fill.fill(smoke, planned, planned, tmp_path) == [planned[0]]
    rows, _ = read_results(tmp_path / "smoke.json")
    assert list(rows) == [planned[1].key]


def test_a_fit_that_is_interrupted_may_save_before_the_filling_ends(tmp_path: Path):
    """Ctrl-C reaches both; the fit takes half a second to write its state."""
    saved, ready = tmp_path / "saved", tmp_path / "ready"
    child = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.5)\n"
        f"    pathlib.Path({str(saved)!r}).touch()\n"
        "    sys.exit(1)\n"
        "signal.signal(signal.SIGINT, save)\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import sys\n"
        "from papers.images.fill import _last_line\n"
        f"_last_line([sys.executable, '-c', {child!r}])\n"
    )
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", parent],
            start_new_session=True,
            stderr=errors,
            cwd=Path(__file__).parents[2],
        )
        deadline = time.monotonic() + 60
        while not ready.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    assert saved.exists()
    assert b"KeyboardInterrupt" in (tmp_path / "errors").read_bytes()


def test_what_a_fit_prints_last_is_its_row():
    def last_line(program: str) -> dict[str, Any] | None:
        return fill._last_line([sys.executable, "-c", program])

    assert last_line("print('1 of 2'); print('{\"psnr\": 30.0}')") == {"psnr": 30.0}
    assert last_line("print('{}'); raise SystemExit(3)") is None
    assert last_line("") is None


def test_a_table_is_plain_data(tmp_path: Path):
    path = tmp_path / "table.toml"
    path.write_text(
        '[budgets.b]\nabout = "few"\nimages = ["coffee"]\nparams = 9\nsteps = 1\n'
        '[[rows]]\nname = "a"\ntitle = "A"\nmodel = "siren"\nbudgets = ["b"]\n'
    )
    table = read_table(path)
    assert isinstance(table, Table)
    assert table.budgets["b"].images == ("coffee",)
    assert table.rows["a"].budgets == ("b",)
