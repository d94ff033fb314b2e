"""What an analysis of tangent kernels left behind, as its page walks through it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tangrid.reports.measures import is_number
from tangrid.runs import KernelRecord

ALL, GRID = "all", "grid"
"""Names of the kernels of all parameters and of a grid's features."""

_NAMES = {
    ALL: "NTK: all trained parameters",
    GRID: "GTK: grid features alone",
}


def kernel_name(kind: str) -> str:
    """Return what a kernel is called.

    Args:
        kind: Name of its group of parameters, or ``all``.

    Example:
        >>> kernel_name("grid"), kernel_name("decoder")
        ('GTK: grid features alone', 'Kernel of the group decoder alone')
    """
    return _NAMES.get(kind) or f"Kernel of the group {kind} alone"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model with one seed, before or after training."""

    values: Mapping[str, Any]
    """Its entry of ``kernel.json``."""
    arrays: Mapping[str, np.ndarray]
    """Its arrays by name."""

    def kernel(self, kind: str) -> Mapping[str, Any]:
        """Return what is known of one of its kernels; empty if it has none.

        Args:
            kind: Name of its group of parameters, or ``all``.
        """
        return section_of(self.values, "kernels", kind)

    def array(self, name: str, num_axes: int) -> np.ndarray | None:
        """Return an array, if it is there and can be shown.

        Args:
            name: Name of the array.
            num_axes: Axes it must have.
        """
        found = self.arrays.get(name)
        if found is None or found.ndim != num_axes or found.size == 0:
            return None
        return found.astype(float)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        """Return a value of ``kernel.json``, or None.

        Args:
            name: Its name.
        """
        return self.values.get(name)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the things compared: a model in one state, with an entry per seed."""

    label: str
    """What it is called on the page."""
    model: str
    """Name of the model."""
    state: str
    """``initial`` or ``trained``."""
    index: int
    """Its place in the comparison, which gives its colour."""
    entries: tuple[Entry, ...]
    """One per seed; pictures are those of the first."""

    @property
    def first(self) -> Entry:
        """The entry whose pictures are shown."""
        return self.entries[0]

    def numbers(self, *path: str | int) -> list[float]:
        """Return a number of every seed that has it.

        Args:
            path: Names, or places in a list, on the way to it.
        """
        found = (number(entry.values, *path) for entry in self.entries)
        return [value for value in found if value is not None]


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """All that an analysis left behind, grouped by what is compared."""

    folder: Path
    """Where its files are."""
    kernel: Mapping[str, Any]
    """All of ``kernel.json``."""
    variants: tuple[Variant, ...]
    """What is compared."""

    @property
    def kinds(self) -> list[str]:
        """Names of all kernels, that of all parameters first."""
        entries = (it.first for it in self.variants)
        found = dict.fromkeys(
            kind for entry in entries for kind in section_of(entry.values, "kernels")
        )
        return sorted(found, key=lambda kind: kind != ALL)

    def having(self, kind: str) -> tuple[Variant, ...]:
        """Return what has one of the kernels.

        Args:
            kind: Name of its group of parameters, or ``all``.
        """
        return tuple(variant for variant in self.variants if variant.first.kernel(kind))

    @property
    def seeds(self) -> list[Any]:
        """The seeds."""
        entries = (entry for it in self.variants for entry in it.entries)
        return list(dict.fromkeys(entry.values.get("seed", 0) for entry in entries))


def analysis_of(record: KernelRecord) -> Analysis:
    """Return an analysis, grouped by what is compared.

    Args:
        record: What it left behind.
    """
    states = {_state(values) for values in record.entries}
    groups: dict[tuple[str, str], list[Entry]] = {}
    for place, values in enumerate(record.entries):
        prefix = f"{place}/"
        arrays = {
            name.removeprefix(prefix): array
            for name, array in record.arrays.items()
            if name.startswith(prefix)
        }
        entry = Entry(values=values, arrays=arrays)
        key = (str(values.get("model", "model")), _state(values))
        if any(other["seed"] == entry["seed"] for other in groups.get(key, ())):
            # Not another seed of the same model, but another model of that name.
            label = str(values.get("label", place)).removesuffix(f", {key[1]}")
            key = (label, key[1])
        groups.setdefault(key, []).append(entry)
    return Analysis(
        folder=record.folder,
        kernel=record.kernel,
        variants=tuple(
            Variant(
                label=f"{model}, {state}" if len(states) > 1 else model,
                model=model,
                state=state,
                index=index,
                entries=tuple(entries),
            )
            for index, ((model, state), entries) in enumerate(groups.items())
        ),
    )


def _state(values: Mapping[str, Any]) -> str:
    return str(values.get("state") or "initial")


def section_of(values: Mapping[str, Any], *path: str | int) -> Mapping[str, Any]:
    """Return a nested object; empty if there is none.

    Args:
        values: Plain values, nested.
        path: Names, or places in a list, on the way to it.

    Example:
        >>> section_of({"curve": {"drift": None}}, "curve", "drift", "parts")
        {}
    """
    found: Any = values
    for name in path:
        if isinstance(name, int):
            is_there = isinstance(found, list) and 0 <= name < len(found)
            found = found[name] if is_there else None
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def number(values: Mapping[str, Any], *path: str | int) -> float | None:
    """Return a nested finite number, or None.

    Args:
        values: Plain values, nested.
        path: Names, or places in a list, on the way to it.

    Example:
        >>> number({"steps": [{"psnr": 20}]}, "steps", 0, "psnr")
        20
    """
    *way, last = path
    found = section_of(values, *way).get(str(last))
    return found if is_number(found) else None


def numbers(values: Mapping[str, Any], *path: str) -> list[float | None]:
    """Return a nested list of numbers, with None for what is none.

    Args:
        values: Plain values, nested.
        path: Names on the way to it.
    """
    *way, last = path
    found = section_of(values, *way).get(last)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return []
    return [value if is_number(value) else None for value in found]


def text(values: Mapping[str, Any], *path: str) -> str:
    """Return nested words; empty if there are none.

    Args:
        values: Plain values, nested.
        path: Names on the way to them.
    """
    *way, last = path
    found = section_of(values, *way).get(last)
    return found if isinstance(found, str) else ""
