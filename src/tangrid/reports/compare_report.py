"""The page of a comparison: tables, and every signal with all models side by side."""

import json
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tangrid.errors import DataError
from tangrid.reports.entries import Entry
from tangrid.reports.fit_report import REPORT
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import banner, code_block, fold, header, page, section
from tangrid.reports.remarks import note_list, shared_notes
from tangrid.reports.results import Results
from tangrid.reports.signal_section import signal_section
from tangrid.reports.tables import mean_table, results_table, settings_table
from tangrid.reports.view_protocol import protocol_lines
from tangrid.runs import RunFolder, RunRecord, TableRecord, read_run, read_table


def write_compare_report(folder: Path) -> Path:
    """Write the page of a comparison into its folder.

    Reports of its runs are linked where they are there, so write those first.

    Args:
        folder: The folder of a comparison, finished or not.

    Returns:
        The page.

    Raises:
        DataError: If the folder is not that of a comparison, or the page cannot be
            written.
    """
    table = read_table(folder)
    RunFolder(table.folder).write_bytes(
        REPORT, compare_page(table).encode(errors="backslashreplace")
    )
    return table.folder / REPORT


def compare_page(table: TableRecord) -> str:
    """Return the page of a comparison.

    Args:
        table: What the comparison left behind.
    """
    results = Results(rows=table.rows)
    title = _title(results)
    return page(
        f"Comparison: {title}",
        header("tangrid comparison", title, *_facts(table, results)),
        None if table.is_finished else _unfinished(results),
        _table_section(table, results) if table.rows else None,
        [
            signal_section(signal, _entries(table, results, signal), _name(position))
            for position, signal in enumerate(results.signals)
        ],
        _repeat_section(table),
    )


def _title(results: Results) -> str:
    signals, models = results.signals, results.models
    if not signals:
        return "no results yet"
    over = signals[0] if len(signals) == 1 else f"{len(signals)} signals"
    if len(models) == 2:
        return f"{models[0]} and {models[1]} on {over}"
    return f"{models[0] if len(models) == 1 else f'{len(models)} models'} on {over}"


def _facts(table: TableRecord, results: Results) -> list[Child]:
    seeds = ", ".join(str(seed) for seed in results.seeds)
    several = len(results.seeds) > 1
    devices = dict.fromkeys(
        str(row["device"]) for row in table.rows if row.get("device")
    )
    return [
        f"seed{'s' if several else ''} {seeds}" if seeds else None,
        ", ".join(devices),
        table.environment.get("cpu"),
        str(table.environment.get("time", ""))[:16].replace("T", " ") + " UTC",
    ]


def _unfinished(results: Results) -> Html:
    count = len(results.rows)
    done = "No run of it did." if count == 0 else f"{count} of its runs did."
    return banner("This comparison did not finish. ", done)


def _table_section(table: TableRecord, results: Results) -> Html:
    chips = [
        tag("li", tag("a", signal, href=f"#{_name(position)}"))
        for position, signal in enumerate(results.signals)
    ]
    return section(
        "Results",
        [
            mean_table(results),
            tag("p", "Mean over signals and seeds; the best is bold.", class_="note"),
        ]
        if len(table.rows) > len(results.models)
        else None,
        tag("h3", "Every signal") if len(results.signals) > 1 else None,
        results_table(results, lambda row: _link(table, row)),
        note_list([*protocol_lines(table.rows), *shared_notes(table.rows)]),
        tag("ul", chips, class_="chips") if len(chips) > 1 else None,
    )


def _name(position: int) -> str:
    return f"signal-{position + 1}"


def _entries(table: TableRecord, results: Results, signal: str) -> list[Entry]:
    return [
        Entry(
            group=group,
            index=results.models.index(group.model),
            runs=tuple(
                run for row in group.rows if (run := _read(table, row)) is not None
            ),
            link=_link(table, group.rows[0]),
        )
        for group in results.of_signal(signal)
    ]


def _read(table: TableRecord, row: Mapping[str, Any]) -> RunRecord | None:
    """Return what a run left behind; the table stands without it too."""
    if not isinstance(row.get("run"), str):
        return None
    with suppress(DataError):
        return read_run(table.folder / row["run"])
    return None


def _link(table: TableRecord, row: Mapping[str, Any]) -> str | None:
    run = row.get("run")
    if not isinstance(run, str) or not (table.folder / run / REPORT).is_file():
        return None
    return f"{quote(os.fsencode(run))}/{REPORT}"


def _repeat_section(table: TableRecord) -> Html:
    command = table.environment.get("command")
    if isinstance(command, list):
        command = shlex.join(str(word) for word in command)
    config = json.dumps(table.config, indent=2, ensure_ascii=False)
    environment = {
        name: value
        for name, value in table.environment.items()
        if value not in (None, {}, [])
    }
    return section(
        "Repeat this comparison",
        code_block(str(command)) if command else None,
        fold("Settings", settings_table("Settings", table.config)),
        fold("Machine and versions", settings_table("Machine", environment))
        if environment
        else None,
        fold("config.json", code_block(config), is_open=not command),
    )
