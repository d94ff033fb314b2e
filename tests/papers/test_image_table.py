"""The image table: what it asks for, what is missing, how it is shown."""

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any, cast

import pytest

from papers.images.fill import fit_cell, missing, read_rows, write_page, write_rows
from papers.images.plan import Cell, Row, Table, cells, read_table
from papers.images.render import markdown, to_csv
from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError, DataError
from tangrid.fields import EncodedFieldConfig
from tangrid.presets import model_names
from tangrid.runs.overrides import with_overrides

TABLE = read_table()
ROWS = tuple(name for name, row in TABLE.rows.items() if "smoke" in row.budgets)


def growth(cell: Cell) -> float:
    field = cast("EncodedFieldConfig", cell.experiment.field)
    return cast("TableGridConfig", field.encoding).growth


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
        assert row.levels_of is None or row.levels_of in TABLE.rows
        assert row.title


def test_every_model_of_the_smoke_table_can_be_planned():
    planned = cells(TABLE, "smoke")
    assert {cell.row.name for cell in planned} == set(ROWS)
    assert len({cell.digest for cell in planned}) == len(planned)


def test_grids_of_one_kind_share_their_levels():
    planned = {cell.key: cell for cell in cells(TABLE, "smoke")}
    one, other = (
        planned[name, "coffee", 0] for name in ("instant-ngp", "instant-ngp-sine")
    )
    assert growth(one) == growth(other)


def test_a_row_too_far_from_the_budget_is_refused():
    budget = dataclasses.replace(TABLE.budgets["smoke"], tolerance=0.001)
    table = dataclasses.replace(TABLE, budgets={"smoke": budget})
    with pytest.raises(ConfigError, match="expected about 20000 parameters"):
        cells(table, "smoke", ("instant-ngp",))


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
    assert missing(planned, read_rows(path)) == planned
    rows = {planned[0].key: row_of(planned[0], 30.0)}
    write_rows(path, rows, [cell.key for cell in planned])
    assert read_rows(path) == rows
    assert missing(planned, read_rows(path)) == planned[1:]
    experiment = with_overrides(planned[0].experiment, {"training.rates.grid": "0.5"})
    changed = dataclasses.replace(planned[0], experiment=experiment)
    assert missing([changed], read_rows(path)) == [changed]


def test_where_an_image_stands_does_not_matter():
    (cell, _) = cells(TABLE, "smoke", ("instant-ngp",))
    moved = with_overrides(cell.experiment, {"signal.path": "elsewhere.png"})
    assert dataclasses.replace(cell, experiment=moved).digest == cell.digest


def test_the_table_shows_means_seeds_and_what_is_missing():
    one = cells(TABLE, "smoke", ("instant-ngp",))[0]
    rows = {}
    for seed, scores in ((0, (30.0, 32.0)), (1, (31.0, 33.0))):
        for image, psnr in zip(("astronaut", "coffee"), scores, strict=True):
            key = ("instant-ngp", image, seed)
            rows[key] = row_of(one, psnr, signal=image, seed=seed)
    half = row_of(one, 25.0, model="neurbf")
    rows["neurbf", "astronaut", 0] = half
    models = [
        Row(name="instant-ngp", title="InstantNGP", model="instant-ngp", group="grids"),
        Row(name="neurbf", title="NeuRBF", model="neurbf", group="others"),
        Row(name="absent", title="Absent", model="siren"),
    ]
    text = markdown(TABLE.budgets["smoke"], models, rows, TABLE.published)
    assert "| InstantNGP | 30.50 | 32.50 | **31.50** ± 0.71 | 0.9000 | 20,000 |" in text
    assert "| NeuRBF | 25.00 | - | - |" in text
    assert "*others*" in text
    assert "Absent" not in text
    assert "a processor, 2 cores, at commit 01234567" in text
    assert TABLE.published[0].comparable in text
    parsed = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert len(parsed) == 5
    assert parsed[0]["psnr"] == "30.0"


def test_a_cell_is_fitted_and_shown(tmp_path: Path):
    (cell, _) = cells(TABLE, "smoke", ("instant-ngp",))
    few = with_overrides(cell.experiment, {"training.steps": "3"})
    cell = dataclasses.replace(cell, experiment=few)
    row = json.loads(json.dumps(fit_cell(tmp_path, cell)))
    assert (row["model"], row["signal"], row["seed"]) == cell.key
    assert row["digest"] == cell.digest
    assert row["steps"] == 3
    page = write_page(tmp_path, [cell], {cell.key: row})
    assert "instant-ngp" in page.read_text()
    # A second fit finds the folder of the first and has nothing left to do.
    assert fit_cell(tmp_path, cell)["psnr"] == row["psnr"]


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
