"""Every registered radiance field and every model of scenes passes the suite."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch

from tangrid.conformance import (
    RADIANCE_CHECKS,
    ConformanceError,
    check_radiance_field,
    name_of,
)
from tangrid.decoders import DecoderConfig
from tangrid.encodings import EncodingConfig
from tangrid.fields.radiance import (
    RADIANCE_FIELDS,
    Density,
    EncodedRadiance,
    EncodedRadianceConfig,
    RadianceFieldConfig,
)
from tangrid.ops.contract import implementation
from tangrid.presets import SCENE_PRESETS
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tests.ops.comparison import assert_close

SMALL = {
    "num_levels": 2,
    "base_resolution": 4,
    "log2_table_size": 7,
    "finest_resolution": 6,
    "num_centres": 24,
    "num_channels": 6,
    "resolution": 6,
    "num_ranks": 3,
    "num_scales": 2,
    "channels_per_scale": 3,
    "num_frequencies": 5,
    "width": 12,
}


def small(config: Any) -> Any:
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, EncodingConfig | DecoderConfig):
            changes[field.name] = small(value)
        elif field.name in SMALL:
            changes[field.name] = min(value, SMALL[field.name])
    return dataclasses.replace(config, **changes)


KINDS: dict[str, RadianceFieldConfig] = {
    name: small(RADIANCE_FIELDS[name]()) for name in RADIANCE_FIELDS
}
MODELS: dict[str, RadianceFieldConfig] = {
    f"model {name}": small(SCENE_PRESETS[name].field) for name in SCENE_PRESETS
}
# Some models are a kind with its defaults, but for sizes.
SUBJECTS = KINDS | {n: c for n, c in MODELS.items() if c not in KINDS.values()}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Work on some dozen points is done before a second thread is awake."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("check", RADIANCE_CHECKS, ids=name_of)
@pytest.mark.parametrize("name", SUBJECTS)
def test_radiance_fields_conform(
    name: str, check: Callable[[RadianceFieldConfig], None]
):
    check(SUBJECTS[name])


class Faulty(NamedTuple):
    """A field with one thing wrong, and the check that finds it."""

    check: str
    words: str
    change: Callable[[Any], None]


def density(self: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    own = self.density
    self.density = lambda coords: Density(change(own(coords).density), own(coords)[1])


def colour(self: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    own = self.colour
    self.colour = lambda hidden, views: change(own(hidden, views))


def without_head(self: Any) -> None:
    self.colour = lambda hidden, views: views[:, :3] * 0 + hidden[:, :3].sigmoid()


FAULTS = [
    Faulty("values", "no negative numbers", lambda f: density(f, lambda d: d - 2)),
    Faulty("values", "numbers from 0 to 1", lambda f: colour(f, lambda c: c + 1)),
    Faulty("culling", "their colours", lambda f: colour(f, lambda c: c / c.sum(0))),
    Faulty("flow", "gradient of radiance.colour_head", without_head),
    Faulty("slopes", "coords", lambda f: density(f, lambda d: d.detach() + 0 * d)),
    Faulty("shape", "shape of features", lambda f: colour(f, lambda c: c[:, :2])),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FaultyConfig(EncodedRadianceConfig):
    """Settings of a field that is broken after it was built."""

    fault: int = 0

    def build(self, site: Any, generator: torch.Generator) -> EncodedRadiance:
        field = super().build(site, generator)
        FAULTS[self.fault].change(field)
        return field


CHECKS = {name_of(check): check for check in RADIANCE_CHECKS}


@pytest.mark.parametrize("fault", range(len(FAULTS)))
def test_faults_are_found(fault: int):
    check, words, _ = FAULTS[fault]
    with pytest.raises(ConformanceError, match=words):
        CHECKS[check](small(FaultyConfig(fault=fault)))


def test_the_suite_tells_what_each_check_finds():
    findings = check_radiance_field(small(FaultyConfig(fault=1)))
    assert [finding.check for finding in findings] == list(CHECKS)
    errors = {name: str(error) for name, error in findings if error}
    assert "colour: expected numbers from 0 to 1, got some outside" in errors["values"]
    assert "flow" not in errors


@pytest.mark.parametrize("name", SUBJECTS)
def test_fields_work_where_their_parameters_are(name: str, pretend: torch.device):
    field = SUBJECTS[name].build(Site(num_dims=3, num_channels=3), generator(0))
    coords, directions = torch.rand(2, 9, 3, generator=generator(1)).unbind()
    directions = torch.nn.functional.normalize(directions, dim=1)
    found = []
    with implementation("reference"):
        for device in (torch.device("cpu"), pretend):
            field.to(device)
            density, hidden = field.density(coords.to(device))
            views = field.encode_directions(directions.to(device))
            colour = field.colour(hidden, views)
            assert density.device == colour.device == field.device == device
            found.append({
                "density": density.detach().cpu(),
                "colour": colour.detach().cpu(),
            })
    assert_close(found[1], found[0])
