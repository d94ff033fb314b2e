"""Error maps of fitted models, for an analysis that knows of their runs."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tangrid.errors import DataError
from tangrid.reports.kernel_entries import Analysis, Variant, number, text
from tangrid.reports.kernel_maps import strip_of
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.page import captioned, section
from tangrid.reports.pictures import colour_bar, embed_small
from tangrid.reports.tables import swatch
from tangrid.runs import RunRecord, read_run

_LEAD = (
    "The same models after training: what each of them still gets wrong. A kernel that "
    "passes high frequencies weakly leaves edges and texture behind."
)

_NONE = "There are no fitted models here, so there are no errors to map. Fit one with "


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One model and the run that fitted it."""

    variant: Variant
    run: RunRecord


def error_section(analysis: Analysis) -> Html:
    """Return error maps of all runs, or how to get them.

    Args:
        analysis: What was found.
    """
    fitted = _fitted(analysis)
    shown = [(it, cell) for it in fitted if (cell := _cell(it, fitted)) is not None]
    if not shown:
        words = [
            _NONE,
            tag("code", "tangrid fit image PATH --model NAME --out RUN"),
            " and analyse that run with ",
            tag("code", "tangrid analyze RUN"),
            ".",
        ]
        return section("Error maps", tag("p", words, class_="missing"))
    original = _original(fitted[0], with_scale=_scale_of(fitted) is not None)
    return section(
        "Error maps",
        strip_of([original, *(cell for _, cell in shown)]),
        lead=_LEAD,
    )


def _fitted(analysis: Analysis) -> list[Fitted]:
    """Return every run once: states of the same model share it."""
    found: dict[str, Fitted] = {}
    for variant in reversed(analysis.variants):
        where = text(variant.first.values, "run")
        if not where or where in found:
            continue
        with suppress(DataError):
            run = read_run(analysis.folder / where)
            found[where] = Fitted(variant=variant, run=run)
    return sorted(found.values(), key=lambda it: it.variant.index)


def _scale_of(fitted: Sequence[Fitted]) -> float | None:
    """Return the error scale that all runs share, if they do."""
    scales = {number(it.run.pictures, "error_scale") for it in fitted}
    return scales.pop() if len(scales) == 1 else None


def _original(first: Fitted, *, with_scale: bool) -> Html | None:
    target = embed_small(first.run.folder / "target.png")
    if target is None:
        return None
    below: Child = None
    if with_scale:
        key = tag("p", "absolute error", class_="key")
        below = tag("div", colour_bar(first.run.pictures), key)
    frame = tag("div", target.img("The original"), class_="framed")
    return captioned(tag("b", "Original"), frame, below)


def _cell(fitted: Fitted, every: Sequence[Fitted]) -> Html | None:
    error = embed_small(fitted.run.folder / "error.png")
    if error is None:
        return None
    variant = fitted.variant
    psnr = number(fitted.run.metrics, "psnr")
    if psnr is None:
        psnr = number(variant.first.values, "fit", "psnr")
    quality = f"{psnr:.2f} dB" if psnr is not None else None
    caption = [
        tag("b", swatch(variant.index), variant.model),
        tag("span", quality, class_="under") if quality else None,
    ]
    frame = tag("div", error.img(f"Error of {variant.model}"), class_="framed")
    own = None if _scale_of(every) is not None else colour_bar(fitted.run.pictures)
    return captioned(caption, frame, own)
