"""What is to be known about the data: remarks that its reader left."""

from collections.abc import Mapping, Sequence
from typing import Any

from tangrid.reports.markup import Html, tag


def notes_of(metrics: Mapping[str, Any]) -> list[str]:
    """Return what is to be known about what was fitted.

    Args:
        metrics: Entries of ``metrics.json``; ``notes`` are sentences.
    """
    notes = metrics.get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def shared_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what is to be known about the signals of a comparison, once each.

    Args:
        rows: Metrics of every run.

    Example:
        >>> shared_notes([{"signal": "fox", "notes": ["One view is blurred."]}] * 2)
        ['fox: One view is blurred.']
    """
    notes = [f"{row.get('signal')}: {note}" for row in rows for note in notes_of(row)]
    return list(dict.fromkeys(notes))


def note_list(notes: Sequence[str]) -> Html | None:
    """Return notes as a list, or nothing if there are none.

    Args:
        notes: Sentences.
    """
    if not notes:
        return None
    return tag("ul", (tag("li", note) for note in notes), class_="notes")
