import pytest

from tangrid.encodings import ENCODINGS, HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedFieldConfig, SirenConfig, count_parameters, fit_budget
from tangrid.presets import PRESETS, Preset, find_model, model_names
from tangrid.presets.contract import SDF_PRESETS, file_for_sdf
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=3, num_channels=1)


@pytest.mark.parametrize("name", sorted(SDF_PRESETS))
def test_settings_for_shapes_are_those_of_a_known_model(name: str):
    assert name in model_names()
    preset = find_model(name, "sdf")
    assert preset is SDF_PRESETS[name]
    assert preset.name == name
    assert preset.summary.endswith(".")
    assert preset.source
    field = preset.field.build(SITE, generator(0))
    assert set(preset.rates) <= set(field.parameter_groups())


@pytest.mark.parametrize("name", sorted(SDF_PRESETS))
def test_the_size_of_a_preset_can_be_met(name: str):
    preset = find_model(name, "sdf")
    assert preset.params is not None
    sized = fit_budget(preset.at(SITE), SITE, preset.params)
    assert count_parameters(sized, SITE) == pytest.approx(preset.params, rel=0.02)


def test_other_names_mean_the_same_for_shapes_and_images():
    for name in set(model_names()) - set(SDF_PRESETS):
        for_image, for_shape = find_model(name), find_model(name, "sdf")
        assert for_shape.field == for_image.field, name
        assert for_shape.rates == for_image.rates, name
        assert for_shape.params is None, name


def test_images_keep_their_settings():
    for_image, for_shape = find_model("instant-ngp"), find_model("instant-ngp", "sdf")
    assert for_image is PRESETS["instant-ngp"] is find_model("instant-ngp", "image")
    assert for_image.field != for_shape.field
    assert for_image.params is None
    assert for_image.finest_fraction == 0.5
    assert for_shape.finest_fraction is None
    assert isinstance(for_shape.field, EncodedFieldConfig)
    assert isinstance(for_shape.field.encoding, HashGridConfig)
    assert for_shape.field.encoding.log2_table_size == 8


@pytest.mark.parametrize("name", ["encoded", "", "Instant-NGP", "instantngp"])
def test_unknown_names_are_refused_for_shapes_too(name: str):
    with pytest.raises(ConfigError, match=f"model '{name}': expected one of"):
        find_model(name, "sdf")


def test_every_encoding_is_a_model_for_shapes():
    for name in ENCODINGS:
        field = find_model(name, "sdf").field
        assert isinstance(field, EncodedFieldConfig)


def test_filing_for_shapes_leaves_images_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(SDF_PRESETS, "siren", raising=False)
    images = dict(PRESETS)
    preset = Preset(name="siren", field=SirenConfig(width=16), params=5000)
    try:
        file_for_sdf(preset)
        assert find_model("siren", "sdf") is preset
        assert find_model("siren") is not preset
        assert images == PRESETS
    finally:
        del SDF_PRESETS["siren"]
