"""``tangrid catalogue``: everything that has a name, with its defaults."""

import json

from tangrid.presets import (
    PRESETS,
    SCENE_PRESETS,
    SDF_PRESETS,
    model_names,
    scene_model_names,
)
from tangrid.registry import KINDS
from tangrid.tasks.view_protocols import PROTOCOLS
from tests.cli.conftest import Type


def test_text_names_everything_in_80_columns(tangrid: Type):
    outcome = tangrid("catalogue")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert {*model_names(), *scene_model_names()} <= set(lines)
    assert {"encoded", "relu-mlp", "fit-image", "compare-images", "fit-sdf"} <= set(
        lines
    )
    assert [line for line in lines if len(line) > 80] == []
    assert (
        "    Source: Mueller et al. 2022; image settings of the released code." in lines
    )


def test_json_holds_every_default(tangrid: Type):
    rooms = json.loads(tangrid("catalogue", "--json").out)
    registries = ["encodings", "decoders", "fields", "radiance_fields", "experiments"]
    models = ["models", "sdf_models", "scene_models"]
    assert list(rooms) == [*models, *registries, "protocols"]
    assert {entry["name"] for entry in rooms["protocols"]} == set(PROTOCOLS)
    assert {entry["name"] for entry in rooms["models"]} == set(PRESETS)
    assert {entry["name"] for entry in rooms["sdf_models"]} == set(SDF_PRESETS)
    assert {entry["name"] for entry in rooms["scene_models"]} == set(SCENE_PRESETS)
    for room in registries:
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
    assert "hash-grid" not in outcome.out.splitlines()
    only = json.loads(tangrid("catalogue", "siren", "--json").out)
    found = {room for room, entries in only.items() if entries}
    assert found - {"sdf_models"} == {"models", "fields"}
    assert ("sdf_models" in found) == ("siren" in SDF_PRESETS)
