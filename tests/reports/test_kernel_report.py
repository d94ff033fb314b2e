import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tangrid.errors import DataError
from tangrid.reports import write_kernel_report
from tangrid.runs import RunFolder
from tests.reports.fake_kernels import MODELS, write_kernels
from tests.reports.page_reader import PageReader, read_page
from tests.reports.test_fit_report import screenshot

SECTIONS = (
    "The kernels in numbers",
    "Fourier spectrum",
    "Bound of two points",
    "Error maps",
    "Eigenvalues",
    "Which part carries the kernel",
    "Training: predicted and measured",
    "Kernel around a point",
    "Theorem 2: does the kernel stay?",
    "Theorem 3: what is promised for new points",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels") / "analysis"
    write_kernels(folder)
    return folder


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kernels") / "smallest"
    write_kernels(folder, models=("fourier-mlp",))
    return folder


@pytest.fixture
def small_folder(tmp_path: Path, smallest: Path) -> Path:
    """The folder of an analysis of one model."""
    return shutil.copytree(smallest, tmp_path / "analysis")


@pytest.fixture
def folder(tmp_path: Path, finished: Path) -> Path:
    """The folder of a finished analysis."""
    return shutil.copytree(finished, tmp_path / "analysis")


def read_report(folder: Path) -> PageReader:
    return read_page(write_kernel_report(folder).read_text(encoding="utf-8"))


def change(folder: Path, alter: Callable[[dict], None]) -> None:
    path = folder / "kernel.json"
    content = json.loads(path.read_text())
    alter(content)
    path.write_text(json.dumps(content))


def test_an_analysis_is_told(folder: Path):
    reader = read_report(folder)
    words = reader.words()
    for title in SECTIONS:
        assert title in words
    for model in MODELS:
        assert model in words
    assert "instant-ngp, mulfagrid-paper and fourier-mlp on rings" in words
    assert "200 points" in words
    assert "tangrid analyze image rings.png --models a,b" in words
    assert "did not finish" not in words
    assert "belong to these numbers" not in words


def test_every_figure_is_there(folder: Path):
    reader = read_report(folder)
    drawn = [svg for svg in reader.all("svg") if svg.get("class") != "border"]
    # Three spectra of both kernels; eigenvalues of both and next to the largest; the
    # levels; training of three models.
    assert len(drawn) == 6 + 3 + 1 + 3
    # Bounds of 3 NTKs and 2 GTKs with their pairs, in two forms; maps at 3 centres.
    assert len(reader.all("img")) == 2 * (3 + 3 + 2 + 1) + 3 * (3 + 2)


def test_every_section_says_how_to_read_it(folder: Path):
    page = write_kernel_report(folder).read_text(encoding="utf-8")
    for title in SECTIONS:
        if title != "Error maps":
            _, _, after = page.partition(f"<h2>{title}</h2>")
            assert after.startswith('<p class="lead">')


def test_links_within_the_page_lead_somewhere(folder: Path):
    reader = read_report(folder)
    ids = {attributes.get("id") for _, attributes in reader.tags}
    targets = [link["href"] for link in reader.all("a") if link["href"].startswith("#")]
    assert len(targets) == len(SECTIONS)
    assert {target[1:] for target in targets} <= ids


def test_writing_twice_gives_the_same_page(small_folder: Path):
    first = write_kernel_report(small_folder).read_bytes()
    assert write_kernel_report(small_folder).read_bytes() == first


def test_several_seeds_are_shown_as_their_mean_and_spread(tmp_path: Path):
    write_kernels(tmp_path, models=("instant-ngp",), seeds=(0, 1))
    reader = read_report(tmp_path)
    words = reader.words()
    assert "seeds 0, 1" in words
    assert "Mean over seeds, with the standard deviation." in words
    assert "±" in words
    # Pictures are those of the first seed.
    assert len(reader.all("img")) == 2 * 2 + 3 * 2


def test_states_of_a_model_stand_side_by_side(tmp_path: Path):
    write_kernels(tmp_path, models=("fourier-mlp",), states=("initial", "trained"))
    words = read_report(tmp_path).words()
    assert "Tangent kernels of fourier-mlp on rings" in words
    assert "fourier-mlp, initial" in words
    assert "fourier-mlp, trained" in words


def test_a_single_model_has_nothing_to_differ_from(tmp_path: Path):
    write_kernels(tmp_path, models=("fourier-mlp",), is_measured=False)
    words = read_report(tmp_path).words()
    assert "Difference of two models" not in words
    assert "GTK: grid features alone" not in words
    assert "nothing was measured" in words


def test_warnings_are_announced_and_listed(tmp_path: Path):
    warnings = ("the GTK is 0 at <all> points.", "another")
    write_kernels(tmp_path, models=("fourier-mlp",), warnings=warnings)
    words = read_report(tmp_path).words()
    assert "2 warnings belong to these numbers." in words
    assert "Warnings the GTK is 0 at <all> points. another" in words


def test_names_from_outside_are_shown_as_they_are(small_folder: Path):
    name = "<b>.png & \"x\" '$a_b$' </title><script>alert(1)</script>"

    def rename(value: object) -> object:
        if isinstance(value, dict):
            renamed = {key: rename(item) for key, item in value.items()}
            if "shares" in value:
                renamed["shares"] = {f"{name}, level {i}": 0.1 for i in range(3)}
            return renamed
        if isinstance(value, list):
            return [rename(item) for item in value]
        return name if isinstance(value, str) else value

    change(small_folder, lambda content: content.update(rename(content)))
    change(small_folder, lambda content: content.update(warnings=[name]))
    reader = read_report(small_folder)
    assert f"Tangent kernels of {name} on {name}" in reader.words()
    assert reader.words().count("alert(1)") > 20
    assert len(reader.all("script")) == 1


def test_an_analysis_that_only_began_says_so(tmp_path: Path):
    run = RunFolder.create(tmp_path)
    run.write_json("config.json", {"kind": "analyze-image"})
    words = read_report(tmp_path).words()
    assert "This analysis did not finish. It has no kernel yet." in words


def test_an_analysis_that_was_interrupted_says_how_far_it_came(folder: Path):
    def interrupt(content: dict) -> None:
        content["is_finished"] = False
        del content["entries"][1:]

    change(folder, interrupt)
    words = read_report(folder).words()
    assert "This analysis did not finish. What follows is of one kernel." in words
    assert "Tangent kernels of instant-ngp on rings" in words


@pytest.mark.parametrize("name", ["environment.json", "kernel.safetensors"])
def test_files_may_be_missing(small_folder: Path, name: str):
    (small_folder / name).unlink()
    assert "The kernels in numbers" in read_report(small_folder).words()


@pytest.mark.parametrize(
    "name", ["summary", "eigenvalues", "shares", "spectrum", "bound", "all of it"]
)
def test_parts_of_a_kernel_may_be_missing(small_folder: Path, name: str):
    def remove(content: dict) -> None:
        for entry in content["entries"]:
            if name == "all of it":
                entry["kernels"] = None
                continue
            for kernel in entry["kernels"].values():
                kernel[name] = None

    change(small_folder, remove)
    assert "Repeat this analysis" in read_report(small_folder).words()


@pytest.mark.parametrize(
    "name", ["kernels", "stationarity", "curve", "run", "seed", "label", "state"]
)
def test_parts_of_an_entry_may_be_missing(small_folder: Path, name: str):
    change(
        small_folder, lambda content: [entry.pop(name) for entry in content["entries"]]
    )
    assert "Repeat this analysis" in read_report(small_folder).words()


@pytest.mark.parametrize(
    "name", ["signal", "points", "lattice", "slice", "pair", "delta", "theorem_3"]
)
def test_parts_of_the_record_may_be_missing(small_folder: Path, name: str):
    change(small_folder, lambda content: content.update({name: None}))
    words = read_report(small_folder).words()
    for title in SECTIONS:
        assert title in words


def test_numbers_that_are_not_finite_are_left_out(small_folder: Path):
    def blur(value: object) -> object:
        if isinstance(value, dict):
            return {name: blur(item) for name, item in value.items()}
        if isinstance(value, list):
            return [blur(item) for item in value]
        return None if isinstance(value, float) else value

    change(
        small_folder, lambda content: content.update(entries=blur(content["entries"]))
    )
    assert "Repeat this analysis" in read_report(small_folder).words()


def test_maps_may_hold_numbers_that_are_not_finite(folder: Path):
    path = folder / "kernel.safetensors"
    arrays = load_file(path)
    arrays["0/bound_map"] = np.full_like(arrays["0/bound_map"], np.inf)
    arrays["1/bound_map"][0] = np.inf
    arrays["0/slice_map"][:] = np.nan
    save_file(arrays, path)
    words = read_report(folder).words()
    assert "no labels can be fitted" in words
    assert "grey: infinite" in words


@pytest.mark.parametrize("shape", [(0,), (3,), (3, 0, 0), (1, 1, 1)])
def test_arrays_of_other_shapes_are_left_out(
    small_folder: Path, shape: tuple[int, ...]
):
    path = small_folder / "kernel.safetensors"
    arrays = {name: np.zeros(shape) for name in load_file(path)}
    save_file(arrays, path)
    assert "The kernels in numbers" in read_report(small_folder).words()


def test_a_foreign_folder_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the folder of a run"):
        write_kernel_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it(folder: Path, tmp_path: Path, scheme: str):
    pixels = screenshot(write_kernel_report(folder), tmp_path, scheme)
    paper = pixels[5, 5].mean()
    assert paper > 200 if scheme == "light" else paper < 60
    assert pixels.std() > 10
