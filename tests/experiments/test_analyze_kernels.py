"""What is said of one model: of fields in any dimension, and of rendered rays."""

import dataclasses
import json

import pytest
import torch

from tangrid.errors import ConfigError
from tangrid.experiments.analyze_kernels import Examined, examine
from tangrid.experiments.analyze_probes import Probes
from tangrid.experiments.analyze_specimen import Specimen, field_specimen
from tangrid.interface import build
from tangrid.runs.plain_json import to_json
from tangrid.tangent import tangent_kernel
from tangrid.tangent.spectra.lattice import Lattice
from tests.experiments import small_analyses
from tests.experiments.small_analyses import SETTINGS, rays, rendered_rays
from tests.tolerances import EXACT_DESCENT, NO_DRIFT

ENTRY = {
    "label", "model", "seed", "state", "params_trainable", "groups", "explicit",
    "outputs", "rows", "seconds", "kernels", "stationarity", "curve", "fit", "run",
    "arrays",
}  # fmt: skip
KERNEL = {
    "summary", "eigenvalues", "eigenvalue_index", "shares", "group_shares", "bound",
    "stationarity", "spectrum", "pair", "drift",
}  # fmt: skip
CURVE = {
    "rate", "rate_words", "largest_stable_rate", "steps", "step", "predicted_psnr",
    "predicted_loss", "measured_psnr", "measured_loss", "method", "largest_gap_db",
    "drift",
}  # fmt: skip


def siren() -> Specimen:
    field = build("siren", num_dims=2, num_channels=2, params=1000)
    return field_specimen(field, label="siren", model="siren")


@pytest.fixture(scope="module")
def linear() -> tuple[Specimen, Probes, Examined]:
    specimen = field_specimen(small_analyses.linear_grid(), label="a", model="linear")
    probes = small_analyses.probes()
    return specimen, probes, examine(specimen, probes, SETTINGS)


def test_an_entry_has_what_was_agreed(linear: tuple[Specimen, Probes, Examined]):
    entry = linear[2].entry
    assert set(entry) == ENTRY
    assert set(entry["kernels"]) == {"all", "grid"}
    for told in entry["kernels"].values():
        assert set(told) == KERNEL
        assert sum(told["shares"].values()) == pytest.approx(1)
        assert told["group_shares"] == {"grid": pytest.approx(1)}
        spectrum = told["spectrum"]
        for name in ("rayleigh", "rayleigh_hann", "row", "row_magnitude"):
            assert len(spectrum[name]) == len(spectrum["frequency"])
        for name in ("axis", "diagonal"):
            assert len(spectrum[name]) == len(spectrum[f"{name}_frequency"])
        assert 0 < spectrum["nonstationarity"] < 1
        assert 0 < spectrum["high_share"] < 1
    assert set(entry["curve"]) == CURVE
    assert json.loads(to_json(entry))["label"] == "a"
    assert set(entry["arrays"]) == set(linear[2].arrays)
    assert (entry["outputs"], entry["rows"]) == ("full", 40)


def test_theorems_1_and_2_hold_for_a_linear_field(
    linear: tuple[Specimen, Probes, Examined],
):
    entry = linear[2].entry
    assert entry["stationarity"]["is_exact"]
    curve = entry["curve"]
    assert curve["step"] == [0, 1, 2, 3]
    assert curve["measured_loss"] == pytest.approx(
        curve["predicted_loss"], rel=EXACT_DESCENT
    )
    assert curve["largest_gap_db"] < 1e-6
    assert curve["drift"]["relative"] < NO_DRIFT
    assert curve["rate"] == pytest.approx(curve["largest_stable_rate"] / 2)
    assert linear[2].warnings == ()


