"""What Theorems 2 and 3 say of every model, with every condition and its verdict."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tangrid.reports.kernel_entries import (
    Analysis,
    Variant,
    kernel_name,
    number,
    section_of,
    text,
)
from tangrid.reports.kernel_table import Block, Row, comparison_table
from tangrid.reports.kernel_words import over_seeds, short_number
from tangrid.reports.markup import Child, Html, join, tag
from tangrid.reports.measures import MISSING
from tangrid.reports.page import fold, section
from tangrid.reports.tables import swatch

_FORMS = {
    "raw": ("Raw, as published", "not comparable between models"),
    "trace-normalised": ("Trace-normalised", "the same for every scale of the kernel"),
    "finite-time": ("Finite time", "stays finite, and is a theorem with constants"),
}
"""Names of the forms, what they are called, and what tells them apart."""

_KEYS = {
    "raw": "raw",
    "trace-normalised": "trace_normalised",
    "finite-time": "finite_time",
}

_TERMS = {
    "training_loss": ("loss on the points", "what training leaves"),
    "complexity": ("complexity", "what the freedom of the parameters adds"),
    "confidence": ("chance", "what unlucky points add"),
}

_DRIFT = (
    ("relative", "Drift", "norm of the change next to that of the kernel before"),
    ("alignment", "Alignment", "cosine between before and after; 1: only scaled"),
    ("scale", "Scale", "how many times larger the kernel became"),
    (
        "leading_degrees",
        "Leading eigenvectors, °",
        "angle by which the space of what is learned first has turned",
    ),
)

_SECOND_LEAD = (
    "The theorem says that a kernel does not move in training. It holds exactly where "
    "outputs are affine in what is trained, and all that is predicted on this page "
    "rests on it. Where it fails, predictions hold while the drift is small."
)

_THIRD_LEAD = (
    "A promise about points never seen: with the stated probability, the loss there is "
    "at most this. The loss is never above 1, so a bound of 1 or more promises nothing "
    "and is called vacuous. Each form needs its own conditions, listed below it."
)


def stationarity_section(analysis: Analysis) -> Html | None:
    """Return what Theorem 2 says of every model.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if nobody looked.
    """
    alike: dict[tuple[str, str], list[Variant]] = {}
    for it in analysis.variants:
        card = _stationarity_words(it)
        if card is not None:
            alike.setdefault((it.model, card), []).append(it)
    states = {it.state for it in analysis.variants}
    cards = [
        tag("div", _names_of(group, len(states)), words, class_="card")
        for (_, words), group in alike.items()
    ]
    if not cards:
        return None
    return section(
        "Theorem 2: does the kernel stay?",
        tag("div", cards, class_="cards"),
        _drift_table(analysis),
        lead=_SECOND_LEAD,
    )


def _drift_table(analysis: Analysis) -> Child:
    """Return how far training moved the kernels of fitted models."""
    moved = [
        it
        for it in analysis.variants
        if any(section_of(it.first.kernel(kind), "drift") for kind in analysis.kinds)
    ]
    blocks = [
        Block(
            title=kernel_name(kind),
            rows=drift_rows(moved, ("kernels", kind, "drift")),
        )
        for kind in analysis.kinds
    ]
    table = comparison_table("Drift of the kernels", moved, blocks)
    return [tag("h3", "How far training moved it"), table] if table else None


def drift_rows(variants: Sequence[Variant], path: Sequence[str]) -> list[Row]:
    """Return rows that say how far kernels have moved; none if nobody knows.

    Args:
        variants: The columns.
        path: Where the drift stands in an entry.
    """
    rows = [
        Row(
            label=label,
            words=words,
            cells=[over_seeds(it.numbers(*path, key)) for it in variants],
        )
        for key, label, words in _DRIFT
    ]
    return [row for row in rows if any(cell != [MISSING] for cell in row.cells)]


def _stationarity_words(variant: Variant) -> Html | None:
    said = section_of(variant.first.values, "stationarity")
    if not said:
        return None
    assumptions = [
        tag("li", verdict(item.get("holds")), " ", str(item.get("statement", "")))
        for item in _items(said, "assumptions")
    ]
    reasons = [
        tag("li", f"because {reason}")
        for reason in said.get("reasons") or ()
        if isinstance(reason, str)
    ]
    head = tag("p", verdict(said.get("is_exact")), " ", _first_line(said))
    return join([head, tag("ul", assumptions, reasons)])


def _first_line(said: Mapping[str, Any]) -> str:
    return text(said, "words").split("\n")[0]


def _names_of(variants: Sequence[Variant], num_states: int) -> Html:
    """Return a heading for all states of a model of which the same is true."""
    first = variants[0]
    name = first.model if len(variants) == num_states else first.label
    return tag("h3", [swatch(it.index) for it in variants], name)


def bound_table_section(analysis: Analysis) -> Html | None:
    """Return Theorem 3 in its three forms with every condition.

    Args:
        analysis: What was found.

    Returns:
        The section, or nothing if there is no bound.
    """
    tables = []
    for kind in analysis.kinds:
        bounds = {
            it.index: bound
            for it in analysis.variants
            if (bound := section_of(it.first.kernel(kind), "bound"))
        }
        if bounds:
            shown = [it for it in analysis.variants if it.index in bounds]
            table = _bound_table(kind, shown, bounds)
            tables.append([tag("h3", kernel_name(kind)), table])
    if not tables:
        return None
    note = text(analysis.kernel, "theorem_3", "note")
    return section(
        "Theorem 3: what is promised for new points",
        tables,
        tag("p", note, class_="note") if note else None,
        lead=[_THIRD_LEAD, _probability(analysis)],
    )


def _probability(analysis: Analysis) -> str | None:
    delta = number(analysis.kernel, "delta")
    if delta is None:
        return None
    return f" Here the probability is {short_number(1 - delta)}."


def _bound_table(
    kind: str, variants: Sequence[Variant], bounds: Mapping[int, Mapping[str, Any]]
) -> Html | None:
    columns = [bounds[it.index] for it in variants]
    totals = [
        Row(
            label=tag("b", title),
            words=words,
            cells=[_total(bound, form) for bound in columns],
        )
        for form, (title, words) in _FORMS.items()
        if any(_form(bound, form) for bound in columns)
    ]
    energy = Row(
        label="Δ = rᵀ K⁻¹ r",
        words="energy that the labels cost this kernel",
        cells=[_energy(bound) for bound in columns],
    )
    conditions = list(_condition_rows(columns))
    table = comparison_table(
        f"Theorem 3. {kernel_name(kind)}",
        variants,
        [Block(title="Bound on the loss of new points", rows=[*totals, energy])],
    )
    details = comparison_table(
        f"Conditions of Theorem 3. {kernel_name(kind)}",
        variants,
        [Block(title=_needed_by(names), rows=rows) for names, rows in conditions],
    )
    count = _count(columns)
    title = f"Conditions, one by one{f' ({count})' if count else ''}"
    return tag("div", table, fold(title, details) if details else None)


def _form(bound: Mapping[str, Any], form: str) -> Mapping[str, Any]:
    """Return one form of a bound, whatever is known of it."""
    found = next((it for it in _items(bound, "forms") if it.get("name") == form), {})
    return found or ({"total": bound[_KEYS[form]]} if _KEYS[form] in bound else {})


def _total(bound: Mapping[str, Any], form: str) -> Child:
    found = _form(bound, form)
    if not found:
        return MISSING
    total = number(found, "total")
    terms = [
        [short_number(found[key]), " ", tag("i", label)]
        for key, (label, _) in _TERMS.items()
        if number(found, key) is not None
    ]
    sums: list[Child] = []
    for position, term in enumerate(terms):
        sums.extend([" + " if position else None, *term])
    infinite = "\N{INFINITY}"
    # What is infinite is null on disk.
    is_vacuous = found.get("is_vacuous", total is None or total >= 1)
    return [
        tag("b", short_number(total) if total is not None else infinite),
        " ",
        tag("span", "vacuous", class_="badge no") if is_vacuous else None,
        None if found.get("is_proven", True) else [" ", _unproven()],
        tag("small", sums, class_="under") if total is not None else None,
    ]


def _unproven() -> Html:
    return tag("span", "not proven here", class_="badge maybe")


def _energy(bound: Mapping[str, Any]) -> Child:
    energy = number(bound, "delta_quadratic")
    words = text(bound, "delta_quadratic_words").partition("(")[2].rstrip(")")
    return [
        short_number(energy) if energy is not None else "\N{INFINITY}",
        tag("small", words, class_="under") if words else None,
    ]


def _condition_rows(
    bounds: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[tuple[str, ...], list[Row]]]:
    """Yield conditions by the forms that need them."""
    groups: dict[tuple[str, ...], dict[str, Row]] = {}
    for bound in bounds:
        for item in _items(bound, "conditions"):
            needed = item.get("needed_by") or list(_FORMS)
            names = tuple(form for form in _FORMS if form in needed)
            label = str(item.get("name", ""))
            groups.setdefault(names, {})[label] = Row(
                label=label,
                words=str(item.get("needed") or ""),
                cells=[_condition_cell(other, label) for other in bounds],
                is_text=True,
            )
    for names in sorted(groups, key=lambda names: (-len(names), names)):
        yield names, list(groups[names].values())


def _condition_cell(bound: Mapping[str, Any], label: str) -> Child:
    for item in _items(bound, "conditions"):
        if item.get("name") == label:
            found = item.get("found") or item.get("words") or item.get("value")
            said = found if isinstance(found, str) else short_number(found)
            return [verdict(item.get("holds")), " ", tag("small", said)]
    return MISSING


def _needed_by(names: Sequence[str]) -> str:
    if len(names) == len(_FORMS):
        return "Needed by all three forms"
    titles = [_FORMS[name][0].split(",")[0].lower() for name in names]
    return f"Needed by the {' and the '.join(titles)} form"


def _count(bounds: Sequence[Mapping[str, Any]]) -> str:
    """Return how many conditions fail, in words."""
    failing = {
        str(item.get("name"))
        for bound in bounds
        for item in _items(bound, "conditions")
        if item.get("holds") is False
    }
    return (
        f"{len(failing)} {'fails' if len(failing) == 1 else 'fail'}" if failing else ""
    )


def _items(values: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = values.get(name)
    if not isinstance(found, list):
        return []
    return [item for item in found if isinstance(item, Mapping)]


def verdict(holds: object) -> Html:
    """Return whether something holds, in one word that stands out.

    Args:
        holds: True, False, or None where it was taken on trust.
    """
    words, kind = {
        True: ("holds", "yes"),
        False: ("fails", "no"),
    }.get(holds if isinstance(holds, bool) else None, ("on trust", "maybe"))  # pyright: ignore
    return tag("span", words, class_=f"badge {kind}")
