"""Which candidates come of models and sweeps."""

import pytest

from tangrid.encodings.table_grid import TableGridConfig
from tangrid.errors import ConfigError
from tangrid.experiments.auto_sweeps import default_sweeps
from tangrid.experiments.sweep_names import KNOBS
from tangrid.experiments.sweeps import candidates
from tangrid.fields import EncodedFieldConfig
from tangrid.presets import find_model
from tangrid.signals.site import Site
from tests.experiments.small_experiments import plan
from tests.tolerances import SAME_FINEST

SITE = Site(num_dims=2, num_channels=3, resolution=(16, 16))


def finest(encoding: object) -> float:
    assert isinstance(encoding, TableGridConfig)
    return encoding.base_resolution * encoding.growth ** (encoding.num_levels - 1)


def test_a_model_without_the_setting_appears_once():
    found = candidates(["siren", "fourier-mlp"], ["sigma=4,8"], "image")
    labels = [candidate.label for candidate in found]
    assert labels == ["siren", "fourier-mlp sigma=4", "fourier-mlp sigma=8"]
    assert [dict(candidate.settings) for candidate in found] == [
        {},
        {"field.encoding.bandwidth_cycles": "4"},
        {"field.encoding.bandwidth_cycles": "8"},
    ]


def test_sweeps_of_one_model_multiply():
    found = candidates(["mulfagrid"], ["gates=4,8", "normaliser=sum,lin_add"], "image")
    assert [candidate.label.removeprefix("mulfagrid ") for candidate in found] == [
        "gates=4 normaliser=sum",
        "gates=4 normaliser=lin_add",
        "gates=8 normaliser=sum",
        "gates=8 normaliser=lin_add",
    ]


@pytest.mark.parametrize("sweep", ["levels=2,4", "base=2,4"])
def test_the_finest_level_stays_where_levels_are_swept(sweep: str):
    wanted = plan("instant-ngp", params=None).field
    assert isinstance(wanted, EncodedFieldConfig)
    for candidate in candidates(["instant-ngp"], [sweep], "image", site=SITE):
        field = plan("instant-ngp", params=None, settings=candidate.settings).field
        assert isinstance(field, EncodedFieldConfig)
        assert field.encoding != wanted.encoding
        assert finest(field.encoding) == pytest.approx(
            finest(wanted.encoding), rel=SAME_FINEST
        )


@pytest.mark.parametrize("name", ["field.encoding.growth", "--field.encoding.growth "])
def test_a_growth_that_is_set_stays_where_levels_are_swept(name: str):
    given = {name: "1.25"}
    large = Site(num_dims=2, num_channels=3, resolution=(512, 512))
    found = candidates(
        ["instant-ngp"], ["levels=2,4"], "image", site=large, settings=given
    )
    assert [dict(candidate.settings) for candidate in found] == [
        {"field.encoding.num_levels": "2"},
        {"field.encoding.num_levels": "4"},
    ]
    # Another setting that is given leaves the finest level where it is.
    given = {"field.encoding.log2-table-size": "9"}
    (found,) = candidates(
        ["instant-ngp"], ["levels=2"], "image", site=large, settings=given
    )
    assert "field.encoding.growth" in found.settings


def test_a_finest_level_is_reached_whatever_else_is_swept():
    found = candidates(
        ["instant-ngp"], ["finest=24,48", "levels=2,5"], "image", site=SITE
    )
    assert len(found) == 4
    for candidate in found:
        field = plan("instant-ngp", params=None, settings=candidate.settings).field
        assert isinstance(field, EncodedFieldConfig)
        wanted = float(candidate.label.split("finest=")[1])
        assert finest(field.encoding) == pytest.approx(wanted, rel=SAME_FINEST)


def test_a_budget_sizes_after_the_sweep():
    found = candidates(
        ["instant-ngp"], ["levels=4,8"], "image", site=SITE, params=20_000
    )
    assert [dict(candidate.settings) for candidate in found] == [
        {"field.encoding.num_levels": "4"},
        {"field.encoding.num_levels": "8"},
    ]


