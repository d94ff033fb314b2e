"""TensoRF's and DVGO's form of a radiance field, against their formulas."""

import math
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    FourierConfig,
    HashGridConfig,
    MulfaGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.errors import ConfigError
from tangrid.fields import count_parameters, fit_budget
from tangrid.fields.radiance import (
    DirectionEncoding,
    SeparateRadianceConfig,
    opacity_shift,
)
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.tolerances import LINEAR_ALGEBRA

SITE = Site(num_dims=3, num_channels=3)
TENSORF = SeparateRadianceConfig(
    density_encoding=TensorfVmConfig(resolution=6, num_ranks=2),
    appearance_encoding=TensorfVmConfig(resolution=6, num_ranks=4),
)
DVGO = SeparateRadianceConfig(
    density_encoding=DenseGridConfig(
        num_levels=1, channels_per_level=1, base_resolution=5
    ),
    appearance_encoding=DenseGridConfig(
        num_levels=1, channels_per_level=4, base_resolution=5
    ),
    num_appearance=None,
    feature_bands=0,
    directions=DirectionEncoding(family="waves", order=4),
    density_shift=opacity_shift(0.01),
    density_scale=5.0,
)


def build(config: SeparateRadianceConfig) -> Any:
    return config.build(SITE, generator(0)).double()


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=generator(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("encoding", "resolution", "ranks", "grids"),
    [
        # As published: 17 337 600 features of 64 ranks, and 384 ranks of lines.
        (TensorfVmConfig, 300, (16, 48), 17_337_600),
        (TensorfCpConfig, 500, (96, 288), 576_000),
    ],
)
def test_published_models_have_their_published_size(
    encoding: Any, resolution: int, ranks: tuple[int, int], grids: int
):
    parts = [encoding(resolution=resolution, num_ranks=count) for count in ranks]
    config = SeparateRadianceConfig(
        density_encoding=parts[0], appearance_encoding=parts[1]
    )
    num_products = ranks[1] * (3 if encoding is TensorfVmConfig else 1)
    wanted = grids + 27 * num_products + 36_227
    assert count_parameters(config, SITE) == wanted


def test_the_density_is_a_sum_of_products():
    field = build(TENSORF)
    coords = points(9)
    products = field.density_encoding(coords)
    assert products.shape == (9, 6)
    wanted = 75 * torch.log1p(torch.exp(products.sum(1) - 10))
    found, hidden = field.density(coords)
    assert torch.allclose(found, wanted, atol=LINEAR_ALGEBRA)
    assert torch.equal(hidden, coords)
    assert torch.equal(field(coords), found[:, None])


def test_the_head_sees_features_their_waves_and_the_direction():
    field = build(TENSORF)
    coords = points(9)
    views = field.encode_directions(normalize(points(9) - 0.5))
    features = field.appearance_encoding(coords) @ field.basis.output.weight.T
    assert features.shape == (9, 27)
    seen = [features, features.sin(), features.cos()]
    seen += [(2 * features).sin(), (2 * features).cos(), views]
    wanted = field.colour_head(torch.cat(seen, 1))
    assert torch.equal(field.colour(coords, views), wanted)
    assert views.shape[1] == 3 + 2 * 2 * 3


def test_a_voxel_grid_has_one_channel_of_density():
    field = build(DVGO)
    coords = points(9)
    raw = field.density_encoding(coords)[:, 0]
    wanted = 5 * torch.log1p(torch.exp(raw + opacity_shift(0.01)))
    assert torch.allclose(field.density(coords).density, wanted, atol=LINEAR_ALGEBRA)
    assert field.basis is None
    views = field.encode_directions(normalize(points(9) - 0.5))
    seen = torch.cat((field.appearance_encoding(coords), views), 1)
    assert torch.equal(field.colour(coords, views), field.colour_head(seen))


@pytest.mark.parametrize("opacity", [1e-6, 1e-2, 0.5, 0.9])
def test_the_shift_makes_a_layer_as_opaque_as_wanted(opacity: float):
    density = math.log1p(math.exp(opacity_shift(opacity)))
    assert 1 - math.exp(-density) == pytest.approx(opacity, rel=1e-9)


def test_the_appearance_is_not_read_for_densities():
    field = build(TENSORF)
    field.appearance_encoding.forward = None
    assert field.density(points(3)).density.shape == (3,)


def test_colours_have_slopes_in_the_places():
    field = build(TENSORF)
    # Away from the faces of cells, where slopes jump.
    coords = (0.05 + 0.1 * points(3)).requires_grad_()
    views = field.encode_directions(normalize(points(3) - 0.5))

    def colour(places: torch.Tensor) -> torch.Tensor:
        return field.colour(field.density(places).hidden, views)

    assert torch.autograd.gradcheck(colour, coords)


def test_groups_of_both_encodings_are_joined():
    kernel = MulfaGridConfig(num_levels=2, base_resolution=4, log2_table_size=6)
    field = build(
        SeparateRadianceConfig(
            density_encoding=TensorfVmConfig(resolution=4, num_ranks=1),
            appearance_encoding=kernel,
        )
    )
    groups = field.parameter_groups()
    assert list(groups) == ["grid", "kernel", "decoder"]
    assert len(groups["grid"]) == 6 + 1
    listed = sorted(id(p) for group in groups.values() for p in group)
    assert listed == sorted(id(p) for p in field.parameters() if p.requires_grad)


def test_both_encodings_grow_at_once():
    sized: Any = fit_budget(DVGO, SITE, 60_000)
    sides = [
        encoding.base_resolution
        for encoding in (sized.density_encoding, sized.appearance_encoding)
    ]
    assert sides[0] == sides[1] > 5
    grids = SeparateRadianceConfig(
        density_encoding=HashGridConfig(), colour_head=LinearConfig()
    )
    assert len(grids.families()) == len(TensorfVmConfig().families())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_appearance": 0}, "num_appearance: expected at least 1"),
        ({"feature_bands": -1}, "feature_bands: expected 0 to 16"),
        ({"density_scale": -1.0}, "density_scale: expected a finite number above 0"),
    ],
)
def test_settings_without_sense_are_refused(settings: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        SeparateRadianceConfig(**settings)


def test_a_density_without_features_to_learn_is_refused():
    config = SeparateRadianceConfig(
        density_encoding=FourierConfig(), colour_head=ReluMlpConfig(width=4)
    )
    with pytest.raises(ConfigError, match="got 'fourier'"):
        build(config)
