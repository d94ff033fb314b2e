import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tangrid.errors import ConfigError
from tangrid.experiments.analyze_folder import run_analysis
from tangrid.experiments.analyze_image import (
    AnalyzeImage,
    image_probes,
    plan_image_analysis,
    points_for,
)
from tangrid.experiments.analyze_settings import KernelSettings
from tangrid.experiments.fit_image import ImageSource
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tests.experiments.small_analyses import EXPERIMENT, SETTINGS
from tests.experiments.small_experiments import image

SIDE = 16


def changed(**changes) -> AnalyzeImage:
    return dataclasses.replace(EXPERIMENT, **changes)


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder.create(tmp_path_factory.mktemp("analysed"))
    analysis, _ = plan_image_analysis(EXPERIMENT, image())
    grown = [len(found.entries) for found in run_analysis(analysis, folder)]
    assert grown == [1, 2]
    return folder


def test_pixels_are_drawn_once_each_with_their_values():
    signal = image()
    settings = dataclasses.replace(SETTINGS, points=100)
    probes = image_probes(signal, settings)
    places = (probes.points * SIDE - 0.5).round().long()
    numbers = places[:, 1] * SIDE + places[:, 0]
    assert len(numbers.unique()) == 100
    assert torch.equal(probes.labels, signal.pixel_values(numbers).double())
    other = image_probes(signal, dataclasses.replace(settings, seed=1))
    assert not torch.equal(other.points, probes.points)
    again = image_probes(signal, settings)
    assert torch.equal(again.points, probes.points)


def test_the_pair_lies_eight_pixels_apart_about_the_middle():
    probes = image_probes(image(), SETTINGS)
    first, second = probes.pair * SIDE
    assert (second - first).tolist() == pytest.approx([8, 0])
    assert probes.words["pair"]["distance_in_pixels"] == 8
    assert probes.words["pair"]["distance"] == pytest.approx(0.5)
    narrow = image_probes(image(side=5), dataclasses.replace(SETTINGS, points=9))
    assert narrow.words["pair"]["distance_in_pixels"] == 2
    assert ((narrow.pair > 0) & (narrow.pair < 1)).all()


def test_points_are_drawn_among_those_trained_on():
    among = torch.arange(0, SIDE * SIDE, 7)
    probes = image_probes(image(), SETTINGS, among=among)
    places = (probes.points * SIDE - 0.5).round().long()
    assert ((places[:, 1] * SIDE + places[:, 0]) % 7 == 0).all()
    assert probes.words["points"]["how"].endswith("of those that were trained on")
    with pytest.raises(ConfigError, match="points: expected at most 5"):
        image_probes(image(), SETTINGS, among=among[:5])


def test_points_by_default():
    assert points_for(None, 100) == 100
    assert points_for(None, 10**6) == 1024
    assert points_for(50, 100) == 50
    with pytest.raises(ConfigError, match=r"expected at most 100, .* got 101"):
        points_for(101, 100)


def test_record_has_what_was_agreed(analysed: RunFolder):
    kernel = analysed.read_json("kernel.json")
    assert set(kernel) == {
        "schema", "is_finished", "signal", "points", "lattice", "slice", "pair",
        "delta", "entries", "differences", "theorem_3", "warnings",
    }  # fmt: skip
    assert kernel["is_finished"]
    assert kernel["signal"] == {
        "name": "waves",
        "num_dims": 2,
        "num_channels": 3,
        "resolution": [SIDE, SIDE],
    }
    assert kernel["points"]["count"] == 20
    labels = [entry["label"] for entry in kernel["entries"]]
    assert labels == ["instant-ngp", "siren"]
    assert kernel["entries"][0]["groups"].keys() == {"grid", "decoder"}
    (difference,) = kernel["differences"]
    assert (difference["first"], difference["second"]) == (0, 1)
    assert difference["kernel"] == "all"
    assert 0 <= difference["share_lower_normalised"] <= 1
    assert "NaN" not in analysed.path.joinpath("kernel.json").read_text()


def test_every_array_that_is_named_is_there(analysed: RunFolder):
    entries = analysed.read_json("kernel.json")["entries"]
    arrays = load_file(analysed.path / "kernel.safetensors")
    named = {
        f"{k}/{name}" for k, entry in enumerate(entries) for name in entry["arrays"]
    }
    assert named == set(arrays)
    assert {"0/slice_map_grid", "1/bound_map_trace"} <= named
    assert not any(np.isnan(array).any() for array in arrays.values())
    assert arrays["0/slice_map"].shape == (3, 5, 5)
    assert arrays["0/bound_map"].shape == (5, 5)


