import pytest
import torch

from tangrid.encodings import ENCODINGS
from tangrid.errors import ConfigError
from tangrid.fields import FIELDS, EncodedFieldConfig, SirenConfig, count_parameters
from tangrid.presets import PRESETS, Preset, find_model, model_names
from tangrid.presets.contract import file
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3, resolution=(32, 32))
SPACE = Site(num_dims=3, num_channels=1)
"""For what reads directions alone."""


@pytest.mark.parametrize("name", model_names())
def test_every_name_is_a_model_that_can_be_built(name: str):
    preset = find_model(name)
    assert preset.name == name
    assert preset.summary.endswith(".")
    site = SPACE if name == "spherical-harmonics" else SITE
    with torch.device("meta"):
        field = preset.field.build(site, generator(0))
    assert set(preset.rates) <= set(field.parameter_groups())
    assert count_parameters(preset.field, site) > 0


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_name_their_source(name: str):
    assert PRESETS[name].name == name
    assert PRESETS[name].source


def test_encodings_and_fields_are_models():
    names = model_names()
    assert names == sorted(set(names))
    assert set(ENCODINGS) <= set(names)
    assert set(FIELDS) - {"encoded"} <= set(names)
    grid = find_model("dense-grid").field
    assert isinstance(grid, EncodedFieldConfig)
    assert grid.decoder == EncodedFieldConfig().decoder
    assert find_model("siren").field == SirenConfig()


@pytest.mark.parametrize("name", ["encoded", "", "Instant-NGP"])
def test_other_names_are_refused(name: str):
    with pytest.raises(ConfigError, match=f"model '{name}': expected one of"):
        find_model(name)


def test_the_nearest_name_is_suggested():
    with pytest.raises(ConfigError, match=r"Did you mean 'instant-ngp'\?"):
        find_model("instantngp")


@pytest.mark.parametrize("name", ["instant-ngp", "hash-grid", "siren", "encoded"])
def test_a_name_is_given_once(name: str):
    before = dict(PRESETS)
    with pytest.raises(ConfigError, match="expected a new name, got one that is taken"):
        file(Preset(name=name, field=SirenConfig()))
    assert before == PRESETS


def test_models_that_are_compared_share_their_grid():
    first, second = (
        PRESETS[name].field for name in ("instant-ngp", "instant-ngp-sine")
    )
    assert isinstance(first, EncodedFieldConfig)
    assert isinstance(second, EncodedFieldConfig)
    assert first.encoding == second.encoding
    assert first.decoder != second.decoder


def test_sines_have_a_rate_of_their_own():
    """At the rate of rectified decoders they saturate: 19 dB in the place of 47."""
    assert find_model("siren").rates == {"decoder": 1e-3}
