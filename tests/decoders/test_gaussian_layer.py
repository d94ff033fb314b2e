"""The decoder of Gaussians: its formula, its start, its rounding."""

import pytest
import torch

from tangrid.decoders import GaussianLayerConfig
from tangrid.decoders.gaussian_layer import GaussianLayer
from tangrid.encodings import HashGridConfig
from tangrid.errors import ConfigError
from tangrid.fields import EncodedField
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import tangent_kernel


def build(num_gaussians: int = 6) -> GaussianLayer:
    config = GaussianLayerConfig(num_gaussians=num_gaussians)
    return config.build(4, 3, generator(0))


def test_values_are_those_of_the_formula():
    decoder = build().double()
    with torch.no_grad():
        decoder.centres.normal_(generator=generator(1))
        decoder.log_sharpness.normal_(generator=generator(2))
    features = torch.randn(9, 4, generator=generator(3), dtype=torch.float64)
    squared = (features[:, None] - decoder.centres).square()
    gaussians = torch.exp(-0.5 * (decoder.log_sharpness.exp() * squared).sum(2))
    wanted = gaussians @ decoder.output.weight.T + decoder.output.bias
    assert torch.allclose(decoder(features), wanted, atol=1e-12)


def test_gaussians_start_narrowly_around_0_with_width_1():
    decoder = build()
    assert 0 < float(decoder.centres.detach().abs().max()) <= 1e-4
    assert torch.equal(decoder.log_sharpness, torch.zeros(6, 4))


def test_rounding_makes_no_gaussian_larger_than_1():
    decoder = build(64)
    features = 1000 * torch.randn(64, 4, generator=generator(3))
    with torch.no_grad():
        decoder.centres.copy_(features)
    values = decoder.gaussians(features)
    assert (values <= 1).all()
    assert values.isfinite().all()
    # Without care the squares of some points at their own centres are below 0.
    squares = (
        features.square().sum(1)
        - 2 * (features @ features.T).diagonal()
        + features.square().sum(1)
    )
    assert squares.min() < 0


def test_gaussians_of_bfloat16_features_are_those_of_their_rounded_values():
    decoder = build(16)
    with torch.no_grad():
        decoder.centres.normal_(generator=generator(1))
    features = torch.randn(50, 4, generator=generator(3)).bfloat16()
    found = decoder.gaussians(features)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, decoder.gaussians(features.float()).bfloat16())


def test_derivatives_are_exact():
    decoder = build().double()
    features = torch.randn(3, 4, generator=generator(3), dtype=torch.float64)
    assert torch.autograd.gradcheck(decoder, features.requires_grad_())
    assert torch.autograd.gradgradcheck(decoder, features)


def test_its_tangent_kernel_is_exact():
    site = Site(num_dims=2, num_channels=3)
    grid = HashGridConfig(num_levels=3, log2_table_size=9).build(site, generator(0))
    decoder = GaussianLayerConfig(num_gaussians=5).build(6, 3, generator(1))
    field = EncodedField(grid, decoder, num_channels=3)
    coords = torch.rand(5, 2, generator=generator(2))
    found = tangent_kernel(field, coords).to_dense()
    plain = tangent_kernel(field, coords, implementation="matrix-free")
    wanted = plain @ torch.eye(15, dtype=torch.float64)
    assert (found - wanted).abs().max() < 1e-12 * wanted.abs().max()


def test_a_layer_has_gaussians():
    with pytest.raises(ConfigError, match="num_gaussians"):
        GaussianLayerConfig(num_gaussians=0)
