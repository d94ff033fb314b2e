"""NeuRBF: its formula, its sizes, its continuity, and what it refuses."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from tangrid.encodings import NeurbfConfig
from tangrid.encodings.neurbf import Neurbf
from tangrid.errors import ConfigError, NumericalWarning
from tangrid.fields import EncodedFieldConfig, count_parameters, fit_budget
from tangrid.presets import find_model
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3, resolution=(24, 16))
SMALL = NeurbfConfig(num_centres=40, finest_resolution=20, num_channels=6)


def build(config: NeurbfConfig, site: Site = SITE) -> Neurbf:
    encoding = config.build(site, generator(0))
    with torch.no_grad():
        for parameter in encoding.parameters():
            parameter.normal_(generator=generator(1))
    return encoding


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=generator(2), dtype=torch.float64)


@pytest.mark.parametrize("shape", ["scalar", "diagonal", "full"])
@pytest.mark.parametrize("profile", ["inverse-quadric", "linear"])
@pytest.mark.parametrize("normalised", [True, False])
def test_features_are_those_of_the_formula(shape, profile, normalised):
    config = replace(SMALL, shape=shape, profile=profile, normalised=normalised)
    encoding = cast("Neurbf", build(config).double())
    coords = points(9)
    found = encoding(coords)[:, 4:] - encoding.bias[4:]
    frequencies = 2 ** torch.linspace(-3, 12, 6)
    for point, features in zip(coords * torch.tensor([1, 16 / 24]), found, strict=True):
        offsets = point - encoding.centres
        near = offsets.norm(dim=1).argsort()[:4]
        values = []
        for k in near:
            o, s = offsets[k], encoding.shapes[k]
            full = shape == "full"
            matrix = torch.stack((s[:2], s[1:])) if full else torch.diag(s.expand(2))
            if profile == "linear":
                values.append((1 - (matrix @ o).abs()).clamp(min=0).prod())
            else:
                values.append(1 / (1 + o @ matrix @ o))
        rho = torch.stack(values)
        if normalised:
            rho = rho / rho.sum()
        waves = torch.sin(frequencies * rho[:, None])
        wanted = (waves * encoding.features[near]).sum(0)
        assert torch.allclose(features, wanted, atol=1e-6)


@pytest.mark.parametrize("profile", ["inverse-quadric", "linear"])
@pytest.mark.parametrize("shape", ["scalar", "diagonal", "full"])
def test_radial_functions_are_one_half_at_one_width(profile, shape):
    site = Site(num_dims=2, num_channels=1)
    config = replace(SMALL, profile=profile, shape=shape)
    encoding = build(config, site)
    # Even nodes are as wide as their distance; a scalar width counts all axes.
    width = 40**-0.5 * (2**0.5 if shape == "scalar" else 1)
    offset = torch.tensor([width, 0.0]).double()
    s = encoding.shapes[0].double()
    if profile == "linear":
        value = 1 - s[0] * offset[0]
    else:
        value = 1 / (1 + s[0] * offset[0] ** 2)
    assert abs(value - 0.5) < 1e-6


def largest_jump(encoding: Neurbf) -> float:
    """Largest difference of neighbouring points on a fine line, less the slope's."""
    line = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    coords = torch.stack((line, 0.37 * torch.ones_like(line)), 1)
    with torch.no_grad():
        features = encoding(coords)[:, 4:]
    return float(features.diff(dim=0).abs().max())


def test_a_fading_neighbour_keeps_the_field_continuous():
    config = replace(SMALL, highest_frequency=1.0)
    jumps = [
        largest_jump(cast("Neurbf", build(replace(config, fades=fades)).double()))
        for fades in (False, True)
    ]
    assert jumps[0] > 0.05
    assert jumps[1] < 0.01 * jumps[0]


