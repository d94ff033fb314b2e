"""The sections of a page of a prediction."""

from collections.abc import Sequence
from typing import Any

from tangrid.reports.kernel_entries import number, section_of
from tangrid.reports.kernel_words import listed, percent, short_number
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.page import captioned, section
from tangrid.reports.prediction_entries import Candidate, Prediction
from tangrid.reports.prediction_figures import (
    both_curves,
    predicted_curves,
    ranking_chart,
    ridge_paths,
    scatter,
    spectra,
)
from tangrid.reports.tables import legend, scrolling, swatch
from tangrid.runs.prediction_record import why_unranked

_PLUS = " ± "
ESTIMATES = ("plain", "initial", "kernel", "lesson", "predicted")
_ESTIMATE_WORDS = (
    "Plain and initial: leave-one-out errors of regression with the kernel of the "
    "untouched field, as it is and as Adam sees it, every parameter in units of its "
    "own step. Kernel: the same as initial in the middle of the lesson, at "
    "points whose labels it has not seen. Lesson: what the lesson itself leaves there."
)


def ranking_section(prediction: Prediction) -> Html:
    """Return the ranking: a chart and a table.

    Args:
        prediction: What is predicted.
    """
    chart = ranking_chart(prediction)
    lead = (
        "Dots with standard errors over windows and seeds: most of that error all "
        "candidates share, so compare by the column Behind, whose error is that of the "
        "difference. Open diamonds: what the untouched kernel alone would say."
    )
    failed = [
        tag("li", f"{it.label}: {why_unranked(it.row)}")
        for it in prediction.candidates
        if it.rank is None
    ]
    return section(
        "Ranking",
        tag("div", captioned("All candidates", chart), class_="figures")
        if chart
        else None,
        _ranking_table(prediction),
        tag("ul", failed, class_="notes") if failed else None,
        lead=lead,
    )


def _ranking_table(prediction: Prediction) -> Html:
    name = prediction.name.capitalize().replace("psnr", "PSNR")
    heads = ("Rank", "Candidate")
    numbers = (
        f"{name}, {prediction.unit}", "Behind, dB", "Alone", "Parameters", "Seconds",
    )  # fmt: skip
    has_scores = any(it.measured for it in prediction.candidates)
    numbers = (*numbers, "Measured") if has_scores else numbers
    head = tag("thead", tag("tr", _heads(heads), _heads(numbers, "number")))
    rows = [_ranking_row(prediction, it, has_scores) for it in prediction.candidates]
    table = tag("table", head, tag("tbody", rows, class_="plain"))
    return scrolling("Ranking of all candidates", table)


def _heads(names: Sequence[str], kind: str | None = None) -> list[Html]:
    return [tag("th", name, scope="col", class_=kind) for name in names]


def _ranking_row(prediction: Prediction, it: Candidate, has_scores: bool) -> Html:
    predicted = prediction.shown(prediction.value(it, "predicted"))
    spread = prediction.shown(prediction.spread(it))
    behind, error = number(it.row, "behind"), number(it.row, "behind_error")
    params = number(it.row, "params_trainable")
    cells: list[Child] = [
        [predicted, tag("small", f"{_PLUS}{spread}")] if it.rank else MISSING,
        [_fixed(behind), tag("small", f"{_PLUS}{_fixed(error)}")]
        if it.rank
        else MISSING,
        prediction.shown(prediction.value(it, "initial")),
        MISSING if params is None else f"{params:,.0f}",
        _fixed(number(it.row, "seconds", "total"), 1),
    ]
    if has_scores:
        cells.append(prediction.shown(number(it.measured, "score")))
    place = MISSING if it.rank is None else str(it.rank)
    return tag(
        "tr",
        tag("td", tag("strong", place) if it.rank == 1 else place),
        tag("th", swatch(it.index), it.label, scope="row", class_="name"),
        [tag("td", cell, class_="number") for cell in cells],
    )


def _fixed(value: float | None, places: int = 2) -> str:
    return f"{value:.{places}f}" if is_number(value) else MISSING


