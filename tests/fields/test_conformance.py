"""Every registered field passes the suite."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from tangrid.conformance import COMPONENT_CHECKS, check_field, name_of
from tangrid.encodings import HashGridConfig
from tangrid.fields import (
    FIELDS,
    BaconConfig,
    EncodedFieldConfig,
    FieldConfig,
    FinerConfig,
    SirenConfig,
)
from tangrid.fields.network import Network
from tangrid.notation import Coords, Values

SMALL = {"width": 12, "num_layers": 4, "base_resolution": 6, "log2_table_size": 9}


def small(config: FieldConfig) -> FieldConfig:
    names = {field.name for field in dataclasses.fields(config)}
    changes = {name: value for name, value in SMALL.items() if name in names}
    return dataclasses.replace(config, **changes)


SUBJECTS: dict[str, FieldConfig] = {
    **{name: small(FIELDS[name]()) for name in FIELDS},
    "encoded": EncodedFieldConfig(
        encoding=HashGridConfig(num_levels=3, log2_table_size=9)
    ),
    "finer biased": FinerConfig(width=8, first_bias=1.0, trains_through_period=True),
    "bacon narrow": BaconConfig(width=8, cycles=5.0, num_hidden=1),
}


@pytest.mark.parametrize("check", COMPONENT_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SUBJECTS)
def test_fields_conform(name: str, check: Callable[[FieldConfig], None]):
    check(SUBJECTS[name])


def test_every_registered_field_is_checked():
    assert set(FIELDS) <= set(SUBJECTS)


class Shifted(Network):
    """A field with one thing wrong: its values depend on the other points."""

    def __init__(self, num_dims: int, num_channels: int) -> None:
        super().__init__(num_dims, num_channels)
        self.weights = torch.nn.Parameter(torch.ones(num_dims, num_channels))

    def forward(self, coords: Coords) -> Values:
        return (coords - coords.mean(0)) @ self.weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShiftedConfig(SirenConfig):
    """Its settings."""

    def build(self, site, generator):
        return Shifted(site.num_dims, site.num_channels)


def test_faults_are_found():
    errors = {name: str(error) for name, error in check_field(ShiftedConfig) if error}
    assert "points one by one: expected" in errors["rows"]
