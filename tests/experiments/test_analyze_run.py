import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from tangrid.errors import ConfigError, DataError
from tangrid.experiments import CompareImages
from tangrid.experiments.analyze_folder import run_analysis
from tangrid.experiments.analyze_run import AnalyzeRun, open_runs, plan_run_analysis
from tangrid.experiments.compare_images import run_comparison
from tangrid.experiments.fit_image import ImageSource, plan_fit, run_fit
from tangrid.runs.codec import from_plain, to_plain
from tangrid.runs.store import RunFolder
from tests.cli.conftest import save_wave
from tests.experiments.small_analyses import SETTINGS
from tests.experiments.small_experiments import PARAMS, TRAINING, image

QUICK = dataclasses.replace(SETTINGS, points=10, steps=1)


def source_of(path: Path) -> ImageSource:
    return ImageSource(path=str(path), name=path.stem)


def fitted(folder: Path, source: ImageSource, **changes) -> Path:
    signal = source.open()
    experiment = plan_fit(
        signal,
        source,
        model="instant-ngp",
        params=PARAMS,
        training=TRAINING,
        **changes,
    )
    run_fit(experiment, signal, folder=RunFolder.create(folder))
    return folder


def state_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture, a fit of it, and a comparison of two models on two pictures."""
    place = tmp_path_factory.mktemp("fits")
    sources = [
        source_of(save_wave(place / f"{name}.png", side, side))
        for name, side in (("wave", 16), ("other", 12))
    ]
    fitted(place / "fit", sources[0])
    comparison = CompareImages(
        models=("siren", "instant-ngp"),
        signals=tuple(sources),
        params=PARAMS,
        training=TRAINING,
    )
    signals = [source.open() for source in sources]
    folder = RunFolder.create(place / "comparison")
    list(run_comparison(comparison, signals, folder))
    return place


def planned_at(path: Path, results: Path | None = None, **changes):
    experiment = AnalyzeRun(path=path.as_posix(), kernels=QUICK, **changes)
    runs = open_runs(path, experiment.signal)
    return plan_run_analysis(experiment, runs, results)


@pytest.fixture(scope="module")
def analysed(place: Path) -> dict:
    before = state_of(place / "fit")
    analysis, plan = planned_at(place / "fit", place / "results" / "fit-kernels")
    assert plan.num_kernels == 4
    folder = RunFolder.create(place / "results" / "fit-kernels")
    list(run_analysis(analysis, folder))
    assert state_of(place / "fit") == before
    return folder.read_json("kernel.json")


def test_a_fit_is_looked_at_before_and_after(analysed: dict):
    first, second = analysed["entries"]
    assert (first["state"], second["state"]) == ("initial", "trained")
    assert second["label"] == "instant-ngp, trained"
    assert first["kernels"]["all"]["drift"] is None
    for name in ("all", "grid"):
        assert second["kernels"][name]["drift"]["relative"] > 0.01
    assert first["kernels"]["all"]["eigenvalues"] != pytest.approx(
        second["kernels"]["all"]["eigenvalues"]
    )
    pairs = [(d["first"], d["second"]) for d in analysed["differences"]]
    assert pairs == [(0, 1), (0, 1)]


def test_the_fit_tells_its_scores_and_its_own_curve(analysed: dict, place: Path):
    first, second = analysed["entries"]
    assert first["fit"] is first["run"] is None
    metrics = json.loads((place / "fit" / "metrics.json").read_text())
    told = second["fit"]
    assert told["psnr"] == metrics["psnr"]
    assert told["optimizer"] == "Adam"
    assert set(told["rates"]) == {"grid", "decoder"}
    assert told["curve"]["step"] == [1, 2, 3, 4, 5, 6]
    assert len(told["curve"]["psnr"]) == 6
    assert second["run"] == "../../fit"


def test_trained_values_are_those_of_the_run(place: Path):
    analysis, _ = planned_at(place / "fit")
    initial, trained = (planned.build() for planned in analysis.planned)
    probes = analysis.probes
    errors = [
        float((specimen.values(probes.points) - probes.labels).square().mean())
        for specimen in (initial, trained)
    ]
    assert errors[1] < 0.8 * errors[0]


def test_a_comparison_is_looked_at_run_by_run(place: Path):
    with pytest.raises(ConfigError, match=r"got one on wave, other\. Say which with"):
        open_runs(place / "comparison")
    analysis, _ = planned_at(place / "comparison", signal="other")
    assert analysis.signal["resolution"] == [12, 12]
    assert [planned.label for planned in analysis.planned] == [
        "siren, initial",
        "siren, trained",
        "instant-ngp, initial",
        "instant-ngp, trained",
    ]
    found = run_analysis(analysis)
    next(found)
    first, second = next(found).entries
    assert first["run"] is None
    assert second["run"].endswith("runs/other-siren-seed0")


def test_an_unfinished_comparison_tells_what_is_missing(place: Path, tmp_path: Path):
    copy = shutil.copytree(place / "comparison", tmp_path / "comparison")
    table = RunFolder(copy).read_json("table.json")
    RunFolder(copy).write_json("table.json", {"rows": table["rows"][:1]})
    found = open_runs(copy)
    assert found.warnings == ("1 of 2 fits of the comparison are done.",)
    RunFolder(copy).write_json("table.json", {"rows": []})
    with pytest.raises(DataError, match="at least one finished fit, got none"):
        open_runs(copy)


def test_points_are_those_that_were_trained_on(place: Path, tmp_path: Path):
    source = source_of(place / "wave.png")
    run = fitted(tmp_path / "run", source, holdout=True, sampling="all")
    runs = open_runs(run)
    assert runs.num_pixels == 64
    analysis, _ = planned_at(run)
    places = (analysis.probes.points * 16 - 0.5).round().long()
    assert (places % 2 == 0).all()


def test_a_picture_that_moved_away_is_missed(place: Path, tmp_path: Path):
    picture = Path(shutil.copy(place / "wave.png", tmp_path / "gone.png"))
    run = fitted(tmp_path / "run", source_of(picture))
    picture.unlink()
    with pytest.raises(DataError) as told:
        open_runs(run)
    assert str(told.value).startswith(
        f"{run}: expected to read the image that was fitted again"
    )
    assert "gone.png: expected a picture file" in str(told.value)
    Image.new("RGB", (20, 20)).save(picture)
    with pytest.raises(DataError, match=r"16 x 16 with 3 channels, got 20 x 20 with 3"):
        open_runs(run)


def test_an_array_cannot_be_read_again(tmp_path: Path):
    signal = image()
    experiment = plan_fit(
        signal,
        ImageSource(name="waves"),
        model="instant-ngp",
        params=PARAMS,
        training=TRAINING,
    )
    run_fit(experiment, signal, folder=RunFolder.create(tmp_path))
    with pytest.raises(DataError, match="got an array that only the program"):
        open_runs(tmp_path)


def test_names_of_other_images_are_refused(place: Path):
    with pytest.raises(ConfigError, match=r"--signal x: .* wave, other"):
        open_runs(place / "comparison", "x")
    with pytest.raises(ConfigError, match=r"--signal x: .* wave"):
        open_runs(place / "fit", "x")


def test_what_is_no_fit_is_refused(place: Path, tmp_path: Path):
    with pytest.raises(DataError, match="expected the folder of a run, got nothing"):
        open_runs(tmp_path / "nothing")
    folder = RunFolder.create(tmp_path)
    folder.write_json("config.json", to_plain(AnalyzeRun(path="x")))
    with pytest.raises(DataError, match="got one of kind 'analyze-run'"):
        open_runs(tmp_path)
    damaged = shutil.copytree(place / "fit", tmp_path / "damaged")
    (damaged / "field.safetensors").write_bytes(b"1234567890")
    with pytest.raises(DataError, match="expected a safetensors file"):
        open_runs(damaged)


@pytest.mark.parametrize("inner", [".", "..", "deeper"])
def test_a_run_is_never_written_to(inner: str, place: Path):
    with pytest.raises(ConfigError, match="expected a folder apart from"):
        planned_at(place / "fit", place / "fit" / inner)


def test_an_analysis_survives_json():
    experiment = AnalyzeRun(path="runs/a", signal="b", kernels=QUICK)
    assert from_plain(to_plain(experiment)) == experiment


def test_labels_of_points_are_pixels_of_the_picture(place: Path):
    analysis, _ = planned_at(place / "fit")
    probes = analysis.probes
    signal = source_of(place / "wave.png").open()
    sampled = signal.sample(probes.points.float()).double()
    assert torch.allclose(sampled, probes.labels, atol=1e-5)
