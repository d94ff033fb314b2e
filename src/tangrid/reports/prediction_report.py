"""The page of a prediction: which candidate to train, how sure that is, and why."""

import json
import shlex
from pathlib import Path

from tangrid.reports.fit_report import REPORT
from tangrid.reports.kernel_entries import number, text
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import banner, code_block, fold, header, page, section
from tangrid.reports.prediction_entries import Prediction, prediction_of
from tangrid.reports.prediction_sections import (
    curve_section,
    diagnostic_section,
    estimate_section,
    measured_section,
    ranking_section,
    spectrum_section,
)
from tangrid.reports.tables import settings_table
from tangrid.runs import RunFolder
from tangrid.runs.prediction_record import PredictionRecord, read_prediction


def write_prediction_report(folder: Path) -> Path:
    """Write the page of a prediction into its folder.

    Args:
        folder: The folder of the prediction, finished or not.

    Returns:
        The page.

    Raises:
        DataError: If the folder is not that of a run, a file in it is damaged, or the
            page cannot be written.
    """
    record = read_prediction(folder)
    RunFolder(record.folder).write_bytes(
        REPORT, prediction_page(record).encode(errors="backslashreplace")
    )
    return record.folder / REPORT


def prediction_page(record: PredictionRecord) -> str:
    """Return the page of a prediction.

    Args:
        record: What it left behind.
    """
    prediction = prediction_of(record)
    signal = text(record.table, "signal", "name") or "a signal"
    count = len(prediction.candidates)
    noun = "candidate" if count == 1 else "candidates"
    return page(
        f"Prediction: {count} {noun} on {signal}",
        header(
            f"tangrid {record.config.get('kind') or ''}".replace("-", " ").strip(),
            [f"{count} {noun} ", tag("span", f"on {signal}", class_="on")],
            *_facts(record),
        ),
        None if record.is_finished else _unfinished(prediction),
        [
            ranking_section(prediction),
            measured_section(prediction),
            estimate_section(prediction),
            _what_section(prediction),
            curve_section(prediction),
            spectrum_section(prediction),
            diagnostic_section(prediction),
        ]
        if count
        else None,
        _repeat_section(record),
    )


def _facts(record: PredictionRecord) -> list[Child]:
    seeds = record.config.get("seeds") or []
    look = record.config.get("look") or {}
    steps = number(record.config, "training", "steps")
    windows, points = look.get("windows"), look.get("points")
    return [
        f"fits of {steps:,.0f} steps" if steps is not None else None,
        f"{windows} windows of {points} points" if windows else None,
        f"lesson of {lesson} steps" if (lesson := _lesson(record)) else None,
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
        str(record.environment.get("device") or "") or None,
        str(record.environment.get("time", ""))[:16].replace("T", " ") + " UTC",
    ]


def _lesson(record: PredictionRecord) -> str:
    """Return how many steps the lessons had; those of candidates may differ."""
    counts = [row["lesson_steps"] for row in record.rows if row.get("lesson_steps")]
    ends = sorted({min(counts), max(counts)}) if counts else []
    return " to ".join(f"{steps:,}" for steps in ends)


def _unfinished(prediction: Prediction) -> Html:
    count = len(prediction.candidates)
    total = len(prediction.record.table.get("candidates") or [])
    return banner(
        "This prediction did not finish. ",
        f"{count} of {total or 'its'} candidates were looked at.",
    )


_OF_IMAGES = (
    "The PSNR of pixels that a fit does not see, between points as dense as those it "
    "is trained on."
)
_OF_SHAPES = (
    "The root mean square error of the distance, in sides of the unit box, between "
    "points as dense as those of the pool and near the surface."
)
_ORDER = (
    "The order of the candidates, and how far each is behind the best one. The level "
    "is less certain: all candidates share its error."
)
_GROUNDS = (
    "It rests on a few small windows and on frozen kernels{lesson}. A standard error "
    "tells how much windows and seeds differ, and nothing of what the method itself "
    "misses."
)
_TAUGHT = ", and on a lesson of {steps} steps at the points of these windows alone"
_COST = "Time and memory of training, and how many steps are enough."
_LONG_TRAINING = (
    "What a long training does beyond this: features that move far, rates that are too "
    "large or too small in the end, effects of small batches."
)
_ELSEWHERE = (
    "Errors of points that are trained on, and what lies outside all windows, such as "
    "a rare texture."
)
_SHAPE_ITSELF = (
    "Volume, surface and normals of the shape, and losses other than the mean square "
    "error, by which the lesson learns."
)


def _what_section(prediction: Prediction) -> Html:
    lesson = _lesson(prediction.record)
    taught = _TAUGHT.replace("{steps}", lesson) if lesson else ""
    grounds = _GROUNDS.replace("{lesson}", taught)
    error = _OF_IMAGES if prediction.is_psnr else _OF_SHAPES
    missing = [_COST, _LONG_TRAINING, _ELSEWHERE]
    missing += [] if prediction.is_psnr else [_SHAPE_ITSELF]
    return section(
        "What is predicted and what is not",
        tag("h3", "Predicted"),
        tag("ul", [tag("li", words) for words in (error, _ORDER, grounds)]),
        tag("h3", "Not predicted"),
        tag("ul", [tag("li", words) for words in missing]),
    )


def _repeat_section(record: PredictionRecord) -> Html:
    command = record.environment.get("command")
    if isinstance(command, list):
        command = shlex.join(str(word) for word in command)
    config = json.dumps(record.config, indent=2, ensure_ascii=False)
    return section(
        "Repeat this prediction",
        code_block(str(command)) if command else None,
        fold("Settings", settings_table("Settings", record.config)),
        fold("config.json", code_block(config), is_open=not command),
    )
