"""Every registered encoding passes the suite, and the suite catches what is wrong."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from tangrid.conformance import CHECKS, ConformanceError, check_encoding, name_of
from tangrid.conformance.encodings import Check
from tangrid.encodings import (
    ENCODINGS,
    DenseGridConfig,
    Encoding,
    EncodingConfig,
    FourierConfig,
    GridEncoding,
    HashGridConfig,
    IdentityConfig,
    Lookup,
    MulfaGridConfig,
    MulfaNodesConfig,
    NeurbfConfig,
    PlaneGridConfig,
    RingGridConfig,
    Selection,
)
from tangrid.errors import ConfigError
from tangrid.registry import KINDS
from tangrid.signals.site import Site

SMALL = {
    "num_levels": 4,
    "base_resolution": 5,
    "log2_table_size": 9,
    "finest_resolution": 40,
    "num_centres": 60,
    "resolution": 20,
    "num_ranks": 3,
    "channels_per_scale": 2,
}
"""Settings of encodings that keep every kind of level but cost little."""


def small(config: EncodingConfig) -> EncodingConfig:
    names = {field.name for field in dataclasses.fields(config)}
    changes = {name: value for name, value in SMALL.items() if name in names}
    return dataclasses.replace(config, **changes)


SUBJECTS: dict[str, EncodingConfig] = {
    **{name: small(ENCODINGS[name]()) for name in ENCODINGS},
    "hash-grid quintic": small(HashGridConfig(interpolation="quintic")),
    "hash-grid nearest": small(HashGridConfig(interpolation="nearest")),
    **{
        f"mulfa-grid nearest {name}": small(
            MulfaGridConfig(interpolation="nearest", normaliser=name)
        )
        for name in ("lin_centred", "sum", "none", "lin_add", "signed_eps")
    },
    "hash-grid tiled": small(HashGridConfig(storage="tiled", channels_per_level=1)),
    "hash-grid aligned": small(HashGridConfig(convention="align-corners")),
    "dense-grid staggered": DenseGridConfig(
        num_levels=2, convention="tiny-cuda-nn", channels_per_level=3
    ),
    "dense-grid smooth": DenseGridConfig(num_levels=1, interpolation="smoothstep"),
    "fourier basic": FourierConfig(family="basic", includes_coords=True),
    "fourier nerf": FourierConfig(family="nerf", num_frequencies=6),
    "fourier transformer": FourierConfig(family="transformer", num_frequencies=8),
    "fourier posenc-new": FourierConfig(
        family="posenc-new", num_frequencies=8, amplitude_power=1.0
    ),
    "hash-grid footprint": small(HashGridConfig(footprint=0.05)),
    "plane-grid sum": small(PlaneGridConfig(reduction="sum", num_scales=1)),
    "plane-grid concat": small(PlaneGridConfig(reduction="concat")),
    "ring-grid wide": small(RingGridConfig(num_rings=3, channels_per_level=1)),
    "mulfa-grid sines": small(MulfaGridConfig(sine_frequencies=(1.0, 32.0))),
    "mulfa-grid coarse": small(MulfaGridConfig(num_kernel_levels=1)),
    "mulfa-grid coarse sines": small(
        MulfaGridConfig(num_kernel_levels=1, sine_frequencies=(1.0, 32.0))
    ),
    "mulfa-nodes sines": small(
        MulfaNodesConfig(sine_frequencies=(1.0, 32.0), kernel_outputs="shared")
    ),
    "mulfa-nodes paper": small(
        MulfaNodesConfig(normaliser="sum", num_filter_layers=2, fades=False)
    ),
    "rbf-nodes linear": small(NeurbfConfig(profile="linear", shape="diagonal")),
    "rbf-nodes fading": small(NeurbfConfig(fades=True, normalised=False)),
    "identity plain": IdentityConfig(scale=1.0, shift=0.0),
}


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SUBJECTS)
def test_encodings_conform(name: str, check: Check):
    check(SUBJECTS[name])


def test_every_registered_encoding_is_checked():
    assert set(ENCODINGS) <= set(SUBJECTS)


def test_defaults_of_the_class_are_checked():
    findings = check_encoding(IdentityConfig)
    assert [finding.check for finding in findings] == [name_of(c) for c in CHECKS]
    assert not any(finding.error for finding in findings)


class Fault(Encoding):
    """The sines of one trained matrix, with one thing wrong."""

    def __init__(self, fault: str, num_dims: int, generator: torch.Generator) -> None:
        super().__init__()
        self.fault = fault
        self.num_dims = num_dims
        self.num_features = 5 if fault == "num_features" else 4
        self.is_piecewise_constant = fault == "no steps"
        drawn = torch.randn(num_dims, 4, generator=generator)
        if fault == "global randomness":
            drawn = torch.randn(num_dims, 4)
        self.matrix = nn.Parameter(drawn)
        self.hidden = nn.Parameter(torch.ones(4))
        if fault == "state outside":
            self.plain = torch.rand(4, generator=generator)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        kernel = [self.matrix, self.hidden]
        if self.fault == "never trained":
            kernel = [self.matrix]
        if self.fault == "trained twice":
            return {"kernel": kernel, "grid": [self.hidden]}
        return {"kernel": kernel}

    def forward(self, coords: Tensor) -> Tensor:
        features = torch.sin(coords @ self.matrix) * self.hidden
        match self.fault:
            case "rows mix":
                return features - features.mean(0)
            case "poles":
                return features / coords[:, :1]
            case "float32 only":
                return features.float()
            case "never the same":
                return features + torch.rand(len(coords), 4)
            case "branch on values":
                return features if coords.sum() > 0 else -features
            case "cells":
                return ((coords[:, :1] * 7).long() == torch.arange(4)).to(coords)
            case "kink":
                return features + (coords[:, :1] - coords[:, :1].detach()).sqrt()
            case "state outside":
                return features + self.plain.to(features)
        return self.stopped(features, coords)

    def stopped(self, features: Tensor, coords: Tensor) -> Tensor:
        stopped = features / (1 + features.detach().square())
        match self.fault:
            case "stopped gradient":
                return stopped
            case "gradient stopped for some":
                return torch.where(coords[:, :1] > 0.8, stopped, features)
            case "parameter stopped":
                return features + torch.sin(coords @ self.matrix.detach())
        return features


GRID_FAULTS = ("rows outside", "unknown table", "other weights", "undeclared steps")


class MisreadGrid(GridEncoding):
    """A table of 8 rows, nearest by nearest, with one thing wrong."""

    def __init__(self, num_dims: int, fault: str, generator: torch.Generator) -> None:
        super().__init__()
        self.num_dims, self.num_features = num_dims, 2
        self.fault = fault
        self.is_piecewise_constant = fault != "undeclared steps"
        self.table = nn.Parameter(torch.randn(8, 2, generator=generator))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"grid": [self.table]}

    def select(self, coords: Tensor) -> Selection:
        rows = (coords.detach()[:, :1] * 7).long()
        return (rows + 8 if self.fault == "rows outside" else rows,)

    def lookups(self, coords: Tensor, selection: Selection) -> tuple[Lookup, ...]:
        name = "tables" if self.fault == "unknown table" else "table"
        weights = torch.ones_like(coords[:, :1])
        if self.fault == "other weights":
            weights = weights + 1e-3 * coords[:, :1]
        return (Lookup(name, selection[0], weights),)

    def forward(self, coords: Tensor) -> Tensor:
        return self.table[(coords[:, 0] * 7).long()] + 0 * coords[:, :1]


@dataclass(frozen=True, kw_only=True)
class FaultConfig(EncodingConfig):
    """Which thing is wrong."""

    fault: str = ""

    def build(self, site: Site, generator: torch.Generator) -> Encoding:
        if self.fault in GRID_FAULTS:
            return MisreadGrid(site.num_dims, self.fault, generator)
        if self.fault == "plane only" and site.num_dims != 2:
            raise ConfigError("FaultConfig: expected two dimensions.")
        if self.fault == "nowhere":
            raise ConfigError("FaultConfig: expected one dimension.")
        return Fault(self.fault, site.num_dims, generator)

    def families(self) -> tuple[Callable[[float], EncodingConfig], ...]:
        return (lambda size: self,) if self.fault == "no growth" else ()


@pytest.fixture
def registered() -> Iterator[None]:
    """File the faulty encoding for one test only."""
    ENCODINGS.register("test-fault")(FaultConfig)
    yield
    del KINDS["test-fault"], ENCODINGS._classes["test-fault"]


def errors_of(config: EncodingConfig) -> dict[str, ConformanceError]:
    return {name: error for name, error in check_encoding(config) if error}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("fault", ["", "plane only"])
def test_a_sound_encoding_has_no_findings(fault: str):
    assert errors_of(FaultConfig(fault=fault)) == {}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("num_features", "shape", "shape of features: expected (7, 5), got (7, 4)."),
        ("global randomness", "seed", "global random numbers: expected none used"),
        ("never trained", "groups", "'hidden': expected once, or it is never trained"),
        ("trained twice", "groups", "got 2 times"),
        ("rows mix", "rows", "points one by one: expected the features they have"),
        ("never the same", "rows", "two calls with one input: expected the same bits"),
        ("poles", "corners", "features at the corners 0 and 1: expected finite"),
        ("kink", "gradients", "gradient of coords inside the box: expected finite"),
        ("stopped gradient", "slopes", "along axis 0: expected central differences"),
        ("gradient stopped for some", "slopes", "along axis 0: expected central"),
        ("parameter stopped", "slopes", "of matrix, along a line: expected the cen"),
        ("no growth", "sizes", "families(): expected one that grows, got the same"),
        (
            "undeclared steps",
            "steps",
            "is_piecewise_constant: expected True, as its gradients",
        ),
        (
            "cells",
            "steps",
            "is_piecewise_constant: expected True, as its gradients",
        ),
        (
            "no steps",
            "steps",
            "is_piecewise_constant: expected False, as its gradients",
        ),
        ("float32 only", "float64", "expected torch.float64, got torch.float32"),
        ("state outside", "state", "features after loading: expected the same bits"),
        ("branch on values", "functional", "check 'functional' to run"),
        ("rows outside", "lookups", "rows: expected numbers below 8, got some"),
        ("unknown table", "lookups", "expected a table of ['table'], got tables"),
        ("other weights", "lookups", "expected the features of forward, got other"),
        ("nowhere", "shape", "expected an encoding in two or three dimensions"),
    ],
)
def test_faults_are_found(fault: str, check: str, words: str):
    errors = errors_of(FaultConfig(fault=fault))
    assert words in str(errors[check])


def test_a_class_without_a_public_name_is_found():
    assert "config" in errors_of(FaultConfig())