def estimate_section(prediction: Prediction) -> Html | None:
    """Return what each estimate says of each candidate.

    Args:
        prediction: What is predicted.
    """
    ranked = prediction.ranked
    if not ranked:
        return None
    heads = _heads([name.capitalize() for name in ESTIMATES], "number")
    rows = [
        tag(
            "tr",
            tag("th", swatch(it.index), it.label, scope="row", class_="name"),
            [
                tag("td", prediction.shown(prediction.value(it, key)), class_="number")
                for key in ESTIMATES
            ],
        )
        for it in ranked
    ]
    head = tag("thead", tag("tr", tag("th", "Candidate", scope="col"), heads))
    table = tag("table", head, tag("tbody", rows, class_="plain"))
    lead = (
        f"In {prediction.unit}, over all windows and seeds. A frozen kernel is too "
        "hopeful where a field learns noise, a short lesson where it learns slowly: "
        f"{_weights_words(prediction)}."
    )
    words = tag("p", _ESTIMATE_WORDS, class_="note")
    return section("Estimates", scrolling("Estimates", table), words, lead=lead)


def _weights_words(prediction: Prediction) -> str:
    """Return how the estimates make the prediction."""
    weights = section_of(prediction.record.table, "weights")
    shares = [
        f"{name} ({weight:g})" for name, weight in weights.items() if is_number(weight)
    ]
    if len(shares) < 2:
        return f"without a lesson the prediction is {listed([*weights]) or 'initial'}"
    return f"the prediction is their geometric mean with the weights {listed(shares)}"


def curve_section(prediction: Prediction) -> Html | None:
    """Return the predicted training curves of all candidates on one plot.

    Args:
        prediction: What is predicted.
    """
    figure = predicted_curves(prediction)
    if figure is None:
        return None
    lead = (
        "Full-batch gradient descent with the frozen initial kernel at half its "
        "largest stable rate, in closed form. Solid: elsewhere, by generalised "
        "cross-validation of a stop at that step. Dashed: at the points. Steps are not "
        "those of Adam, and where a kernel fits its points exactly cross-validation is "
        "far too hopeful: these curves do not rank."
    )
    return section(
        "Predicted training",
        *_drawn_legend(prediction),
        tag("div", captioned("Error by step", figure), class_="figures few"),
        lead=lead,
    )


def _drawn_legend(prediction: Prediction) -> list[Child]:
    """Return which colour is whose, and who has none."""
    count, drawn = len(prediction.candidates), len(prediction.drawn)
    words = f"The lines are those of the first {drawn} of {count} candidates."
    return [
        legend([(it.index, it.label) for it in prediction.drawn]),
        tag("p", words, class_="note") if drawn < count else None,
    ]


def measured_section(prediction: Prediction) -> Html | None:
    """Return what fits reached beside what was predicted of them.

    Args:
        prediction: What is predicted.
    """
    found = prediction.record.measured
    figure = scatter(prediction)
    if figure is None:
        return None
    curves = [
        captioned([swatch(it.index), it.label], curve)
        for it in prediction.candidates
        if (curve := both_curves(prediction, it)) is not None
    ]
    missing = found.get("missing") or []
    few = tag("div", captioned("Measured over predicted", figure), class_="figures few")
    return section(
        "Predicted and measured",
        legend([(it.index, it.label) for it in prediction.candidates if it.measured]),
        few,
        tag("p", _agreement_words(found), class_="note"),
        tag("p", f"Not trained: {', '.join(map(str, missing))}.", class_="note")
        if missing
        else None,
        [
            tag("h3", "Training of each candidate"),
            tag(
                "p",
                "Solid: the PSNR of the fit's batches, by its own optimiser. Dashed: "
                "gradient descent with the frozen initial kernel at the points of the "
                "first windows.",
                class_="lead",
            ),
            tag("div", curves, class_="figures"),
        ]
        if curves
        else None,
        lead="Fits of the same candidates, found by their settings. The thin line is "
        "where both agree."
        if prediction.is_psnr
        else "Fits of the same candidates, found by their settings.",
    )


