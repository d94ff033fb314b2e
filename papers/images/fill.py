"""Fit what is missing in a table, each fit in a process of its own, and keep the rows.

A process of its own, because the most memory that a process has held is all one can ask
it for.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from papers.images.plan import HERE, Budget, Cell
from tangrid.experiments.compare_images import framing_of
from tangrid.experiments.fit_image import run_fit
from tangrid.registry import KINDS
from tangrid.reports import write_compare_report, write_fit_report
from tangrid.runs.codec import to_plain
from tangrid.runs.environment import describe_environment
from tangrid.runs.store import RunFolder
from tangrid.runs.writing import write_whole

RESULTS = HERE / "results"
_MACHINE = ("cpu", "cores", "cores_usable", "memory_gb", "platform")

Rows = dict[tuple[str, str, int], dict[str, Any]]
Recipes = dict[str, dict[str, Any]]


def read_results(path: Path) -> tuple[Rows, Recipes]:
    """Return the rows that are there, by model, image and seed, and their recipes.

    Args:
        path: A results file; absent at first.
    """
    if not path.is_file():
        return {}, {}
    results = json.loads(path.read_text())
    rows = {(row["model"], row["signal"], row["seed"]): row for row in results["rows"]}
    return rows, results["recipes"]


def write_results(path: Path, rows: Rows, recipes: Recipes, cells: list[Cell]) -> None:
    """Write rows in the order of the table; rows of other models come last.

    Args:
        path: The results file.
        rows: All rows.
        recipes: At least the recipes that they name.
        cells: The table's cells.
    """
    places = {cell.key: place for place, cell in enumerate(cells)}
    keys = sorted(rows, key=lambda key: (places.get(key, len(places)), key))
    named = {row["digest"] for row in rows.values()}
    lines = ",\n".join(json.dumps(rows[key]) for key in keys)
    kept = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(recipe)}"
        for name, recipe in sorted(recipes.items())
        if name in named
    )
    text = f'{{"rows": [\n{lines}\n],\n"recipes": {{\n{kept}\n}}}}\n'
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def is_done(cell: Cell, row: dict[str, Any] | None, recipes: Recipes) -> bool:
    """Return whether a row is that of a cell.

    A recipe that was written before a setting came to be stands for that setting's
    default; a default that has changed since makes another recipe.

    Args:
        cell: What is asked for.
        row: What is there, if anything.
        recipes: Every recipe that a row names.
    """
    if row is None:
        return False
    if row["digest"] == cell.digest:
        return True
    recipe = recipes.get(row["digest"])
    return recipe is not None and _stands_for(recipe, to_plain(cell.recipe))


def _stands_for(
    old: dict[str, Any], new: dict[str, Any], above: dict[str, Any] | None = None
) -> bool:
    """Return whether settings are the same but for new ones at their defaults.

    Settings that name their kind have that kind's defaults; others, those that stand
    for them among the defaults of what they are part of.
    """
    if not old.keys() <= new.keys():
        return False
    kind = new.get("kind")
    defaults = to_plain(KINDS[kind]()) if kind in KINDS else above or {}
    for name, value in new.items():
        if name not in old:
            if name not in defaults or defaults[name] != value:
                return False
        elif isinstance(value, dict) and isinstance(old[name], dict):
            if not _stands_for(old[name], value, defaults.get(name)):
                return False
        elif old[name] != value:
            return False
    return True


def missing(cells: list[Cell], rows: Rows, recipes: Recipes) -> list[Cell]:
    """Return the cells that were never fitted, or with other settings.

    Args:
        cells: The table's cells.
        rows: What is there.
        recipes: Every recipe that a row names.
    """
    return [cell for cell in cells if not is_done(cell, rows.get(cell.key), recipes)]


def run_folder(folder: Path, cell: Cell) -> Path:
    """Return where one fit is kept.

    Args:
        folder: The folder of the table's runs.
        cell: The fit.
    """
    name, image, seed = cell.key
    return folder / "runs" / f"{image}-{name}-seed{seed}"


def fit_cell(folder: Path, cell: Cell) -> dict[str, Any]:
    """Fit one cell and return its row.

    A fit that was stopped goes on; one of another commit begins anew, since a recipe
    does not say what the code was. All fits of an image are drawn with one scale of
    errors and the same crops, so that one can compare them.

    Args:
        folder: The folder of the table's runs.
        cell: What to fit.

    Returns:
        Scores and costs, and where they come from.
    """
    path = run_folder(folder, cell)
    begun = _is_begun(path, cell)
    run = RunFolder.open(path) if begun else RunFolder.create(path, overwrite=True)
    signal = cell.experiment.signal.open()
    drawn = sorted((folder / "runs").glob(f"{cell.image}-*/pictures.json"))
    framing = framing_of(RunFolder.open(drawn[0].parent)) if drawn else None
    fitted = run_fit(cell.experiment, signal, folder=run, resume=begun, framing=framing)
    write_fit_report(path)
    environment = run.read_json("environment.json")
    return {
        **fitted.metrics,
        "model": cell.row.name,
        "digest": cell.digest,
        "commit": environment.get("commit"),
        "time": environment.get("time"),
        "machine": {key: environment.get(key) for key in _MACHINE},
    }


def _is_begun(path: Path, cell: Cell) -> bool:
    """Return whether a folder holds the state of a cell's fit at this commit."""
    if not (path / "state.json").is_file():
        return False
    run = RunFolder.open(path)
    same_code = run.read_json("environment.json").get("commit") == _commit()
    return same_code and run.read_json("config.json") == to_plain(cell.experiment)


