"""Shapes of a comparison: every view and slice with all models side by side."""

from collections.abc import Sequence

from tangrid.reports.drawn_views import SLICES
from tangrid.reports.entries import Entry
from tangrid.reports.markup import Child, tag
from tangrid.reports.measures import QUALITY
from tangrid.reports.shape_words import how_to_read_slices, is_shape, unit_of_lengths
from tangrid.reports.side_by_side import SideBySide

_SHOWN = tuple(measure for measure in QUALITY if measure.key in ("iou", "nae"))
"""What stands below the name of a model."""


def shape_pictures(entries: Sequence[Entry]) -> Child:
    """Return the views and slices of one shape, a column per model.

    Args:
        entries: The models that were fitted to it.

    Returns:
        The pictures, or nothing if there are none.
    """
    views = SideBySide(
        entries=entries, error="distance to the true surface", measures=_SHOWN
    ).table("Views side by side")
    slices = SideBySide(entries=entries, part=SLICES).table("Slices side by side")
    metrics = next((run.metrics for entry in entries for run in entry.runs), {})
    shown: list[Child] = []
    if views:
        lead = "Below each fit: its distance to the true surface, in colours. "
        shown += [tag("p", lead, unit_of_lengths(metrics), class_="lead"), views]
    if slices:
        first = next(entry for entry in entries if is_shape(entry.pictures))
        lead = how_to_read_slices(first.pictures)
        shown += [
            tag("h3", "Distance field"),
            tag("p", lead, class_="lead"),
            slices,
        ]
    return shown or None
