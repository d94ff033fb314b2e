"""What a page says of a shape in words: lengths, slices."""

from collections.abc import Mapping
from typing import Any

from tangrid.reports.measures import is_number


def is_shape(pictures: Mapping[str, Any]) -> bool:
    """Return whether a run was the fit of a shape.

    Args:
        pictures: What ``pictures.json`` says.
    """
    return pictures.get("kind") == "shape"


def how_to_read_slices(pictures: Mapping[str, Any]) -> str:
    """Return how to read the slices, in words.

    Args:
        pictures: What ``pictures.json`` says; ``slice_spacing`` parts the lines.
    """
    spacing = pictures.get("slice_spacing")
    every = f" every {spacing:g}" if is_number(spacing) else ""
    return (
        "Cuts through the box: blue is inside, the thick line is the surface, and the "
        f"thin lines are levels of the distance{every}. Lines that are evenly spaced "
        "belong to a true distance; where they crowd or spread, the field is none."
    )


def unit_of_lengths(metrics: Mapping[str, Any]) -> str:
    """Return the unit of all lengths, in words.

    Args:
        metrics: Entries of ``metrics.json``; ``box_side`` is the side of the box.
    """
    side = metrics.get("box_side")
    if not is_number(side):
        return "Lengths are in units of the box."
    return (
        f"Lengths are in units of the box, whose side is {_plain(side)} in the mesh's "
        "own units."
    )


def _plain(side: float) -> str:
    return f"{side:,.0f}" if 1000 <= side < 1e6 else f"{side:.4g}"
