import dataclasses

import pytest
import torch

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import ENCODINGS, HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import count_parameters
from tangrid.fields.radiance import (
    RADIANCE_FIELDS,
    EncodedRadianceConfig,
    RadianceFieldConfig,
)
from tangrid.presets import (
    PRESETS,
    SCENE_PRESETS,
    find_model,
    model_names,
    scene_model_names,
)
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=3, num_channels=3)


@pytest.mark.parametrize("name", scene_model_names())
def test_every_name_is_a_radiance_field_that_can_be_built(name: str):
    preset = find_model(name, "scene")
    assert preset.name == name
    assert preset.summary.endswith(".")
    assert isinstance(preset.field, RadianceFieldConfig)
    with torch.device("meta"):
        field = preset.field.build(SITE, generator(0))
    assert set(preset.rates) <= set(field.parameter_groups())
    assert count_parameters(preset.field, SITE) > 0


@pytest.mark.parametrize("name", sorted(SCENE_PRESETS))
def test_presets_name_their_source_and_all_their_rates(name: str):
    preset = SCENE_PRESETS[name]
    assert find_model(name, "scene") is preset
    assert preset.source
    with torch.device("meta"):
        field = preset.at(SITE).build(SITE, generator(0))
    assert set(preset.rates) == set(field.parameter_groups())
    assert isinstance(preset.field, RadianceFieldConfig)
    grown = count_parameters(preset.field.grown_to(1.0), SITE)
    assert count_parameters(preset.field, SITE) <= grown < 2_200_000


def test_every_encoding_is_a_model_of_scenes():
    for name in ENCODINGS:
        field = find_model(name, "scene").field
        assert field == EncodedRadianceConfig(encoding=ENCODINGS[name]())


def test_what_stands_on_one_encoding_has_the_same_heads():
    """Where heads differ, a comparison says nothing of encodings."""
    fields = [find_model(name, "scene").field for name in scene_model_names()]
    encoded = [field for field in fields if isinstance(field, EncodedRadianceConfig)]
    assert len(encoded) > len(list(ENCODINGS))
    like = dataclasses.replace(encoded[0], encoding=HashGridConfig())
    for field in encoded:
        assert dataclasses.replace(field, encoding=HashGridConfig()) == like
    assert like.colour_head == ReluMlpConfig(num_hidden=1, output_activation="sigmoid")


def test_kinds_of_radiance_fields_are_models_of_scenes():
    for name in set(RADIANCE_FIELDS) - set(SCENE_PRESETS):
        assert find_model(name, "scene").field == RADIANCE_FIELDS[name]()


def test_images_keep_their_settings():
    for name in SCENE_PRESETS.keys() & PRESETS.keys():
        assert find_model(name) is PRESETS[name]
        assert find_model(name, "scene") is not PRESETS[name]


@pytest.mark.parametrize("name", sorted(set(model_names()) - set(scene_model_names())))
def test_models_of_images_alone_are_refused(name: str):
    with pytest.raises(ConfigError, match="expected a model of scenes"):
        find_model(name, "scene")


def test_the_nearest_name_is_suggested():
    with pytest.raises(ConfigError, match=r"Did you mean 'instant-ngp'\?"):
        find_model("instantngp", "scene")
