"""The catalogue as text of 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_WIDTH = 80
_INDENT = "    "
_HEADINGS = {
    "models": "Models: --model NAME",
    "sdf_models": "The same models for signed distances: fit sdf --model NAME",
    "scene_models": "Models of scenes: fit scene --model NAME",
    "encodings": "Encodings: --model NAME, or --set field.encoding=NAME",
    "decoders": "Decoders: --set field.decoder=NAME",
    "fields": "Fields: --model NAME",
    "radiance_fields": "Radiance fields: fit scene --model NAME",
    "experiments": "Experiments",
    "protocols": "Rules of judging scenes: fit scene --protocol NAME",
}

Entry = dict[str, Any]
"""Name, summary and settings of one thing; its source and size if it has them."""


def lines(
    rooms: Mapping[str, Sequence[Entry]], defaults: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the catalogue as text.

    Args:
        rooms: Entries by kind.
        defaults: Settings of components by name; what equals them is left out where
            a component is part of something larger.

    Yields:
        Lines of at most 80 columns.
    """
    for room, heading in _HEADINGS.items():
        if not rooms.get(room):
            continue
        yield from (heading, "-" * len(heading), "")
        for entry in rooms[room]:
            yield entry["name"]
            yield from _wrapped(entry["summary"])
            if entry.get("source"):
                yield from _wrapped(f"Source: {entry['source']}")
            if entry.get("params"):
                yield from _wrapped(
                    f"Parameters, unless --params says others: {entry['params']}."
                )
            settings = [
                f"{path}={_say(value)}"
                for path, value in flat(entry["settings"], defaults)
            ]
            yield from _wrapped("  ".join(settings))
            yield ""


def flat(
    settings: Mapping[str, Any],
    defaults: Mapping[str, Mapping[str, Any]],
    where: str = "",
) -> Iterator[tuple[str, Any]]:
    """Yield single settings by dotted path, as ``--set`` takes them.

    Args:
        settings: Plain values, nested.
        defaults: Settings of components by name, left out where they are nested.
        where: Path of the settings.

    Yields:
        Path and value; the path of a component has its name as value.

    Example:
        >>> settings = {"encoding": {"kind": "hash-grid", "levels": 8, "base": 16}}
        >>> list(flat(settings, {"hash-grid": {"levels": 16, "base": 16}}))
        [('encoding', 'hash-grid'), ('encoding.levels', 8)]
    """
    known = defaults.get(settings.get("kind", ""), {}) if where else {}
    for name, value in settings.items():
        path = f"{where}.{name}" if where else name
        if name == "kind":
            if where:
                yield where, value
        elif isinstance(value, Mapping):
            yield from flat(value, defaults, path)
        elif name not in known or known[name] != value:
            yield path, value


def _say(value: object) -> str:
    if isinstance(value, list):
        return ",".join(_say(item) for item in value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