def test_rates_are_swept_by_a_factor_on_all_of_them():
    own = find_model("instant-ngp").rates
    (found,) = candidates(["instant-ngp"], ["rate=2"], "image")
    for group, rate in own.items():
        assert float(found.settings[f"training.rates.{group}"]) == 2 * rate


def test_any_setting_can_be_swept_by_its_path():
    found = candidates(["siren"], ["field.num-hidden=1:3"], "image")
    assert [candidate.label for candidate in found] == [
        "siren num-hidden=1", "siren num-hidden=2", "siren num-hidden=3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("models", "sweeps", "more", "words"),
    [
        (["siren"], ["sigma=1:4"], {}, "Take one of fourier, fourier-linear"),
        (["siren"], ["sigm=1:4"], {}, "Did you mean 'sigma'"),
        (["siren"], ["loss.kind=l1"], {}, "or the path of a setting"),
        (["siren"], ["omega=1:4", "omega=8"], {}, "expected every name once"),
        (["hash-grid"], ["growth=1.2:2", "finest=8:64"], {}, "each decides the other"),
        (["hash-grid"], ["finest=8:64"], {"params": 20_000}, "which --params sizes"),
        (["hash-grid"], ["growth=1.2:2"], {"params": 20_000}, "which --params sizes"),
        (["hash-grid"], ["finest=a"], {}, "expected numbers above 0, got 'a'"),
        (
            ["fourier-mlp"],
            ["sigma=4", "field.encoding.bandwidth-cycles=3"],
            {},
            "bandwidth_cycles of 'fourier-mlp', which sigma sweeps too",
        ),
        (
            ["siren"],
            ["training.rates.decoder=1e-3", "rate=2"],
            {},
            "expected every setting once",
        ),
        (
            ["fourier-mlp"],
            ["sigma=4,8"],
            {"settings": {"field.encoding.bandwidth-cycles": "3"}},
            "what --set leaves alone, got field.encoding.bandwidth_cycles",
        ),
        (["hash-grid"], ["levels=1:40:40", "base=2,4"], {}, "at most 64 .* got 80"),
        (["mulfagrid"], ["normaliser=softmx"], {}, "expected one of 'none', 'sum'"),
        (
            ["siren"],
            ["omega=1:4"],
            {"settings": {"field.frequency": "3"}},
            "what --set leaves alone, got field.frequency",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_swept(models, sweeps, more, words: str):
    with pytest.raises(ConfigError, match=words):
        candidates(models, sweeps, "image", **more)


HAVING = {
    "sigma": "fourier-mlp",
    "octaves": "fourier-mlp-positional",
    "frequencies": "fourier-mlp-positional",
    "omega": "wire",
    "growth": "smooth-grid",
    "finest": "tensorf-vm",
    "table": "nffb",
    "levels": "k-planes",
    "rate": "plain-mlp",
}


@pytest.mark.parametrize("name", KNOBS)
def test_every_name_changes_some_model(name: str):
    model = HAVING.get(name, "mulfagrid")
    text = "lin_add" if name == "normaliser" else "3"
    (found,) = candidates([model], [f"{name}={text}"], "image")
    changed = plan(model, params=None, settings=found.settings)
    own = plan(model, params=None)
    assert (changed.field, changed.training) != (own.field, own.training)


@pytest.mark.parametrize("params", [None, 20_000])
@pytest.mark.parametrize("task", ["image", "sdf"])
def test_every_model_has_something_to_try(task, params: int | None):
    for model in (
        "fourier-mlp", "fourier-mlp-positional", "siren", "instant-ngp", "mulfagrid",
        "neurbf", "k-planes", "gabor-net", "plain-mlp",
    ):  # fmt: skip
        sweeps = default_sweeps(model, task, params=params)
        found = candidates([model], sweeps, task, params=params)
        assert 3 <= len(found) <= 9, model


def test_what_is_set_is_not_tried():
    settings = {"field.encoding.bandwidth-cycles": "3"}
    assert default_sweeps("fourier-mlp", "image", settings=settings) == ("rate=0.25:4",)
