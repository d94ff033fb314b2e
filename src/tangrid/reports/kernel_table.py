"""One table for all that is compared: a column per model, rows that explain it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tangrid.reports.kernel_entries import Variant
from tangrid.reports.markup import Child, Html, tag
from tangrid.reports.tables import scrolling, swatch


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity of everything that is compared."""

    label: Child
    """What it is called."""
    words: Child = None
    """What it means, in a few words."""
    cells: Sequence[Child]
    """One per thing compared."""
    is_text: bool = False
    """Whether the cells hold sentences."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that belong together."""

    title: Child = None
    """What they have in common."""
    rows: Sequence[Row]
    """The rows."""


def comparison_table(
    label: str, variants: Sequence[Variant], blocks: Iterable[Block]
) -> Html | None:
    """Return a table with a column for each of the things compared.

    Args:
        label: What it holds.
        variants: What is compared.
        blocks: The rows, in groups; groups without rows are left out.

    Returns:
        The table, or nothing if there are no rows.
    """
    bodies = [_body(block, len(variants)) for block in blocks if block.rows]
    if not bodies:
        return None
    names = [
        tag("th", swatch(it.index), it.label, scope="col", class_="number name")
        for it in variants
    ]
    head = tag("thead", tag("tr", tag("td"), names))
    return scrolling(label, tag("table", head, bodies, class_="quantities"))


def _body(block: Block, num_columns: int) -> Html:
    title = None
    if block.title:
        cell = tag("th", block.title, colspan=num_columns + 1, scope="rowgroup")
        title = tag("tr", cell, class_="block")
    return tag("tbody", title, [_row(row) for row in block.rows], class_="plain")


def _row(row: Row) -> Html:
    words = tag("small", row.words) if row.words else None
    kind = "words" if row.is_text else "number"
    cells = [tag("td", cell, class_=kind) for cell in row.cells]
    return tag("tr", tag("th", row.label, words, scope="row"), cells)
