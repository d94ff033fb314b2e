"""What a finished command prints: the main numbers and where the report is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tangrid.reports import write_compare_report, write_fit_report
from tangrid.reports.measures import COST, QUALITY, Measure, duration, is_number
from tangrid.reports.remarks import notes_of, shared_notes
from tangrid.reports.results import Results
from tangrid.reports.view_protocol import lpips_words, protocol_lines, protocol_title
from tangrid.runs import RunFolder, read_run, read_table

_COLUMNS = (
    *(measure for measure in QUALITY if measure.key != "psnr_8bit"),
    *(measure for measure in COST if measure.key != "params_stored"),
)
_IN_A_SENTENCE = tuple(
    measure
    for measure in _COLUMNS
    if measure.key not in ("seconds", "samples_per_second")
)


def print_fit(folder: RunFolder) -> None:
    """Write the report of a run; print its main numbers and the report's path.

    Args:
        folder: The run.
    """
    report = write_fit_report(folder.path)
    metrics = read_run(folder.path).metrics
    words = [_words(measure, metrics) for measure in _IN_A_SENTENCE]
    time = " ".join(duration(metrics.get("seconds")))
    quality = ", ".join(word for word in words if word)
    print(f"{metrics['signal']}, {metrics['model']}: {quality} in {time}")
    title = protocol_title(metrics)
    judged = f"judged by {title}" if title else None
    missing = metrics.get("surface_missing")
    for remark in (judged, lpips_words(metrics), missing, *notes_of(metrics)):
        if remark:
            print(remark)
    print(report)


def _words(measure: Measure, metrics: Mapping[str, Any]) -> str:
    if not is_number(metrics.get(measure.key)):
        return ""
    number, unit = measure.text(metrics), f" {measure.unit}" if measure.unit else ""
    if measure in COST:
        return f"{number} {measure.label.lower()}"
    return f"{measure.label} {number}{unit}"


def print_comparison(folder: RunFolder) -> None:
    """Write the page of a comparison; print its table and the page's path.

    Args:
        folder: The comparison.
    """
    report = write_compare_report(folder.path)
    rows = read_table(folder.path).rows
    for line in (*table_lines(rows), *_remarks(rows)):
        print(line)
    print(report)


def _remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return by what fits were judged, what is odd about them and their signals."""
    missing = [
        f"{row['signal']}, {row['model']}, seed {row['seed']}: {row['surface_missing']}"
        for row in rows
        if row.get("surface_missing")
    ]
    return [*protocol_lines(rows), *missing, *shared_notes(rows)]


def table_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of a comparison as lines of text.

    Args:
        rows: Metrics of every run; the means over images and seeds stand below.

    Example:
        >>> rows = [{"signal": "photo", "model": "siren", "seed": 0, "psnr": 31.5}]
        >>> for line in table_lines(rows):
        ...     print(line)
        signal  model  PSNR (dB)
        ------------------------
        photo   siren      31.50
    """
    results = Results(rows=tuple(rows))
    measures = [m for m in _COLUMNS if any(is_number(row.get(m.key)) for row in rows)]
    has_seeds = len(results.seeds) > 1
    head = ["signal", "model", *(["seed"] if has_seeds else [])]
    head += [f"{m.label} ({m.unit})" if m.unit == "dB" else m.label for m in measures]
    lines = [
        [
            str(row[key])
            for key in ("signal", "model", "seed")
            if has_seeds or key != "seed"
        ]
        + [measure.text(row) for measure in measures]
        for row in rows
    ]
    means = []
    if len(rows) > len(results.models):
        means = [
            ["mean", group.model, *([""] if has_seeds else [])]
            + [measure.format(group.mean(measure)) for measure in measures]
            for group in results.of_models()
        ]
    return aligned([head, [], *lines, *([[], *means] if means else [])], len(measures))


def aligned(table: Sequence[Sequence[str]], num_numbers: int) -> list[str]:
    """Return rows as lines of text, with words to the left and numbers to the right.

    Args:
        table: Cells by row; an empty row is a rule.
        num_numbers: Columns of numbers, the last ones.

    Example:
        >>> aligned([["name", "PSNR"], [], ["a", "31.20"]], 1)
        ['name   PSNR', '-----------', 'a     31.20']
    """
    full = [row for row in table if row]
    widths = [max(len(cell) for cell in column) for column in zip(*full, strict=True)]
    words = len(widths) - num_numbers

    def line(row: Sequence[str]) -> str:
        cells: Iterable[str] = (
            cell.ljust(width) if index < words else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [line(row) if row else rule for row in table]
