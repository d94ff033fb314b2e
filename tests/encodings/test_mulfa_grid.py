"""MulFAGrid as a module: what it starts from, what it holds and how it trains."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from tangrid.encodings import HashGridConfig, MulfaGridConfig
from tangrid.encodings.grid_reads import INITIAL_RANGE
from tangrid.encodings.mulfa_grid import MulfaGrid
from tangrid.errors import ConfigError
from tangrid.ops import implementation
from tangrid.ops.mulfa_lookup.filters import NORMALISERS
from tangrid.ops.mulfa_lookup.reference import raw_kernel
from tangrid.seeding import generator
from tangrid.signals.site import Site

SITE = Site(num_dims=2, num_channels=3)
SMALL = MulfaGridConfig(num_levels=3, base_resolution=5, log2_table_size=6)


def build(**changes: object) -> MulfaGrid:
    return dataclasses.replace(SMALL, **changes).build(SITE, generator(0))


def points(count: int = 200) -> Tensor:
    return torch.rand(count, 2, generator=generator(0, "points"))


def raw_values(grid: MulfaGrid, coords: Tensor) -> Tensor:
    """Raw kernel values at the corners, [l, n, k, o]."""
    levels = [
        raw_kernel(coords, nodes, grid.kernel, grid.layout, grid.settings, index)
        for index, nodes in enumerate(grid.select(coords))
    ]
    return torch.stack(levels).detach()


def test_parameters_start_as_announced():
    grid = build(num_levels=16, num_gates=64, gate_bandwidth=3.0, output_scale=0.2)
    grid.requires_grad_(False)
    assert grid.table.abs().max() <= INITIAL_RANGE
    assert grid.projection.std() == pytest.approx(1 / 4, rel=0.02)
    assert not grid.biases.any()
    assert not grid.offset.any()
    assert grid.frequencies.std() == pytest.approx(3.0, rel=0.05)
    assert grid.mix.std() == pytest.approx(0.2, rel=0.05)
    assert grid.phases.min() >= 0
    assert grid.phases.max() <= 2 * math.pi
    assert grid.phases.mean() == pytest.approx(math.pi, rel=0.1)


def test_layers_share_the_bandwidth():
    """A product of gates has the sums of their frequencies."""
    grid = build(num_levels=16, num_gates=64, num_filter_layers=4, gate_bandwidth=3.0)
    variance = grid.frequencies.detach().var(dim=(0, 2, 3)).sum()
    assert variance.sqrt() == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_deeper_kernels_start_as_large(layers: int):
    grid = build(num_levels=16, num_gates=32, num_filter_layers=layers)
    raw = raw_values(grid, points())
    assert 0.5 < raw.std() / (0.1 * math.sqrt(32) / 2) < 2


def test_the_same_seed_gives_the_same_grid():
    again = build().state_dict()
    for name, value in build().state_dict().items():
        assert torch.equal(value, again[name]), name
    other = SMALL.build(SITE, generator(1)).state_dict()
    assert not torch.equal(other["mix"], again["mix"])


@pytest.mark.parametrize("normaliser", ["sum", "signed_eps"])
@pytest.mark.parametrize("layers", [1, 3])
def test_faithful_kernels_start_near_one(normaliser: str, layers: int):
    grid = build(normaliser=normaliser, num_filter_layers=layers, output_scale=10.0)
    raw = raw_values(grid, points())
    assert (raw - 1).std() <= 0.1
    assert raw.min() > 0
    assert not grid.cancelled_fraction(points()).any()
    for lookup in grid.lookups(points(), grid.select(points())):
        assert lookup.weights.min() > 0
        assert lookup.weights.max() < 0.5


def test_cancelled_fraction_counts_points_near_poles():
    grid = build(normaliser="sum")
    with torch.no_grad():
        # At level 0 the kernel is 0; at level 1 one channel crosses it everywhere.
        grid.mix[0], grid.offset[0] = 0.0, 1e-30
        grid.offset[1, 1], grid.biases[1], grid.projection[1] = 0.0, 1.0, 0.0
        grid.frequencies[1], grid.phases[1], grid.mix[1] = 0.0, 0.0, 1.0
        grid.frequencies[1, 0, 0] = math.pi
        grid.phases[1] = math.pi / 2
    shares = grid.cancelled_fraction(points())
    # cos(pi i) is 1 and -1 at neighbours: all sums of level 1 but those of channel 0.
    assert shares.tolist() == [0.0, 1.0, 0.0]
    assert shares.shape == (3,)


@pytest.mark.parametrize("mode", ["multi", "normalised", "flat"])
def test_index_modes_give_the_phase_of_each_node(mode: str):
    grid = build(index_mode=mode, num_filter_layers=2)
    level = grid.layout.levels[2]
    nodes = torch.tensor([[0, 0], [1, 0], [0, 1], [level.resolution - 1, 3]])
    index = {
        "multi": nodes,
        "normalised": nodes / (level.resolution - 1),
        "flat": nodes[:, :1] + level.resolution * nodes[:, 1:],
    }[mode]
    expected = index.double() @ grid.frequencies[2, 1].double()
    found = nodes.double() @ grid.kernel.frequencies[2, 1]
    assert torch.allclose(found, expected, rtol=1e-6)
    assert grid.frequencies.shape[2] == (1 if mode == "flat" else 2)


@pytest.mark.parametrize("implementation_name", ["numba", "reference"])
def test_flat_indices_keep_their_phase(implementation_name: str):
    """A float32 product would be off by radians at the end of a large level."""
    grid = build(
        num_levels=1,
        base_resolution=3001,
        convention="align-corners",
        index_mode="flat",
        num_gates=1,
        normaliser="none",
    )
    with torch.no_grad():
        grid.table.fill_(1.0)
        grid.projection.zero_()
        grid.biases.fill_(1.0)
        grid.mix.fill_(1.0)
        grid.phases.zero_()
        grid.frequencies.fill_(1.1)
    coords = torch.tensor([[2998.5, 2990.5]]) / 3000
    with implementation(implementation_name):
        found = grid(coords)
    nodes = [(2998 + a) + 3001 * (2990 + b) for a in (0, 1) for b in (0, 1)]
    step = float(torch.tensor(1.1))
    expected = sum(math.sin(step * node) for node in nodes)
    assert found[0, 0].item() == pytest.approx(expected, abs=1e-4)


def test_precision_survives_a_change_of_dtype():
    grid = build(index_mode="flat")
    before = grid.kernel.frequencies
    moved = grid.double().float()
    assert torch.equal(moved.kernel.frequencies, before)


@pytest.mark.parametrize("normaliser", ["softmax", "lin_softmax", "lin_centred"])
def test_a_bias_that_changes_nothing_is_not_trained(normaliser: str):
    grid = build(normaliser=normaliser)
    assert not grid.offset.requires_grad
    coords = torch.rand(50, 2, generator=generator(0, "points"))
    before = grid(coords)
    with torch.no_grad():
        grid.offset += 0.3
    assert torch.allclose(grid(coords), before, atol=1e-8)


def test_groups_hold_every_trained_parameter():
    grid = build(num_filter_layers=2, normaliser="lin_add")
    groups = grid.parameter_groups()
    assert groups["grid"] == [grid.table]
    found = {id(p) for group in groups.values() for p in group}
    assert found == {id(p) for p in grid.parameters()}
    frozen = build(train_kernel=False)
    assert frozen.parameter_groups() == {"grid": [frozen.table]}
    assert not frozen.mix.requires_grad
    assert set(frozen.state_dict()) == set(build().state_dict())


def test_one_layer_has_no_hidden_weights():
    assert build().hidden is None
    assert build(num_filter_layers=3).hidden.shape == (3, 2, 8, 8)
    assert all(p.numel() for p in build().parameters())


def test_shared_kernels_have_one_output():
    shared, own = build(kernel_outputs="shared"), build()
    assert (shared.mix.shape[1], own.mix.shape[1]) == (1, 2)
    weights = [
        g.lookups(points(), g.select(points()))[0].weights for g in (shared, own)
    ]
    assert [tuple(w.shape) for w in weights] == [(200, 4), (200, 4, 2)]
    assert not torch.allclose(weights[1][..., 0], weights[1][..., 1])


@pytest.mark.parametrize("normaliser", NORMALISERS)
@pytest.mark.parametrize("outputs", ["per-channel", "shared"])
def test_the_fused_form_is_the_sum_of_its_lookups(normaliser: str, outputs: str):
    grid = build(normaliser=normaliser, kernel_outputs=outputs, num_filter_layers=2)
    with torch.no_grad():
        grid.table.normal_(generator=generator(0, "table"))
    coords = points()
    reads = tuple(grid.read(each) for each in grid.lookups(coords, grid.select(coords)))
    expected = grid.combine(reads, coords)
    assert torch.allclose(
        grid(coords), expected, atol=1e-5 * float(expected.detach().std())
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_a_trained_kernel_fits_better_than_a_frozen_one(layers: int):
    coords = points(400)
    target = torch.sin(40 * coords[:, :1]) * torch.cos(25 * coords[:, 1:])
    losses = []
    for trained in (True, False):
        grid = build(train_kernel=trained, num_filter_layers=layers, log2_table_size=5)
        rates = {"grid": 3e-2, "kernel": 1e-2}
        optimiser = torch.optim.Adam([
            {"params": params, "lr": rates[name]}
            for name, params in grid.parameter_groups().items()
        ])
        for _ in range(150):
            loss = (grid(coords).sum(1, keepdim=True) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses.append(loss.item())
    assert losses[0] < 0.7 * losses[1]
    assert losses[1] < target.square().mean()


def test_it_costs_little_more_than_the_hash_grid():
    mulfa, hashed = MulfaGridConfig(), HashGridConfig()
    counts = [
        sum(p.numel() for p in config.build(SITE, generator(0)).parameters())
        for config in (mulfa, hashed)
    ]
    assert 0 < counts[0] - counts[1] < 4000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_filter_layers": 0}, "got num_filter_layers=0 and num_gates=8"),
        ({"num_gates": 0}, "num_gates=0"),
        ({"num_frequencies": 0}, "expected 1 to 24, got 0"),
        ({"gate_bandwidth": -1.0}, r"got -1\.0 and 0\.1"),
        ({"output_scale": float("nan")}, r"got 1\.0 and nan"),
        ({"channels_per_level": 0}, r"MulfaGridConfig\.channels_per_level"),
    ],
)
def test_settings_that_make_no_grid_are_refused(changes: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        dataclasses.replace(SMALL, **changes)


def test_levels_beyond_the_kernels_are_a_plain_grids():
    grid = build(num_kernel_levels=2)
    every = build()
    plain = dataclasses.replace(
        HashGridConfig(num_levels=3), base_resolution=5, log2_table_size=6
    ).build(SITE, generator(0))
    with torch.no_grad():
        every.table.copy_(grid.table)
        plain.table.copy_(grid.table)
        for name in ("projection", "biases", "frequencies", "phases", "mix"):
            getattr(every, name)[:2] = getattr(grid, name)
        found = grid(points()).unflatten(1, (3, 2))
        assert torch.equal(found[:, 2], plain(points()).unflatten(1, (3, 2))[:, 2])
        assert torch.equal(found[:, :2], every(points()).unflatten(1, (3, 2))[:, :2])
    assert len(grid.cancelled_fraction(points())) == 2


@pytest.mark.parametrize("count", [0, 4])
def test_more_kernels_than_levels_are_refused(count: int):
    with pytest.raises(ConfigError, match=r"num_kernel_levels: expected 1 to 3"):
        build(num_kernel_levels=count)
