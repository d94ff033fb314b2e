"""``tangrid catalogue``: everything that has a name, with its defaults."""

import json

from tangrid.presets import PRESETS, model_names
from tangrid.registry import KINDS
from tests.cli.conftest import Type


def test_text_names_everything_in_80_columns(tangrid: Type):
    outcome = tangrid("catalogue")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert set(model_names()) <= set(lines)
    assert {"encoded", "relu-mlp", "fit-image", "compare-images"} <= set(lines)
    assert [line for line in lines if len(line) > 80] == []
    assert (
        "    Source: Mueller et al. 2022; image settings of the released code." in lines
    )


def test_json_holds_every_default(tangrid: Type):
    rooms = json.loads(tangrid("catalogue", "--json").out)
    assert list(rooms) == ["models", "encodings", "decoders", "fields", "experiments"]
    assert {entry["name"] for entry in rooms["models"]} == set(PRESETS)
    for room in ("encodings", "decoders", "fields", "experiments"):
        for entry in rooms[room]:
            assert entry["settings"]["kind"] == entry["name"]
            assert entry["name"] in KINDS
            assert entry["summary"]
    grid = next(e for e in rooms["encodings"] if e["name"] == "hash-grid")
    assert grid["settings"]["num_levels"] == 16


def test_names_are_shown_in_full(tangrid: Type):
    outcome = tangrid("catalogue", "instant-ngp")
    assert "field.encoding.num_levels=16" in outcome.out
    assert "field.decoder.width=64" in outcome.out
    assert "hash-grid\n" not in outcome.out
    only = json.loads(tangrid("catalogue", "siren", "--json").out)
    assert [len(entries) for entries in only.values()] == [1, 0, 0, 1, 0]
