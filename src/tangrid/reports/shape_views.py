"""Views and slices of a shape: what ``pictures.json`` says about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.reports.measures import is_number

VIEWS, SLICES = "views", "slices"


@dataclass(frozen=True, kw_only=True)
class View:
    """One view of the surface, or one slice through the field."""

    name: str
    files: Mapping[str, str]
    """Names of picture files: of the ``target``, the ``fit`` and its ``error``."""

    def path(self, folder: Path, kind: str) -> Path | None:
        """Return where a picture of it is, whether or not it is there.

        Args:
            folder: The folder of the run.
            kind: ``target``, ``fit`` or ``error``.
        """
        return folder / self.files[kind] if kind in self.files else None


def is_shape(pictures: Mapping[str, Any]) -> bool:
    """Return whether a run was the fit of a shape.

    Args:
        pictures: What ``pictures.json`` says.
    """
    return pictures.get("kind") == "shape"


def views_of(pictures: Mapping[str, Any], part: str) -> list[View]:
    """Return the views of a shape, or the slices through its field.

    Args:
        pictures: What ``pictures.json`` says.
        part: `VIEWS` or `SLICES`.
    """
    return [
        View(
            name=str(entry.get("name") or f"{part[:-1]} {number}"),
            files={
                kind: Path(entry[kind]).name
                for kind in ("target", "fit", "error")
                if isinstance(entry.get(kind), str)
            },
        )
        for number, entry in enumerate(pictures.get(part) or (), start=1)
    ]


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