def test_published_counts():
    """Kodak's 768 x 512: 15 197 kernels beside 295 424 features of the grid."""
    preset = find_model("neurbf")
    site = Site(num_dims=2, num_channels=3, resolution=(768, 512))
    field = cast("EncodedFieldConfig", preset.at(site))
    encoding = cast("NeurbfConfig", field.encoding)
    with torch.device("meta"):
        built = encoding.build(site, torch.Generator())
    assert built.table.numel() == 295_424
    whole = replace(field, encoding=replace(encoding, num_centres=15_197))
    assert count_parameters(whole, site) == 295_424 + 486_304 + 36 + 6_723


def test_a_budget_sets_the_number_of_centres():
    site = Site(num_dims=2, num_channels=3, resolution=(256, 256))
    field = fit_budget(find_model("neurbf").at(site), site, 140_000)
    assert abs(count_parameters(field, site) - 140_000) < 50


@pytest.mark.parametrize(
    ("num_dims", "params"), [(2, 20_000), (2, 140_000), (3, 1_000_000)]
)
def test_small_budgets_shrink_the_grid_too(num_dims: int, params: int):
    site = Site(num_dims=num_dims, num_channels=3, resolution=(256,) * num_dims)
    field = fit_budget(find_model("neurbf").at(site), site, params)
    assert count_parameters(field, site) == pytest.approx(params, rel=0.02)


def test_centres_and_shapes_are_kept_but_not_trained():
    encoding = build(SMALL)
    assert {name for name, _ in encoding.named_parameters()} == {
        "table",
        "features",
        "bias",
    }
    assert {"centres", "shapes"} <= set(encoding.state_dict())
    assert encoding.centres.shape == (40, 2)
    assert encoding.shapes.shape == (40, 3)


def test_nodes_follow_the_signal():
    pixels = np.full((16, 24), 0.5, dtype=np.float32)
    pixels[:, :6] = torch.rand(16, 6, generator=generator(3)).numpy()
    encoding = build(SMALL, ImageSignal.from_array(pixels).site)
    assert (encoding.centres[:, 0] < 0.35).double().mean() > 0.7


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_image_gives_finite_features(value: float):
    flat = ImageSignal.from_array(np.full((8, 8), value))
    with pytest.warns(NumericalWarning):
        encoding = build(SMALL, flat.site)
    coords = points(50).float().requires_grad_()
    features = encoding(coords)
    features.sum().backward()
    assert features.isfinite().all()
    assert coords.grad is not None
    assert coords.grad.isfinite().all()


def test_centres_in_one_place_give_finite_features():
    encoding = build(replace(SMALL, fades=True))
    with torch.no_grad():
        encoding.centres.fill_(0.5)
    coords = torch.tensor([[0.5, 0.75], [0.3, 0.3], [1.0, 0.0]], requires_grad=True)
    features = encoding(coords)
    features.sum().backward()
    assert features.isfinite().all()
    assert coords.grad is not None
    assert coords.grad.isfinite().all()


@pytest.mark.parametrize("fades", [False, True])
def test_derivatives_by_coordinates_are_exact(fades: bool):
    config = replace(SMALL, highest_frequency=8.0, fades=fades)
    encoding = cast("Neurbf", build(config).double())
    coords = points(6).requires_grad_()
    assert torch.autograd.gradcheck(encoding, coords)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_neighbours": 41}, "at most the 40 centres there are, got 41"),
        ({"num_neighbours": 0}, "at least 1"),
        ({"num_centres": 0}, "num_centres: expected a whole number from 1"),
        ({"num_neighbours": 1, "fades": True}, "at least two neighbours"),
        ({"lowest_frequency": 0.0}, "0 < lowest <= highest"),
        ({"highest_frequency": float("inf")}, "0 < lowest <= highest"),
        ({"highest_frequency": 1e7}, "highest <= 1e\\+06"),
        ({"num_channels": 0}, "num_channels"),
    ],
)
def test_settings_that_give_nothing_to_read_are_refused(settings, words: str):
    with pytest.raises(ConfigError, match=words):
        replace(SMALL, **settings)
