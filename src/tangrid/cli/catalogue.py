"""``tangrid catalogue``: everything registered, with its defaults."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from tangrid.cli.catalogue_text import Entry, lines
from tangrid.cli.flag_types import Switch
from tangrid.cli.flags import PluginFlags
from tangrid.cli.plugin import load_plugin
from tangrid.registry import unknown_name

if TYPE_CHECKING:
    from tangrid.presets import Preset


@dataclass(frozen=True, kw_only=True)
class CatalogueRequest:
    """List every model, encoding, decoder, field and experiment with its defaults."""

    names: Annotated[
        Positional[tuple[str, ...]], arg(metavar="[NAME...]", help_behavior_hint="")
    ] = ()
    """Only these, with all of their settings."""
    json: Switch = False
    """Write JSON, for programs."""
    other: PluginFlags = field(default_factory=PluginFlags)


def run(request: CatalogueRequest, command: Sequence[str]) -> None:
    """Print the catalogue.

    Args:
        request: What was asked for.
        command: The whole command.
    """
    del command
    load_plugin(request.other.plugin)
    rooms = chosen(entries(), request.names)
    if request.json:
        print(json.dumps(rooms, indent=2))
        return
    defaults = {
        entry["name"]: entry["settings"]
        for room in ("encodings", "decoders", "fields", "radiance_fields")
        for entry in entries()[room]
    }
    for line in lines(rooms, {} if request.names else defaults):
        print(line)


def entries() -> dict[str, list[Entry]]:
    """Return everything registered, as plain values by kind."""
    # What is heavy is imported when it is needed: --help must answer at once.
    from tangrid.decoders import DECODERS  # noqa: PLC0415
    from tangrid.encodings import ENCODINGS  # noqa: PLC0415
    from tangrid.experiments import EXPERIMENTS  # noqa: PLC0415
    from tangrid.fields import FIELDS  # noqa: PLC0415
    from tangrid.fields.radiance import RADIANCE_FIELDS  # noqa: PLC0415
    from tangrid.presets import (  # noqa: PLC0415
        PRESETS,
        SCENE_PRESETS,
        SDF_PRESETS,
    )
    from tangrid.runs import to_plain  # noqa: PLC0415
    from tangrid.tasks.view_protocols import PROTOCOLS  # noqa: PLC0415

    registries = {
        "encodings": ENCODINGS,
        "decoders": DECODERS,
        "fields": FIELDS,
        "radiance_fields": RADIANCE_FIELDS,
        "experiments": EXPERIMENTS,
    }
    rooms = {
        room: [
            {
                "name": name,
                "summary": (registry[name].__doc__ or "").strip().splitlines()[0],
                "settings": to_plain(registry[name]()),
            }
            for name in registry
        ]
        for room, registry in registries.items()
    }
    protocols = [
        {"name": one.name, "summary": one.summary, "settings": to_plain(one)}
        for one in PROTOCOLS.values()
    ]
    return {
        "models": _models(PRESETS),
        "sdf_models": _models(SDF_PRESETS),
        "scene_models": _models(SCENE_PRESETS),
        **rooms,
        "protocols": protocols,
    }


def _models(presets: "Mapping[str, Preset]") -> list[Entry]:
    from tangrid.runs import to_plain  # noqa: PLC0415

    return [
        {
            "name": preset.name,
            "summary": preset.summary,
            "source": preset.source,
            "params": preset.params,
            "settings": {
                "field": to_plain(preset.field),
                "training": {"rates": dict(preset.rates)},
                **preset.settings,
            },
        }
        for _, preset in sorted(presets.items())
    ]


def chosen(
    rooms: Mapping[str, Sequence[Entry]], names: Sequence[str]
) -> dict[str, list[Entry]]:
    """Return the entries of some names; all if none are given.

    Args:
        rooms: Entries by kind.
        names: The names wanted.

    Raises:
        ConfigError: If a name is not there.
    """
    known = {entry["name"] for found in rooms.values() for entry in found}
    for name in names:
        if name not in known:
            raise unknown_name("catalogue", name, known)
    return {
        room: [entry for entry in found if not names or entry["name"] in names]
        for room, found in rooms.items()
    }
