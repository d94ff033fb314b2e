from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tangrid.decoders import LinearConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    IdentityConfig,
    MulfaGridConfig,
)
from tangrid.errors import ConfigError
from tangrid.fields import (
    EncodedFieldConfig,
    FieldConfig,
    SirenConfig,
    count_parameters,
    fit_budget,
)
from tangrid.seeding import generator
from tangrid.signals.site import Site

PLANE = Site(num_dims=2, num_channels=3, resolution=(768, 512))
SPACE = Site(num_dims=3, num_channels=1)
MODELS: dict[str, FieldConfig] = {
    "hash-grid": EncodedFieldConfig(encoding=HashGridConfig(log2_table_size=24)),
    "small tables": EncodedFieldConfig(encoding=HashGridConfig(log2_table_size=11)),
    "eight levels": EncodedFieldConfig(encoding=HashGridConfig(num_levels=8)),
    "dense-grid": EncodedFieldConfig(encoding=DenseGridConfig()),
    "one level": EncodedFieldConfig(encoding=DenseGridConfig(num_levels=1)),
    "fourier": EncodedFieldConfig(encoding=FourierConfig()),
    "identity": EncodedFieldConfig(encoding=IdentityConfig()),
    "mulfa-grid": EncodedFieldConfig(encoding=MulfaGridConfig(log2_table_size=24)),
    "siren": SirenConfig(),
}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=3)
@given(params=st.integers(20_000, 1_000_000))
def test_budgets_of_images_are_met(name: str, params: int):
    sized = fit_budget(MODELS[name], PLANE, params)
    assert abs(count_parameters(sized, PLANE) / params - 1) <= 0.02


@pytest.mark.parametrize("name", ["hash-grid", "dense-grid", "siren"])
@settings(max_examples=3)
@given(params=st.integers(200_000, 5_000_000))
def test_budgets_of_shapes_are_met(name: str, params: int):
    sized = fit_budget(MODELS[name], SPACE, params)
    assert abs(count_parameters(sized, SPACE) / params - 1) <= 0.02


@pytest.mark.parametrize("name", MODELS)
def test_counts_are_those_of_built_fields(name: str):
    sized = fit_budget(MODELS[name], PLANE, 50_000)
    field = sized.build(PLANE, generator(0))
    built = sum(p.numel() for p in field.parameters() if p.requires_grad)
    assert count_parameters(sized, PLANE) == built


def test_a_grid_keeps_its_decoder_and_its_number_of_levels():
    config: Any = MODELS["hash-grid"]
    sized: Any = fit_budget(config, PLANE, 140_000)
    assert sized.decoder == config.decoder
    assert sized.encoding.num_levels == config.encoding.num_levels
    assert sized.encoding.log2_table_size == config.encoding.log2_table_size
    assert sized.encoding.growth != config.encoding.growth


def test_tables_grow_where_levels_saturate():
    """16 levels of 2^14 rows of 2 features hold 524 288 numbers, coarse ones fewer."""
    sized: Any = fit_budget(MODELS["small tables"], PLANE, 500_000)
    assert sized.encoding.log2_table_size == 15


def test_a_budget_that_is_met_already_changes_little():
    params = count_parameters(SirenConfig(), PLANE)
    assert fit_budget(SirenConfig(), PLANE, params) == SirenConfig()


@pytest.mark.parametrize("params", [1, 100, 10**15])
def test_impossible_budgets_are_refused(params: int):
    for name in ("hash-grid", "siren"):
        with pytest.raises(ConfigError) as caught:
            fit_budget(MODELS[name], PLANE, params)
        assert f"--params {params}: expected a budget this model can" in str(
            caught.value
        )
        assert "whose nearest size has" in str(caught.value)


def test_a_model_without_a_size_is_refused():
    config = EncodedFieldConfig(encoding=IdentityConfig(), decoder=LinearConfig())
    with pytest.raises(
        ConfigError, match=r"got 'encoded' without one\. Leave --params"
    ):
        fit_budget(config, PLANE, 1000)


def test_counting_allocates_nothing():
    """Four tables of 2^28 rows would be 8 GB."""
    config = EncodedFieldConfig(
        encoding=HashGridConfig(log2_table_size=28, num_levels=4, base_resolution=2**14)
    )
    assert count_parameters(config, PLANE) > 2**31
