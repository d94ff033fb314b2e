from dataclasses import replace
from typing import Any

import pytest
import torch

from tangrid.decoders import LinearConfig, ReluMlpConfig
from tangrid.encodings import FourierConfig, HashGridConfig, IdentityConfig
from tangrid.fields import EncodedField, EncodedFieldConfig
from tangrid.fields.contract import DecoderDtype
from tangrid.presets import find_model
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)
GRID = HashGridConfig(num_levels=3, base_resolution=4, log2_table_size=6)


def build(config: EncodedFieldConfig) -> EncodedField:
    return config.build(SITE, generator(0))


def test_the_decoder_reads_the_encoding():
    field = build(EncodedFieldConfig(encoding=GRID))
    coords = torch.rand(7, 2)
    assert torch.equal(field(coords), field.decoder(field.encoding(coords)))
    assert (field.num_dims, field.num_channels) == (2, 3)


def test_groups_hold_every_parameter_once():
    field = build(EncodedFieldConfig(encoding=GRID, decoder=LinearConfig()))
    groups = field.parameter_groups()
    assert set(groups) == {"grid", "decoder"}
    listed = [id(p) for group in groups.values() for p in group]
    assert sorted(listed) == sorted(id(p) for p in field.parameters())


HALVES = pytest.mark.parametrize("dtype", ["bfloat16", "float16"])


@HALVES
def test_a_decoder_in_half_precision_gives_float32(dtype: DecoderDtype):
    config = EncodedFieldConfig(encoding=IdentityConfig(), decoder_dtype=dtype)
    field = build(config)
    exact = build(EncodedFieldConfig(encoding=IdentityConfig()))
    coords = torch.rand(50, 2)
    values = field(coords)
    assert values.dtype == torch.float32
    assert {p.dtype for p in field.parameters()} == {torch.float32}
    difference = (values - exact(coords)).abs().max()
    assert 0 < difference < 0.05
    gradients = torch.autograd.grad(values.sum(), list(field.parameters()))
    assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


@HALVES
def test_a_table_can_be_read_in_half_precision(dtype: DecoderDtype):
    grid = replace(GRID, table_dtype="float16")
    for decoder in ("float32", dtype):
        field = build(EncodedFieldConfig(encoding=grid, decoder_dtype=decoder))
        exact = build(EncodedFieldConfig(encoding=GRID))
        coords = torch.rand(50, 2)
        values = field(coords)
        assert field.encoding(coords).dtype == torch.float16
        assert values.dtype == field.encoding.table.dtype == torch.float32
        assert 0 < (values - exact(coords)).abs().max() < 0.05


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_field_converts_to_float64(dtype: DecoderDtype):
    grid = replace(GRID, table_dtype="float16")
    field = build(EncodedFieldConfig(encoding=grid, decoder_dtype=dtype)).double()
    assert field(torch.rand(4, 2).double()).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["instant-ngp", "hash-grid", "mulfagrid"])
def test_a_field_computes_in_what_it_was_converted_to(name: str, dtype: torch.dtype):
    make = find_model(name, "image").field
    exact, field = (make.build(SITE, generator(0)) for _ in range(2))
    coords = torch.rand(50, 2, generator=generator(0)).to(dtype)
    values = field.to(dtype)(coords)
    assert values.dtype == dtype
    # Points rounded to bfloat16 lie elsewhere, but in both.
    difference = (values.double() - exact(coords.float()).double()).abs().max()
    assert difference < 0.01
    values.float().sum().backward()
    grads = [p.grad for p in field.parameters() if p.requires_grad]
    assert all(g is not None and g.dtype == dtype for g in grads)


def test_parts_are_built_from_one_generator():
    first = build(EncodedFieldConfig(encoding=GRID))
    again = build(EncodedFieldConfig(encoding=GRID))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_a_grid_is_sized_by_its_levels_a_network_by_its_width():
    grid = EncodedFieldConfig(encoding=GRID)
    sized: list[Any] = [family(0.5) for family in grid.families()]
    assert {config.decoder for config in sized} == {grid.decoder}
    assert sized[0].encoding != grid.encoding
    network = EncodedFieldConfig(encoding=FourierConfig(), decoder=ReluMlpConfig())
    (family,) = network.families()
    wider: Any = family(0.5)
    assert wider.encoding == network.encoding
    assert wider.decoder.width == 256


def test_where_a_decoder_cannot_grow_the_encoding_does():
    config = EncodedFieldConfig(encoding=FourierConfig(), decoder=LinearConfig())
    (family,) = config.families()
    grown: Any = family(0.0)
    assert grown.decoder == config.decoder
    assert grown.encoding.num_frequencies == 4
