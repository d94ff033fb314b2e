"""Fields whose grids get finer while they are trained."""

import copy
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from tangrid.decoders import ReluMlpConfig
from tangrid.encodings import (
    DenseGridConfig,
    HashGridConfig,
    PlaneGridConfig,
    TensorfCpConfig,
    TensorfVmConfig,
)
from tangrid.errors import ConfigError
from tangrid.fields import count_parameters
from tangrid.fields.radiance import (
    EncodedRadianceConfig,
    Growth,
    NerfConfig,
    RadianceFieldConfig,
    SeparateRadianceConfig,
)
from tangrid.ops.adam_update import AdamState
from tangrid.runs.codec import from_plain, to_plain
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=3, num_channels=3)
GROWTH = Growth(at=(0.1, 0.5), resolutions=(9, 17))
HEAD = ReluMlpConfig(width=8)


def voxels(channels: int) -> DenseGridConfig:
    return DenseGridConfig(num_levels=1, base_resolution=5, channels_per_level=channels)


FIELDS: dict[str, Any] = {
    "tensorf-vm": SeparateRadianceConfig(
        density_encoding=TensorfVmConfig(resolution=5, num_ranks=2),
        appearance_encoding=TensorfVmConfig(resolution=5, num_ranks=3),
        growth=GROWTH,
    ),
    "tensorf-cp": SeparateRadianceConfig(
        density_encoding=TensorfCpConfig(resolution=5, num_ranks=2),
        appearance_encoding=TensorfCpConfig(resolution=5, num_ranks=3),
        growth=GROWTH,
    ),
    "dvgo": SeparateRadianceConfig(
        density_encoding=voxels(1),
        appearance_encoding=voxels(4),
        num_appearance=None,
        growth=GROWTH,
    ),
    "k-planes": EncodedRadianceConfig(
        encoding=PlaneGridConfig(resolution=6, num_scales=2, channels_per_scale=3),
        growth=GROWTH,
    ),
    "dense levels": EncodedRadianceConfig(
        encoding=DenseGridConfig(num_levels=2, base_resolution=3), growth=GROWTH
    ),
}


def build(config: RadianceFieldConfig) -> Any:
    return config.build(SITE, generator(0))


def outputs(field: Any) -> torch.Tensor:
    coords = torch.rand(40, 3, generator=generator(1))
    density, hidden = field.density(coords)
    views = field.encode_directions(torch.eye(3)[[0]]).expand(40, -1)
    return torch.cat((density[:, None], field.colour(hidden, views)), 1)


def shapes(field: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in field.named_parameters()}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_grows_when_it_is_time_and_says_which_parameters(name: str):
    field = build(FIELDS[name])
    before = dict(field.named_parameters())
    assert field.grow(0.0) is None
    assert field.grow(0.0999) is None
    maps = field.grow(0.1)
    after = dict(field.named_parameters())
    assert list(after) == list(before)
    grids = {n for n in before if "encoding" in n}
    assert set(maps) == grids
    for parameter in grids:
        assert after[parameter] is not before[parameter]
        assert after[parameter].is_leaf
        assert after[parameter].requires_grad
        assert after[parameter].numel() > before[parameter].numel()
        # The map that is given is the one that was used.
        assert torch.equal(maps[parameter](before[parameter]), after[parameter])
    for parameter in set(before) - grids:
        assert after[parameter] is before[parameter]
    assert field.grow(0.1) is None
    assert field.grow(0.4) is None
    assert set(field.grow(0.5)) == grids
    assert field.grow(1.0) is None
    listed = [id(p) for group in field.parameter_groups().values() for p in group]
    assert sorted(listed) == sorted(id(p) for p in field.parameters())


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.7])
def test_a_run_that_is_resumed_comes_to_its_size(name: str, fraction: float):
    config = FIELDS[name]
    trained = build(config)
    for step in range(11):
        trained.grow(min(step / 10, fraction))
    late = build(config)
    late.grow(fraction)
    rebuilt = build(config.grown_to(fraction))
    assert shapes(trained) == shapes(late) == shapes(rebuilt)
    for other in (late, rebuilt):
        other.load_state_dict(trained.state_dict())
        assert torch.equal(outputs(other), outputs(trained))
        assert (other.grow(1.0) is None) == (fraction >= 0.5)
    trained.grow(1.0)
    assert shapes(late) == shapes(rebuilt) == shapes(trained)


@pytest.mark.parametrize("name", FIELDS)
def test_what_grows_has_the_parameters_of_its_settings(name: str):
    config = FIELDS[name]
    last = config.grown_to(1.0)
    assert last.growth is None
    assert last.grown_to(1.0) is last
    field = build(config)
    field.grow(1.0)
    counted = sum(p.numel() for p in field.parameters())
    assert counted == count_parameters(last, SITE) > count_parameters(config, SITE)
    assert config.grown_to(0.0) == config
    assert config.grown_to(0.2).growth == Growth(at=(0.5,), resolutions=(17,))
    # A budget would size what is there at the start.
    assert config.families() == ()
    assert last.families()