def _agreement_words(found: dict[str, Any]) -> str:
    score = {
        "psnr_heldout": "PSNR of pixels that were held out",
        "psnr": "PSNR of all pixels, those that were trained on included",
        "sdf_error": "mean error of the distance near the surface",
    }.get(str(found.get("score")), str(found.get("score")))
    words = [f"Measured is the {score}."]
    spearman, regret = found.get("spearman"), found.get("regret")
    if is_number(spearman):
        words.append(f"Spearman's rank correlation is {spearman:.2f}")
        alone = found.get("spearman_initial")
        words[-1] += (
            f" ({alone:.2f} by the untouched kernel alone)."
            if is_number(alone)
            else "."
        )
    if is_number(regret) and len(found.get("rows") or ()) > 1:
        words.append(f"Training only the first of the ranking costs {regret:.2f} dB.")
    return " ".join(words)


def spectrum_section(prediction: Prediction) -> Html | None:
    """Return spectra and paths of ridges of the untouched kernels.

    Args:
        prediction: What is predicted.
    """
    figures = (
        ("Energy by frequency", spectra(prediction)),
        ("Errors by ridge", ridge_paths(prediction)),
    )
    shown = [captioned(words, it) for words, it in figures if it is not None]
    if not shown:
        return None
    lead = (
        "Left: how strongly each untouched kernel passes waves of each frequency, over "
        "their sum. Right: cross-validated errors of regression with it over ridges, "
        "solid leaving one point out, dashed generalised. They do not rank."
    )
    return section(
        "Spectra and ridges",
        *_drawn_legend(prediction),
        tag("div", shown, class_="figures few"),
        lead=lead,
    )


_DIAGNOSTICS = (
    (("summary", "effective_rank"), "Effective rank"),
    (("summary", "largest"), "Largest eigenvalue"),
    (("summary", "smallest"), "Smallest eigenvalue"),
    (("summary", "alignment"), "Alignment"),
    (("bound", "raw"), "Theorem 3, raw"),
    (("bound", "trace_normalised"), "trace-normalised"),
    (("bound", "finite_time"), "finite-time"),
)


def diagnostic_section(prediction: Prediction) -> Html | None:
    """Return what the untouched kernels say that does not rank.

    Args:
        prediction: What is predicted.
    """
    having = [it for it in prediction.candidates if section_of(it.row, "diagnostics")]
    without = [
        tag("li", f"{it.label}: {it.row['diagnostics_failed']}")
        for it in prediction.candidates
        if it.row.get("diagnostics_failed")
    ]
    notes = tag("ul", without, class_="notes") if without else None
    if not having:
        return section("Diagnostics (do not rank)", notes) if notes else None
    heads = [*(name for _, name in _DIAGNOSTICS), "High frequencies"]
    rows = []
    for it in having:
        told = section_of(it.row, "diagnostics")
        cells = [short_number(number(told, *path)) for path, _ in _DIAGNOSTICS]
        if section_of(told, "summary").get("smallest_is_resolved") is False:
            cells[2] = "rounding"
        share = number(told, "spectrum", "high_share")
        cells.append(MISSING if share is None else percent(share))
        name = tag("th", swatch(it.index), it.label, scope="row", class_="name")
        rows.append(tag("tr", name, [tag("td", c, class_="number") for c in cells]))
    head = tag("thead", tag("tr", tag("th", "Candidate"), _heads(heads, "number")))
    table = tag("table", head, tag("tbody", rows, class_="plain"))
    points = number(having[0].row, "diagnostics", "points")
    lead = (
        f"Numbers of the untouched kernels at {short_number(points)} points, with the "
        "three forms of the generalisation bound of Theorem 3. In a study of 130 "
        "trained models none of them told which is best: they do not rank, and the "
        "ranking above does not use them. A bound of 1 or more says nothing; high "
        "frequencies are those above half of what the lattice holds."
    )
    return section(
        "Diagnostics (do not rank)", scrolling("Diagnostics", table), notes, lead=lead
    )