def test_numbers_are_those_of_the_kernel(linear: tuple[Specimen, Probes, Examined]):
    specimen, probes, found = linear
    told = found.entry["kernels"]["grid"]
    kernel = tangent_kernel(specimen.function, probes.points, parameters="grid")
    assert told["eigenvalues"] == pytest.approx(kernel.eigensystem.values.tolist())
    assert told["eigenvalue_index"] == list(range(1, 41))
    assert told["summary"]["largest"] == pytest.approx(told["eigenvalues"][0])
    assert told["bound"]["rate"] == pytest.approx(1 / told["eigenvalues"][0])
    summed = tangent_kernel(specimen.function, probes.sites, outputs="trace")
    mean = float(summed.diagonal().mean()) / 2
    shells = torch.tensor(told["spectrum"]["rayleigh"])
    edges = probes.lattice.unit_edges()
    counts = torch.histogram(probes.lattice.radii, edges).hist
    assert float((counts[counts > 0] * shells).sum()) == pytest.approx(mean)


def test_pictures_are_those_of_the_kernel(linear: tuple[Specimen, Probes, Examined]):
    specimen, probes, found = linear
    drawn = found.arrays["slice_map"]
    assert drawn.shape == (3, 5, 5)
    expected = tangent_kernel(
        specimen.function, probes.map_sites[7:8], probes.centres[1:2], outputs="trace"
    )
    assert float(drawn[1, 1, 2]) == pytest.approx(float(expected.to_dense()) / 2)
    assert found.arrays["bound_map_grid"].shape == (5, 5)
    raw, scaled = found.arrays["bound_map"], found.arrays["bound_map_trace"]
    trace = found.entry["kernels"]["all"]["pair"]["trace"]
    assert torch.allclose(scaled, raw * trace**0.5)


def test_theorem_3_tells_its_conditions(linear: tuple[Specimen, Probes, Examined]):
    bound = linear[2].entry["kernels"]["all"]["bound"]
    assert [form["name"] for form in bound["forms"]] == [
        "raw",
        "trace-normalised",
        "finite-time",
    ]
    for form, key in zip(
        bound["forms"], ("raw", "trace_normalised", "finite_time"), strict=True
    ):
        assert form["total"] == bound[key]
    names = {condition["name"] for condition in bound["conditions"]}
    assert {"smallest eigenvalue", "stationary kernel", "training time"} <= names
    assert bound["steps"] == 3


def test_nothing_is_measured_if_no_steps_are_asked_for():
    settings = dataclasses.replace(SETTINGS, steps=0)
    curve = examine(siren(), small_analyses.probes(), settings).entry["curve"]
    assert curve["measured_psnr"] is curve["measured_loss"] is curve["drift"] is None
    assert curve["steps"] == curve["step"][-1] == 100
    assert len(curve["predicted_psnr"]) == 101


def test_a_network_has_no_grid_and_drifts():
    entry = examine(siren(), small_analyses.probes(), SETTINGS).entry
    assert list(entry["kernels"]) == ["all"]
    assert set(entry["arrays"]) == {"slice_map", "bound_map", "bound_map_trace"}
    assert not entry["stationarity"]["is_exact"]
    assert entry["curve"]["drift"]["relative"] > 1e-6


def test_a_rate_that_diverges_is_refused():
    settings = dataclasses.replace(SETTINGS, rate=1e9)
    with pytest.raises(ConfigError, match=r"rate: expected one below .* of siren on"):
        examine(siren(), small_analyses.probes(), settings)


@pytest.fixture(scope="module")
def outgrown() -> dict[float | None, Examined]:
    """InstantNGP starts with tiny features: its kernel grows as they do."""
    field = build("instant-ngp", num_dims=2, num_channels=3, params=16_000)
    specimen = field_specimen(
        field, label="ngp", model="instant-ngp", parameters=("all",)
    )
    probes = small_analyses.probes(num_channels=3)
    found: dict[float | None, Examined] = {}
    for rate in (None, 1.0):
        settings = dataclasses.replace(SETTINGS, steps=12, rate=rate)
        found[rate] = examine(specimen, probes, settings)
    return found


