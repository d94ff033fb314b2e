"""Views and slices that a run has drawn: what ``pictures.json`` says about them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tangrid.reports.pictures import Picture, embed

VIEWS, SLICES = "views", "slices"

KINDS = ("target", "fit", "error", "depth")
"""The pictures that there can be of a view."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One view, or one slice through a field."""

    name: str
    files: Mapping[str, str]
    """Names of picture files by kind, one of `KINDS`."""

    def path(self, folder: Path, kind: str) -> Path | None:
        """Return where a picture of it is, whether or not it is there.

        Args:
            folder: The folder of the run.
            kind: One of `KINDS`.
        """
        return folder / self.files[kind] if kind in self.files else None

    def pictures(
        self, folder: Path, show: Callable[[Path], Picture | None] = embed
    ) -> dict[str, Picture]:
        """Return the pictures that are there, by kind.

        Args:
            folder: The folder of the run.
            show: How a file becomes a picture.
        """
        paths = {kind: self.path(folder, kind) for kind in self.files}
        found = {kind: show(path) for kind, path in paths.items() if path is not None}
        return {kind: it for kind, it in found.items() if it is not None}


def views_of(pictures: Mapping[str, Any], part: str) -> list[View]:
    """Return the views that were drawn, or the slices through the field.

    Args:
        pictures: What ``pictures.json`` says.
        part: `VIEWS` or `SLICES`.
    """
    return [
        View(
            name=str(entry.get("name") or f"{part[:-1]} {number}"),
            files={
                kind: Path(entry[kind]).name
                for kind in KINDS
                if isinstance(entry.get(kind), str)
            },
        )
        for number, entry in enumerate(pictures.get(part) or (), start=1)
    ]
