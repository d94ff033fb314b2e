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

from papers.images.plan import HERE, Cell
from tangrid.experiments.compare_images import framing_of
from tangrid.experiments.fit_image import run_fit
from tangrid.reports import write_compare_report, write_fit_report
from tangrid.runs.codec import to_plain
from tangrid.runs.environment import describe_environment
from tangrid.runs.store import RunFolder
from tangrid.runs.writing import write_whole

RESULTS = HERE / "results"
_MACHINE = ("cpu", "cores", "cores_usable", "memory_gb", "platform")

Rows = dict[tuple[str, str, int], dict[str, Any]]


def read_rows(path: Path) -> Rows:
    """Return the rows that are there, by model, image and seed.

    Args:
        path: A results file; absent at first.
    """
    if not path.is_file():
        return {}
    rows = json.loads(path.read_text())["rows"]
    return {(row["model"], row["signal"], row["seed"]): row for row in rows}


def write_rows(path: Path, rows: Rows, order: list[tuple[str, str, int]]) -> None:
    """Write rows in the order of the table; rows of other models come last.

    Args:
        path: The results file.
        rows: All rows.
        order: Keys of the table's cells.
    """
    places = {key: place for place, key in enumerate(order)}
    keys = sorted(rows, key=lambda key: (places.get(key, len(places)), key))
    text = json.dumps({"rows": [rows[key] for key in keys]}, indent=1)
    write_whole(path, (text + "\n").encode())


def missing(cells: list[Cell], rows: Rows) -> list[Cell]:
    """Return the cells that were never fitted, or with other settings.

    Args:
        cells: The table's cells.
        rows: What is there.
    """
    return [
        cell for cell in cells if rows.get(cell.key, {}).get("digest") != cell.digest
    ]


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

    A fit that was stopped goes on. All fits of an image are drawn with one scale of
    errors and the same crops, so that one can compare them.

    Args:
        folder: The folder of the table's runs.
        cell: What to fit.

    Returns:
        Scores and costs, and where they come from.
    """
    path = run_folder(folder, cell)
    plain = to_plain(cell.experiment)
    begun = (path / "state.json").is_file()
    if begun:
        begun = RunFolder.open(path).read_json("config.json") == plain
    run = RunFolder.open(path) if begun else RunFolder.create(path, overwrite=True)
    signal = cell.experiment.signal.open()
    framing = None
    for other in sorted((folder / "runs").glob(f"{cell.image}-*/pictures.json")):
        framing = framing_of(RunFolder.open(other.parent))
        break
    fitted = run_fit(cell.experiment, signal, folder=run, resume=begun, framing=framing)
    write_fit_report(path)
    environment = describe_environment()
    return {
        **fitted.metrics,
        "model": cell.row.name,
        "digest": cell.digest,
        "commit": environment.get("commit"),
        "time": environment.get("time"),
        "machine": {key: environment.get(key) for key in _MACHINE},
    }


def fill(
    budget: str, cells: list[Cell], folder: Path, minutes: float | None = None
) -> None:
    """Fit all missing cells, one after the other.

    Args:
        budget: Name of the table.
        cells: The table's cells.
        folder: The folder of the table's runs.
        minutes: Wall time after which no further fit is begun.
    """
    path = RESULTS / f"{budget}.json"
    order = [cell.key for cell in cells]
    rows = read_rows(path)
    wanted = missing(cells, rows)
    start = time.monotonic()
    for number, cell in enumerate(wanted, start=1):
        if minutes is not None and time.monotonic() - start > 60 * minutes:
            print(f"stopped after {minutes:g} minutes; run it again to go on")
            return
        name, image, seed = cell.key
        command = [sys.executable, "-m", "papers.images", budget, "--out", str(folder)]
        words = [*command, "--one", name, image, str(seed)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        # Other processes may fill other rows of the same table.
        rows = {**read_rows(path), cell.key: row}
        write_rows(path, rows, order)
        print(
            f"{number}/{len(wanted)}  {name:24} {image:12} seed {seed}  "
            f"{row['psnr']:6.2f} dB  {row['params_trainable']:9,d} parameters  "
            f"{row['seconds']:6.1f} s",
            flush=True,
        )


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