def _commit() -> str | None:
    return describe_environment().get("commit")


def fill(
    budget: Budget,
    cells: list[Cell],
    everything: list[Cell],
    folder: Path,
    minutes: float | None = None,
) -> list[Cell]:
    """Fit missing cells, one after the other; one that fails does not stop the others.

    Args:
        budget: The table.
        cells: The cells to look at.
        everything: All cells of the table, in whose order rows are kept.
        folder: The folder of the table's runs.
        minutes: Wall time after which no further fit is begun.

    Returns:
        The cells that failed.
    """
    path = RESULTS / f"{budget.name}.json"
    rows, recipes = read_results(path)
    wanted = missing(cells, rows, recipes)
    failed = []
    start = time.monotonic()
    for number, cell in enumerate(wanted, start=1):
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            print(f"stopped after {minutes:g} minutes; run it again to go on")
            break
        # Other processes may fill other rows of the same table.
        rows, recipes = read_results(path)
        if is_done(cell, rows.get(cell.key), recipes):
            continue
        name, image, seed = cell.key
        command = [sys.executable, "-m", "papers.images", budget.name]
        words = ["--out", str(folder), "--one", name, image, str(seed)]
        row = _last_line([*command, *words])
        if row is None:
            failed.append(cell)
            continue
        rows, recipes = read_results(path)
        rows[cell.key] = row
        recipes[cell.digest] = to_plain(cell.recipe)
        write_results(path, rows, recipes, everything)
        print(
            f"{number}/{len(wanted)}  {name:24} {image:12} seed {seed}  "
            f"{row[budget.score]:6.2f} dB  {row['params_trainable']:9,d} parameters  "
            f"{row['seconds']:6.1f} s",
            flush=True,
        )
    return failed


def _last_line(command: list[str]) -> dict[str, Any] | None:
    """Return the object that a program prints last; None if it fails or says none."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        # The fit was told as well, and saves its state before it ends.
        process.wait()
        raise
    lines = output.splitlines() if process.returncode == 0 else []
    return json.loads(lines[-1]) if lines else None


def write_page(folder: Path, cells: list[Cell], rows: Rows) -> Path:
    """Write the page with error maps of all runs that are kept in the folder.

    Args:
        folder: The folder of the table's runs.
        cells: The table's cells.
        rows: All rows.

    Returns:
        The page.
    """
    shown = []
    for cell in cells:
        path = run_folder(folder, cell)
        if cell.key in rows:
            row = dict(rows[cell.key])
            if (path / "metrics.json").is_file():
                row["run"] = str(path.relative_to(folder))
            shown.append(row)
    home = RunFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    home.write_json("config.json", {"kind": "image-table", "schema": 1})
    home.write_json("environment.json", describe_environment())
    home.write_json("table.json", {"rows": shown})
    return write_compare_report(folder)