def test_folder_says_how_it_came_about(analysed: RunFolder):
    assert from_plain(analysed.read_json("config.json")) == EXPERIMENT
    assert "versions" in analysed.read_json("environment.json")


def test_an_analysis_goes_on_where_it_stopped(analysed: RunFolder, tmp_path: Path):
    whole = analysed.read_json("kernel.json")
    folder = RunFolder.create(tmp_path)
    analysis, _ = plan_image_analysis(EXPERIMENT, image())
    first = next(run_analysis(analysis, folder))
    assert not first.kernel["is_finished"]
    assert not folder.read_json("kernel.json")["is_finished"]
    begun: list[tuple[int, int, str]] = []
    *_, found = run_analysis(
        analysis, folder, resume=True, on_field=lambda *part: begun.append(part)
    )
    assert begun == [(1, 2, "siren")]
    assert found.kernel["is_finished"]
    kept = folder.read_json("kernel.json")
    assert kept["differences"] == whole["differences"]
    arrays = [load_file(f.path / "kernel.safetensors") for f in (folder, analysed)]
    assert arrays[0].keys() == arrays[1].keys()
    for name, array in arrays[0].items():
        assert np.array_equal(array, arrays[1][name])


def test_a_finished_analysis_has_nothing_left_to_do(analysed: RunFolder):
    before = analysed.path.joinpath("kernel.json").read_bytes()
    analysis, _ = plan_image_analysis(EXPERIMENT, image())
    (found,) = run_analysis(analysis, analysed, resume=True)
    assert found.kernel["is_finished"]
    assert set(found.arrays) == set(load_file(analysed.path / "kernel.safetensors"))
    assert analysed.path.joinpath("kernel.json").read_bytes() == before


def test_every_model_is_looked_at_with_every_seed():
    analysis, plan = plan_image_analysis(changed(seeds=(3, 4)), image())
    assert [planned.label for planned in analysis.planned] == [
        "instant-ngp, seed 3",
        "siren, seed 3",
        "instant-ngp, seed 4",
        "siren, seed 4",
    ]
    assert (plan.num_entries, plan.num_kernels, plan.rows) == (4, 6, 60)
    first, _, third, _ = (planned.build() for planned in analysis.planned)
    assert (first.seed, third.seed) == (3, 4)
    points = analysis.probes.points
    assert not torch.equal(first.values(points), third.values(points))


def test_a_sum_over_channels_is_noted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tangrid.experiments.analyze_group.MAX_ROWS", 20)
    analysis, plan = plan_image_analysis(changed(models=("siren",)), image())
    assert plan.rows == 20
    *_, found = run_analysis(analysis)
    assert found.entries[0]["outputs"] == "trace"
    (warning,) = found.kernel["warnings"]
    assert warning.startswith("20 points and 3 channels make more than")


def test_fields_are_those_that_a_comparison_would_fit():
    models = ("instant-ngp", "instant-ngp-sine")
    analysis, _ = plan_image_analysis(changed(models=models, params=20_000), image())
    fields = [planned.build().function for planned in analysis.planned]
    growths = {field.encoding.layout.levels for field in fields}
    assert len(growths) == 1


def test_further_groups_are_looked_at_where_a_model_has_them():
    kernels = dataclasses.replace(SETTINGS, parameters=("all", "decoder"))
    analysis, plan = plan_image_analysis(changed(kernels=kernels), image())
    assert plan.num_kernels == 4
    assert analysis.planned[0].build().kernels == ("all", "decoder")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ("instant-ngp", "sirn")}, "model 'sirn': .* 'siren'"),
        ({"models": ("siren", "siren")}, "models: .* differ, got siren,siren"),
        ({"models": ()}, "models: expected one or more that differ, got none"),
        ({"seeds": (1, 1)}, "seeds: expected one or more that differ, got 1,1"),
        ({"params": 3}, "params 3: expected a budget"),
        (
            {"settings": {"training.steps": "3"}},
            "setting 'training.steps': expected a path that begins with field",
        ),
        (
            {"kernels": KernelSettings(points=257)},
            "points: expected at most 256, the pixels that there are, got 257",
        ),
        (
            {"kernels": KernelSettings(points=9, parameters=("all", "gird"))},
            "parameters: expected all or groups among decoder, grid, got 'gird'",
        ),
        (
            {"kernels": KernelSettings(points=9, lattice=91)},
            "lattice: expected at most",
        ),
    ],
)
def test_what_is_not_possible_is_refused_before_it_begins(changes: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        plan_image_analysis(changed(**changes), image())


def test_an_analysis_survives_json():
    experiment = changed(
        seeds=(1, 2), settings={"field.seed": "5"}, signal=ImageSource(path="a/b.png")
    )
    assert from_plain(to_plain(experiment)) == experiment