@pytest.mark.parametrize("name", ["tensorf-vm", "tensorf-cp", "dvgo", "k-planes"])
def test_nodes_that_stay_keep_the_field(name: str):
    """From 5 to 9 to 17 vertices old nodes stay; between them values are linear."""
    config = FIELDS[name]
    if name == "k-planes":
        # One scale; with two, of 9 // 2 vertices, nodes would move.
        grid = PlaneGridConfig(resolution=5, num_scales=1)
        config = replace(config, encoding=grid)
    field = build(config).double()
    coords = torch.rand(40, 3, generator=generator(1), dtype=torch.float64)
    before = field.density(coords).density
    field.grow(0.2)
    once = field.density(coords).density
    assert torch.allclose(once, before, rtol=1e-12)
    field.grow(0.9)
    assert torch.allclose(field.density(coords).density, before, rtol=1e-12)


@pytest.mark.parametrize("name", FIELDS)
def test_training_goes_on_from_moments_that_were_mapped(name: str):
    field = build(FIELDS[name])
    moments = {}
    for key, parameter in field.named_parameters():
        state = AdamState.zeros_like(parameter.detach())
        state.first.normal_(generator=generator(2))
        state.second.uniform_(generator=generator(3))
        state.counts.fill_(7)
        moments[key] = state
    maps = field.grow(0.3)
    for key, resample in maps.items():
        shape = field.get_parameter(key).shape
        state = moments[key]
        first, second, counts = (
            resample(part) for part in (state.first, state.second, state.counts)
        )
        assert first.shape == second.shape == counts.shape == shape
        assert first.dtype == second.dtype == torch.float32
        assert counts.dtype == state.counts.dtype
        assert 0 <= float(second.min()) <= float(second.max()) <= 1
        # Rows that no node has stand at the end of dense levels.
        assert set(counts.unique().tolist()) <= {0, 7}
        assert float((counts == 7).double().mean()) > 0.9
    (outputs(field) ** 2).sum().backward()
    for key in maps:
        assert field.get_parameter(key).grad.abs().max() > 0


def test_a_mean_of_the_field_grows_alike():
    field = build(FIELDS["tensorf-vm"])
    mean = copy.deepcopy(field)
    field.grow(0.2)
    assert shapes(mean) != shapes(field)
    mean.grow(0.2)
    assert torch.equal(outputs(mean), outputs(field))


def test_a_field_never_gets_coarser():
    field = build(FIELDS["dvgo"])
    field.grow(1.0)
    finest = shapes(field)
    assert field.grow(0.2) is None
    assert shapes(field) == finest


def test_fields_without_growth_stay_as_they_are():
    configs = (
        NerfConfig(width=4),
        replace(FIELDS["k-planes"], growth=None),
        replace(FIELDS["tensorf-cp"], growth=None),
    )
    for config in configs:
        assert config.grown_to(0.5) is config
        assert build(config).grow(1.0) is None


def test_growth_by_one_factor_is_even_in_the_logarithm():
    """The resolutions of TensoRF are those of its paper, to the vertex."""
    tensorf = Growth.even(Growth().at, 128, 300)
    assert tensorf == Growth()
    doubling = Growth.even((0.05, 0.1, 0.15, 0.2), 64, 160)
    voxels = [64**3, *(size**3 for size in doubling.resolutions)]
    ratios = [b / a for a, b in itertools.pairwise(voxels)]
    assert ratios == pytest.approx([2.0] * 4, rel=0.06)


def test_settings_survive_json():
    config = FIELDS["tensorf-vm"]
    again = from_plain(json.loads(json.dumps(to_plain(config))), RadianceFieldConfig)
    assert again == config


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"at": (), "resolutions": ()}, "one or more times, got 0"),
        ({"at": (0.1,), "resolutions": (8, 9)}, "got 1 times and 2 resolutions"),
        ({"at": (0.2, 0.1), "resolutions": (8, 9)}, "both rise"),
        ({"at": (0.1, 0.2), "resolutions": (9, 9)}, "both rise"),
        ({"at": (0.0, 0.2), "resolutions": (8, 9)}, "between 0 and 1"),
        ({"at": (0.1, 1.0), "resolutions": (8, 9)}, "between 0 and 1"),
    ],
)
def test_growth_that_does_not_rise_is_refused(settings: Any, words: str):
    with pytest.raises(ConfigError, match=words):
        Growth(**settings)


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        (HashGridConfig(), r"encoding: expected an encoding that can grow.*hash-grid"),
        (PlaneGridConfig(), "coarser than the 9 vertices"),
        (
            DenseGridConfig(num_levels=1, base_resolution=4, convention="tiny-cuda-nn"),
            "vertices on the box's edges",
        ),
    ],
)
def test_encodings_that_cannot_grow_are_refused(encoding: Any, words: str):
    config = EncodedRadianceConfig(encoding=encoding, growth=GROWTH)
    with pytest.raises(ConfigError, match=words):
        build(config)
