"""The page of one run: how well it fits, where it does not, and how to repeat it."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tangrid.reports.choice_section import choice_section
from tangrid.reports.curves import Series, frequency_error, training_curve
from tangrid.reports.exact_section import exact_section
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING, QUALITY, Measure, duration, is_number
from tangrid.reports.page import (
    banner,
    captioned,
    code_block,
    curve_row,
    fold,
    header,
    page,
    section,
)
from tangrid.reports.pictures import (
    Picture,
    Place,
    colour_bar,
    embed,
    embed_crop,
    place_mark,
    signal_size,
    worst_places,
)
from tangrid.reports.remarks import note_list, notes_of
from tangrid.reports.shape_section import missing_surface, shape_sections
from tangrid.reports.shape_words import is_shape
from tangrid.reports.slider import FIT, TARGET, slider
from tangrid.reports.tables import scrolling, settings_table
from tangrid.reports.track_section import track_section
from tangrid.reports.view_protocol import is_scene, protocol_note, protocol_title
from tangrid.reports.view_section import view_sections
from tangrid.runs import RunFolder, RunRecord, read_run

REPORT = "report.html"
"""Name of the page in the folder of a run."""

_UNDER = {
    "iou": "of the two insides",
    "nae": "between the normals",
    "chamfer_l1": "between the surfaces",
    "sdf_error": "near the surface",
}
"""What stands below the number of a measure."""


def write_fit_report(folder: Path) -> Path:
    """Write the page of one run into its folder.

    Args:
        folder: The folder of a run, finished or not.

    Returns:
        The page.

    Raises:
        DataError: If the folder is not that of a run, or the page cannot be written.
    """
    run = read_run(folder)
    RunFolder(run.folder).write_bytes(
        REPORT, fit_page(run).encode(errors="backslashreplace")
    )
    return run.folder / REPORT


def fit_page(run: RunRecord) -> str:
    """Return the page of one run.

    Args:
        run: What the run left behind.
    """
    model, signal = model_name(run), signal_name(run)
    title = [model, " ", tag("span", f"on {signal}", class_="on")]
    return page(
        f"{model} on {signal}",
        header(_words_for(run.config.get("kind")), title, *_facts(run)),
        None if run.is_finished else _unfinished(run),
        missing_surface(run.metrics),
        _tiles(run.metrics) if run.is_finished else None,
        protocol_note(run.metrics),
        note_list(notes_of(run.metrics)),
        _sections(run, model),
        exact_section(run.metrics),
        track_section(run.kernel_track),
        choice_section(run.prediction),
        _settings_section(run),
        _repeat_section(run),
    )


def _sections(run: RunRecord, model: str) -> Child:
    """Return what differs by kind of signal."""
    if is_scene(run):
        return view_sections(run, model)
    shown = shape_sections(run) if is_shape(run.pictures) else _picture_section(run)
    return [shown, _curve_section(run, model)]


def model_name(run: RunRecord) -> str:
    """Return the public name of the model.

    Args:
        run: What the run left behind.
    """
    return str(run.metrics.get("model") or run.config.get("model") or "model")


def signal_name(run: RunRecord) -> str:
    """Return the name of what was fitted.

    Args:
        run: What the run left behind.
    """
    if run.metrics.get("signal"):
        return str(run.metrics["signal"])
    signal = run.config.get("signal", "")
    if isinstance(signal, Mapping):
        signal = signal.get("name") or signal.get("path") or signal.get("kind") or ""
    return Path(str(signal)).stem or "a signal"


def _words_for(kind: object) -> str:
    return f"tangrid {kind or ''}".replace("-", " ").strip()


def _facts(run: RunRecord) -> list[Child]:
    metrics = run.metrics
    seed = metrics.get("seed", run.config.get("seed"))
    device = [str(metrics[key]) for key in ("device", "dtype") if metrics.get(key)]
    ran = metrics.get("implementations") or {}
    return [
        f"seed {seed}" if seed is not None else None,
        " · ".join(device),
        ", ".join(f"{name}: {implementation}" for name, implementation in ran.items()),
        run.environment.get("cpu"),
        str(run.environment.get("time", ""))[:16].replace("T", " ") + " UTC",
    ]


def _unfinished(run: RunRecord) -> Html:
    training = run.config.get("training")
    planned = training.get("steps") if isinstance(training, Mapping) else None
    if not run.curve:
        return banner("This run did not finish: it stopped before its first step.")
    reached = f"{run.curve[-1].get('step', 0):,}"
    steps = f"{reached} of {planned:,}" if is_number(planned) else reached
    return banner(
        f"This run did not finish: the last step it logged is {steps}. "
        "What follows is what it left behind; it has no results yet."
    )


def _tiles(metrics: Mapping[str, Any]) -> Html:
    tiles = [
        _tile(
            measure.label,
            measure.text(metrics),
            measure.unit,
            _under(measure, metrics),
        )
        for measure in QUALITY
        if measure.key in metrics
    ]
    if is_number(metrics.get("params_trainable")):
        trainable, stored = metrics["params_trainable"], metrics.get("params_stored")
        under = f"trainable; {stored:,} stored" if is_number(stored) else "trainable"
        tiles.append(_tile("Parameters", f"{trainable:,}", "", under))
    if is_number(metrics.get("steps")):
        tiles.append(_tile("Steps", f"{metrics['steps']:,}", ""))
    times = (
        ("Training time", "seconds", _throughput(metrics)),
        ("Sampling time", "sampling_seconds", "making the training points"),
    )
    for label, key, under in times:
        number, unit = duration(metrics.get(key))
        if number != MISSING:
            tiles.append(_tile(label, number, unit, under))
    return tag("dl", tiles, class_="tiles many" if len(tiles) > 6 else "tiles")


def _under(measure: Measure, metrics: Mapping[str, Any]) -> str | None:
    if measure.key == "psnr" and (title := protocol_title(metrics)) is not None:
        return title.replace(" x ", "\N{NO-BREAK SPACE}x\N{NO-BREAK SPACE}")
    if measure.key == "ssim" and metrics["ssim"] is None:
        return "smaller than its window"
    if measure.key == "lpips" and metrics["lpips"] is None:
        return "too small for its network"
    return _UNDER.get(measure.key)


def _throughput(metrics: Mapping[str, Any]) -> str | None:
    if is_number(rays := metrics.get("rays_per_second")):
        return f"{rays:,.0f} rays/s"
    points = metrics.get("points_per_second")
    return f"{points / 1e6:.2f} million points/s" if is_number(points) else None


def _tile(label: str, number: str, unit: str, under: str | None = None) -> Html:
    value = tag("dd", number, [" ", tag("small", unit)] if unit else None)
    below = tag("dd", under, class_="under") if under else None
    return tag("div", tag("dt", label), value, below, class_="tile")


def _picture_section(run: RunRecord) -> Html:
    target = embed(run.folder / "target.png")
    fitted = embed(run.folder / "reconstruction.png")
    if target is None or fitted is None:
        return section(
            "Pictures", tag("p", "This run left no pictures.", class_="missing")
        )
    error = embed(run.folder / "error.png")
    crops = _crop_table(run) if run.pictures else None
    return section(
        "Pictures",
        _trio(run.pictures, target, fitted, error),
        tag("h3", "Original against reconstruction"),
        slider(target, fitted),
        [tag("h3", "Where the error is largest"), crops] if crops else None,
        lead=_picture_lead(run.pictures, target),
    )


def _picture_lead(pictures: Mapping[str, Any], shown: Picture) -> str | None:
    size = signal_size(pictures)
    if size is None:
        return None
    words = f"{size[0]:,} \N{MULTIPLICATION SIGN} {size[1]:,} pixels"
    if size != (shown.width, shown.height):
        sides = f"{shown.width:,} \N{MULTIPLICATION SIGN} {shown.height:,}"
        words += f", shown at {sides}"
    return f"{words}."


def _trio(
    pictures: Mapping[str, Any],
    target: Picture,
    fitted: Picture,
    error: Picture | None,
) -> Html:
    figures = [
        captioned("Original", _framed(target.img("The original", id=TARGET))),
        captioned(
            "Reconstruction",
            _framed(fitted.img("The reconstruction", id=FIT)),
        ),
    ]
    if error is not None:
        marks = [
            place_mark(place, str(number))
            for number, place in enumerate(worst_places(pictures), start=1)
        ]
        image = error.img("Map of the absolute error")
        figures.append(
            captioned("Absolute error", _framed(image, marks), colour_bar(pictures))
        )
    return tag("div", figures, class_="trio")


def _framed(*content: Child) -> Html:
    return tag("div", *content, class_="framed")


def _crop_table(run: RunRecord) -> Html | None:
    places = worst_places(run.pictures)
    kinds = {"target": "Original", "reconstruction": "Reconstruction", "error": "Error"}
    if not places:
        return None
    captions = [
        tag("th", str(number), _error_words(place), scope="col")
        for number, place in enumerate(places, start=1)
    ]
    rows = []
    for kind, label in kinds.items():
        cells = [_crop(run, kind, index, place) for index, place in enumerate(places)]
        rows.append(tag("tr", tag("th", label, scope="row"), cells))
    head = tag("thead", tag("tr", tag("th"), captions))
    table = tag("table", head, tag("tbody", rows), class_="crops wide")
    return scrolling("Details where the error is largest", table)


def _error_words(place: Place) -> str | None:
    return f" · mean error {place.error:.3f}" if is_number(place.error) else None


def _crop(run: RunRecord, kind: str, index: int, place: Place) -> Html:
    # Crops are counted from 0 or from 1; the first one tells.
    first = 0 if (run.folder / "crop_0_target.png").is_file() else 1
    picture = embed(run.folder / f"crop_{first + index}_{kind}.png")
    if picture is None:
        picture = embed_crop(run.folder / f"{kind}.png", place)
    if picture is None:
        return tag("td", MISSING)
    words = f"{kind.capitalize()} at place {index + 1}"
    return tag("td", picture.img(words, class_="pixelated"))


def _curve_section(run: RunRecord, model: str) -> Html:
    series = [Series(name=model, lines=run.curve)]
    steps = training_curve(series, against="step")
    seconds = training_curve(series, against="seconds")
    entry = run.pictures.get("frequency")
    frequency = frequency_error([(model, 0, entry)]) if entry else None
    if steps is None and frequency is None:
        return section("Curves", tag("p", "This run logged nothing.", class_="missing"))
    return section("Curves", curve_row(steps, seconds, frequency))


def _settings_section(run: RunRecord) -> Html:
    environment = {
        name: value
        for name, value in run.environment.items()
        if value not in (None, {}, [])
    }
    return section(
        "Settings and machine",
        tag(
            "div",
            fold("Settings", settings_table("Settings", run.config), is_open=True),
            fold("Machine and versions", settings_table("Machine", environment))
            if environment
            else None,
            class_="columns",
        ),
    )


def _repeat_section(run: RunRecord) -> Html:
    command = run.environment.get("command")
    if isinstance(command, list):
        command = shlex.join(str(word) for word in command)
    config = json.dumps(run.config, indent=2, ensure_ascii=False)
    return section(
        "Repeat this run",
        code_block(str(command)) if command else None,
        fold("config.json", code_block(config), is_open=not command),
        lead="Every setting is in config.json, the seed included.",
    )