def test_a_rate_that_the_kernel_outgrows_is_lowered(
    outgrown: dict[float | None, Examined],
):
    found = outgrown[None]
    curve = found.entry["curve"]
    assert curve["rate"] < curve["largest_stable_rate"] / 4
    assert curve["rate_words"].endswith(", since real descent overshot")
    (warning,) = found.warnings
    assert warning.startswith("ngp: gradient descent at ")
    assert warning.endswith(f"Both curves are at the rate {curve['rate']:.3g}.")
    assert max(curve["measured_loss"]) <= 2 * curve["measured_loss"][0]
    assert curve["drift"]["relative"] > 0


def test_a_rate_that_was_asked_for_is_kept(outgrown: dict[float | None, Examined]):
    found = outgrown[1.0]
    assert found.entry["curve"]["rate"] == 1.0
    (warning,) = found.warnings
    assert "--rate" in warning


def test_a_sum_over_channels_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.experiments.analyze_group.MAX_ROWS", 20)
    entry = examine(siren(), small_analyses.probes(), SETTINGS).entry
    assert (entry["outputs"], entry["rows"]) == ("trace", 20)
    assert entry["curve"]["method"] == "products"
    conditions = {
        condition["name"]: condition["holds"]
        for condition in entry["kernels"]["all"]["bound"]["conditions"]
    }
    # One kernel is taken for those of all channels, which nobody has checked.
    assert conditions["kernel of the outputs"] is None


def test_a_kernel_that_is_nothing_is_told():
    field = small_analyses.linear_grid()
    with torch.no_grad():
        for parameter in field.get_submodule("decoder").parameters():
            parameter.zero_()
    specimen = field_specimen(field, label="a", model="dead")
    found = examine(specimen, small_analyses.probes(), SETTINGS)
    assert found.entry["curve"] is None
    assert found.entry["kernels"]["all"]["bound"] is None
    assert found.warnings[0] == "a: the NTK is 0 at all points: it learns nothing."


def test_fields_in_space_need_nothing_new():
    field = small_analyses.linear_grid(num_dims=3, num_channels=1)
    specimen = field_specimen(field, label="a", model="linear")
    probes = small_analyses.probes(num_dims=3, num_channels=1)
    found = examine(specimen, probes, dataclasses.replace(SETTINGS, steps=1))
    assert found.entry["rows"] == 20
    assert found.arrays["slice_map_grid"].shape == (3, 5, 5)


def test_rendered_rays_need_nothing_new():
    source = torch.Generator().manual_seed(5)
    probes = Probes(
        points=rays(20),
        labels=torch.rand(20, 4, dtype=torch.float64, generator=source),
        lattice=Lattice((5, 5)),
        sites=rays(25),
        map_sites=rays(16),
        map_side=4,
        centres=rays(2),
        pair=rays(2, seed=4),
        words={},
    )
    stages: list[str] = []
    found = examine(rendered_rays(), probes, SETTINGS, stages.append)
    assert set(found.entry["kernels"]) == {"all", "grid"}
    assert found.entry["kernels"]["all"]["shares"] == {"all parameters": 1.0}
    assert found.entry["kernels"]["grid"]["stationarity"]["is_exact"]
    assert found.arrays["slice_map"].shape == (2, 4, 4)
    assert stages[0] == "NTK, 20 points: eigenvalues"
    assert any(stage.endswith(", step 3/3") for stage in stages)


def test_drift_is_measured_from_the_state_before():
    before = siren()
    moved = before.moved({
        name: value * 1.1 for name, value in before.subject.parameters.items()
    })
    after = dataclasses.replace(moved, state="trained", before=lambda: before)
    told = examine(after, small_analyses.probes(), SETTINGS).entry["kernels"]["all"]
    assert 0.01 < told["drift"]["relative"] < 10
    assert 0 < told["drift"]["alignment"] <= 1
