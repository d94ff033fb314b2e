"""The page of an analysis of tangent kernels: what theory says of each model."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tangrid.reports.fit_report import REPORT
from tangrid.reports.kernel_bounds import bound_section
from tangrid.reports.kernel_entries import (
    Analysis,
    analysis_of,
    number,
    section_of,
    text,
)
from tangrid.reports.kernel_errors import error_section
from tangrid.reports.kernel_numbers import summary_section
from tangrid.reports.kernel_sections import (
    eigenvalue_section,
    spectrum_section,
    training_section,
)
from tangrid.reports.kernel_shares import share_section
from tangrid.reports.kernel_slices import slice_section
from tangrid.reports.kernel_theorems import bound_table_section, stationarity_section
from tangrid.reports.kernel_words import compact_json, listed
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import banner, code_block, fold, header, page, section
from tangrid.reports.tables import settings_table
from tangrid.runs import KernelRecord, RunFolder, read_kernels


def write_kernel_report(folder: Path) -> Path:
    """Write the page of an analysis of tangent kernels into its folder.

    Args:
        folder: The folder of the analysis, finished or not.

    Returns:
        The page.

    Raises:
        DataError: If the folder is not that of a run, a file in it is damaged, or the
            page cannot be written.
    """
    record = read_kernels(folder)
    RunFolder(record.folder).write_bytes(
        REPORT, kernel_page(record).encode(errors="backslashreplace")
    )
    return record.folder / REPORT


def kernel_page(record: KernelRecord) -> str:
    """Return the page of an analysis of tangent kernels.

    Args:
        record: What it left behind.
    """
    analysis = analysis_of(record)
    models = list(dict.fromkeys(it.model for it in analysis.variants))
    signal = text(record.kernel, "signal", "name") or "a signal"
    title = f"{listed(models) if len(models) < 4 else f'{len(models)} models'}"
    return page(
        f"Tangent kernels: {title} on {signal}",
        header(
            f"tangrid {record.config.get('kind') or ''}".replace("-", " ").strip(),
            [f"Tangent kernels of {title} ", tag("span", f"on {signal}", class_="on")]
            if models
            else "Tangent kernels",
            *_facts(record, analysis),
        ),
        None if record.is_finished else _unfinished(analysis),
        _sections(analysis) if analysis.variants else None,
        _repeat_section(record),
    )


def _sections(analysis: Analysis) -> list[Child]:
    found = [
        ("Numbers", summary_section(analysis)),
        ("Fourier spectrum", spectrum_section(analysis)),
        ("Bound of two points", bound_section(analysis)),
        ("Error maps", error_section(analysis)),
        ("Eigenvalues", eigenvalue_section(analysis)),
        ("Parts", share_section(analysis)),
        ("Training", training_section(analysis)),
        ("Around a point", slice_section(analysis)),
        ("Theorem 2", stationarity_section(analysis)),
        ("Theorem 3", bound_table_section(analysis)),
        ("Warnings", _warning_section(analysis.kernel)),
    ]
    shown = [(name, it) for name, it in found if it is not None]
    chips = [tag("li", tag("a", name, href=f"#{_anchor(name)}")) for name, _ in shown]
    return [
        _warning_banner(analysis.kernel),
        tag("nav", tag("ul", chips, class_="chips"), aria_label="Sections"),
        [tag("div", it, id=_anchor(name)) for name, it in shown],
    ]


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _warning_banner(kernel: Mapping[str, Any]) -> Html | None:
    count = len(_warnings(kernel))
    if count == 0:
        return None
    words = "A warning" if count == 1 else f"{count} warnings"
    link = tag("a", words, href=f"#{_anchor('Warnings')}")
    return banner(link, f" {'belongs' if count == 1 else 'belong'} to these numbers.")


def _facts(record: KernelRecord, analysis: Analysis) -> list[Child]:
    kernel = record.kernel
    count = number(kernel, "points", "count")
    resolution = section_of(kernel, "signal").get("resolution")
    sides = None
    if isinstance(resolution, list) and resolution:
        sides = " \N{MULTIPLICATION SIGN} ".join(str(side) for side in resolution)
    seeds = ", ".join(str(seed) for seed in analysis.seeds)
    several = len(analysis.seeds) > 1
    return [
        f"{count:,} points" if count is not None else None,
        sides,
        _rows(analysis),
        f"seed{'s' if several else ''} {seeds}" if seeds else None,
        record.environment.get("cpu"),
        f"{str(record.environment['time'])[:16].replace('T', ' ')} UTC"
        if record.environment.get("time")
        else None,
    ]


def _rows(analysis: Analysis) -> str | None:
    rows = {number(it.first.values, "rows") for it in analysis.variants} - {None}
    if len(rows) != 1:
        return None
    summed = {text(it.first.values, "outputs") for it in analysis.variants} == {"trace"}
    words = f"kernels of {rows.pop():,} rows"
    return f"{words}, summed over channels" if summed else words


def _unfinished(analysis: Analysis) -> Html:
    count = sum(len(it.entries) for it in analysis.variants)
    if count == 0:
        return banner("This analysis did not finish. It has no kernel yet.")
    done = "one kernel" if count == 1 else f"{count} kernels"
    return banner(f"This analysis did not finish. What follows is of {done}.")


def _warnings(kernel: Mapping[str, Any]) -> list[str]:
    found = kernel.get("warnings")
    return [str(it) for it in found] if isinstance(found, list) else []


def _warning_section(kernel: Mapping[str, Any]) -> Html | None:
    warnings = _warnings(kernel)
    if not warnings:
        return None
    items = tag("ul", [tag("li", it) for it in warnings], class_="warnings")
    return section("Warnings", items)


def _repeat_section(record: KernelRecord) -> Html:
    command = record.environment.get("command")
    if isinstance(command, list):
        command = shlex.join(str(word) for word in command)
    environment = {
        name: value
        for name, value in record.environment.items()
        if value not in (None, {}, [])
    }
    config = json.dumps(record.config, indent=2, ensure_ascii=False)
    return section(
        "Repeat this analysis",
        code_block(str(command)) if command else None,
        fold("Settings", settings_table("Settings", record.config)),
        fold("Machine and versions", settings_table("Machine", environment))
        if environment
        else None,
        fold("config.json", code_block(config), is_open=not command),
        fold("kernel.json", code_block(compact_json(record.kernel)))
        if record.kernel
        else None,
        lead="Points, seeds and every setting are in config.json; all numbers of this "
        "page are in kernel.json, the maps in kernel.safetensors.",
    )
