"""Fields that are linear in what is trained are known, and others are refused."""

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.linear.recognition import check_linear, check_solvable
from tangrid.presets import find_model, model_names
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.linear.small_problems import CONFIGS, small_data, small_field

SITE = Site(num_dims=2, num_channels=3, resolution=(16, 16))


@pytest.mark.parametrize("name", CONFIGS)
def test_linear_fields_pass(name: str):
    field = small_field(name)
    check_linear(field, small_data()[0])
    if name != "frozen-decoder":
        check_solvable(field, name)


def test_two_models_can_be_solved():
    solved = []
    for name in model_names():
        if name == "spherical-harmonics":
            continue
        with torch.device("meta"):
            field = find_model(name).at(SITE).build(SITE, generator(0))
        try:
            check_solvable(field, name)
        except ConfigError as error:
            assert f"got '{name}', wh" in str(error)  # noqa: PT017
            assert "Take linear-grid, fourier-linear, or" in str(error)  # noqa: PT017
        else:
            solved.append(name)
    assert solved == ["fourier-linear", "linear-grid"]


@pytest.mark.parametrize("name", ["siren", "instant-ngp"])
def test_other_fields_are_refused_by_their_numbers(name: str):
    field = find_model(name).at(SITE).build(SITE, generator(0))
    with pytest.raises(ConfigError, match="the law of linearity is off by"):
        check_linear(field, small_data()[0])


def test_a_matrix_on_a_trained_grid_is_a_product():
    field = small_field("frozen-decoder").requires_grad_(True)
    with pytest.raises(ConfigError, match="a matrix and the features that it multipl"):
        check_solvable(field, "mine")
    with pytest.raises(ConfigError, match="the law of linearity"):
        check_linear(field, small_data()[0])
