"""MulFAGrid on free nodes: the kernel function of the grid with other nodes."""

from dataclasses import replace
from typing import cast

import pytest
import torch

from tangrid.encodings import MulfaGridConfig, MulfaNodesConfig
from tangrid.encodings.mulfa_nodes import MulfaNodes
from tangrid.errors import ConfigError
from tangrid.ops.rbf_lookup import fading
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3, resolution=(24, 16))
SMALL = MulfaNodesConfig(
    num_centres=40,
    num_levels=2,
    finest_resolution=20,
    num_channels=3,
    num_gates=4,
    num_frequencies=2,
    output_scale=0.5,
)


def build(config: MulfaNodesConfig) -> MulfaNodes:
    encoding = cast("MulfaNodes", config.build(SITE, generator(0)).double())
    with torch.no_grad():
        encoding.features.normal_(generator=generator(1))
    return encoding


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=generator(2), dtype=torch.float64)


@pytest.mark.parametrize("mode", ["multi", "normalised"])
def test_features_are_those_of_the_formula(mode):
    encoding = build(replace(SMALL, index_mode=mode, units="normalised"))
    coords = points(9)
    found = encoding(coords)[:, 4:]
    step = (40 / (16 / 24)) ** 0.5 if mode == "multi" else 1.0
    for point, features in zip(coords * torch.tensor([1, 16 / 24]), found, strict=True):
        offsets = point - encoding.centres
        near = offsets.norm(dim=1).argsort()[:5]
        radial = []
        for k in near:
            s = encoding.shapes[k]
            matrix = torch.stack((s[:2], s[1:]))
            radial.append(1 / (1 + offsets[k] @ matrix @ offsets[k]))
        values = torch.stack(radial) * fading(offsets[near][None])[0]
        shares = values / values.sum()
        waves = []
        for axis in (0, 1):
            for octave in (1, 2):
                angle = torch.pi * octave * point[axis]
                waves += [angle.sin(), angle.cos()]
        gamma = torch.stack(waves)
        phases = encoding.phases[0, 0]
        gates = torch.sin(
            step * encoding.centres[near] @ encoding.frequencies[0, 0] + phases
        )
        filtered = (encoding.projection[0] @ gamma + encoding.biases[0, 0]) * gates
        phi = filtered @ encoding.mix[0].T
        mean = (shares[:, None] * phi).sum(0)
        weights = shares[:, None] * (1 + phi - mean)
        wanted = (weights * encoding.features[near]).sum(0)
        assert torch.allclose(features, wanted, atol=1e-6)


def test_a_kernel_of_zero_reads_shares():
    """Weights that sum to 1 give back a constant."""
    encoding = build(replace(SMALL, output_scale=0.0))
    with torch.no_grad():
        encoding.features.fill_(0.7)
    assert torch.allclose(encoding(points(50))[:, 4:], torch.tensor(0.7).double())


def largest_jump(encoding: MulfaNodes) -> float:
    line = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    coords = torch.stack((line, 0.37 * torch.ones_like(line)), 1)
    with torch.no_grad():
        return float(encoding(coords)[:, 4:].diff(dim=0).abs().max())


def test_fading_keeps_the_field_continuous_where_neighbours_change():
    jumping, fading_out = (
        largest_jump(build(replace(SMALL, fades=fades))) for fades in (False, True)
    )
    assert jumping > 0.05
    assert fading_out < 0.01 * jumping


def test_parameters_are_those_of_one_level_of_the_grid():
    """Regular and free nodes have one kernel function."""
    free = build(SMALL)
    shared = {name: getattr(SMALL, name) for name in ("num_gates", "num_frequencies")}
    grid = MulfaGridConfig(num_levels=1, channels_per_level=3, **shared)
    regular = grid.build(SITE, generator(0))
    names = ("projection", "biases", "frequencies", "phases", "mix", "offset")
    for name in names:
        assert getattr(free, name).shape == getattr(regular, name).shape


def test_sines_compose_weights():
    plain = build(SMALL)
    composed = build(replace(SMALL, sine_frequencies=(1.0, 16.0)))
    coords = points(9)
    selection = plain.select(coords)
    weights = plain.lookups(coords, selection)[-1].weights
    factors = torch.tensor([1.0, 4.0, 16.0])
    found = composed.lookups(coords, selection)[-1].weights
    assert torch.allclose(found, torch.sin(factors * weights))


def test_numbers_of_a_lattice_are_refused():
    with pytest.raises(ConfigError, match="free nodes have places and no numbers"):
        replace(SMALL, index_mode="flat")
    with pytest.raises(ConfigError, match="expected at least one filter layer"):
        replace(SMALL, num_gates=0)
    with pytest.raises(ConfigError, match="sine frequencies 0 < lowest <= highest"):
        replace(SMALL, sine_frequencies=(2.0, 1.0))
    with pytest.raises(ConfigError, match="gate_bandwidth"):
        replace(SMALL, gate_bandwidth=float("inf"))


@pytest.mark.parametrize("normaliser", ["lin_centred", "lin_softmax", "lin_residual"])
@pytest.mark.parametrize("profile", ["inverse-quadric", "linear"])
def test_points_that_no_node_reaches_read_all_neighbours_alike(normaliser, profile):
    """Twin nodes fade out together, and compact ones leave holes: no NaN, sums of 1."""
    config = replace(SMALL, normaliser=normaliser, profile=profile)
    encoding = build(config)
    with torch.no_grad():
        encoding.features.fill_(0.7)
        encoding.centres[:20] = 0.5
        encoding.shapes *= 100
    coords = points(200).requires_grad_()
    features = encoding(coords)[:, 4:]
    assert torch.allclose(features, torch.tensor(0.7).double())
    features.sum().backward()
    assert coords.grad is not None
    assert coords.grad.isfinite().all()
