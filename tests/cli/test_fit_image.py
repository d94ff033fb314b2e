"""``tangrid fit image`` from the picture to the report, and on after a stop."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tangrid.progress import ProgressLine
from tangrid.runs.store import OWN_FILES
from tangrid.training import Moment
from tests.cli.conftest import NAME, SMALL, Type

FIT = ("fit", "image", f"{NAME}.png", *SMALL)
METRICS = {
    "signal", "model", "seed", "psnr", "psnr_8bit", "ssim", "mae", "params_trainable",
    "params_stored", "steps", "seconds", "points_per_second", "peak_memory_mb",
    "device", "dtype", "implementations", "versions",
}  # fmt: skip


def read(folder: str | Path, name: str) -> Any:
    return json.loads(Path(folder, name).read_text())


def curve(folder: str) -> list[dict[str, Any]]:
    """What was logged at each step, but for the time it took."""
    lines = Path(folder, "metrics.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name != "seconds"}
        for line in lines
    ]


def test_everything_is_kept(fitted: Path):
    names = {path.name for path in fitted.iterdir()}
    whole = {name for name in OWN_FILES if "*" not in name}
    whole -= {"table.json", "kernel.json", "kernel.safetensors", "kernel_track.json"}
    whole -= {"cameras.json", "occupancy.safetensors", "prediction.json"}
    assert whole <= names
    assert {"crop_0_target.png", "crop_0_error.png"} <= names
    metrics = read(fitted, "metrics.json")
    assert set(metrics) == METRICS
    assert metrics["steps"] == 12
    assert abs(metrics["params_trainable"] / 20_000 - 1) < 0.02
    config = read(fitted, "config.json")
    assert (config["kind"], config["signal"]["name"]) == ("fit-image", NAME)
    assert config["signal"]["path"].endswith(f"{NAME}.png")
    command = read(fitted, "environment.json")["command"]
    assert command[:3] == ["tangrid", "fit", "image"]
    assert len(curve(str(fitted))) == 12


def test_ends_with_numbers_and_report(workplace: Path, tangrid: Type):
    outcome = tangrid(*FIT)
    assert outcome.code == 0
    numbers, report = outcome.out.splitlines()
    assert report == f"runs/{NAME}-instant-ngp/report.html"
    page = Path(report).read_text()
    assert page.lower().startswith("<!doctype html>")
    metrics = read(Path(report).parent, "metrics.json")
    assert numbers.startswith(f"{NAME}, instant-ngp: PSNR {metrics['psnr']:.2f} dB, ")
    assert "12 steps" in numbers
    assert outcome.err.startswith(f"{NAME} instant-ngp: starting\n")
    assert "step 12/12, PSNR" in outcome.err


def test_same_seed_gives_the_same_bits(workplace: Path, tangrid: Type):
    more = {"first": [], "second": [], "third": ["--seed", "1"]}
    for out, words in more.items():
        assert tangrid(*FIT, "--threads", 2, "--out", out, *words).code == 0
    bits = [Path(out, "field.safetensors").read_bytes() for out in more]
    assert bits[0] == bits[1] != bits[2]
    assert curve("first") == curve("second") != curve("third")


@pytest.mark.parametrize("more", [[], ["--sampling", "pixels", "--batch-size", "100"]])
def test_resume_goes_on_as_if_nothing_had_happened(
    more: list[str], workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(line: ProgressLine, moment: Moment) -> None:
        del line
        if moment.step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    words = (*FIT, *more, "--set", "training.ema=0.9")
    assert tangrid(*words, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupt)
        assert tangrid(*words, "--out", "cut").code == 130
    assert len(curve("cut")) == 5
    assert not Path("cut", "metrics.json").exists()
    assert tangrid(*words, "--out", "cut", "--resume").code == 0
    assert curve("cut") == curve("whole")
    bits = [Path(out, "field.safetensors").read_bytes() for out in ("cut", "whole")]
    assert bits[0] == bits[1]
    assert read("cut", "metrics.json")["psnr"] == read("whole", "metrics.json")["psnr"]


def test_resume_of_a_finished_run_writes_its_report_again(
    workplace: Path, tangrid: Type
):
    assert tangrid(*FIT, "--out", "run").code == 0
    Path("run", "report.html").unlink()
    before = Path("run", "metrics.jsonl").read_bytes()
    outcome = tangrid(*FIT, "--out", "run", "--resume")
    assert outcome.code == 0
    assert "finished already" in outcome.err
    assert Path("run", "report.html").exists()
    assert Path("run", "metrics.jsonl").read_bytes() == before


def test_resume_of_a_run_without_a_state_begins_anew(workplace: Path, tangrid: Type):
    assert tangrid(*FIT, "--out", "run").code == 0
    expected = curve("run")
    for name in ("metrics.json", "state.safetensors"):
        Path("run", name).unlink()
    assert tangrid(*FIT, "--out", "run", "--resume").code == 0
    assert curve("run") == expected


def test_existing_run_is_replaced_only_when_asked(workplace: Path, tangrid: Type):
    assert tangrid(*FIT, "--out", "run").code == 0
    before = Path("run", "field.safetensors").read_bytes()
    assert tangrid(*FIT, "--out", "run", "--seed", 3).code == 2
    assert Path("run", "field.safetensors").read_bytes() == before
    assert tangrid(*FIT, "--out", "run", "--seed", 3, "--overwrite").code == 0
    assert Path("run", "field.safetensors").read_bytes() != before


def test_several_seeds_make_a_table(workplace: Path, tangrid: Type):
    outcome = tangrid(*FIT, "--seeds", 2, "--seed", 4)
    assert outcome.code == 0
    folder = Path(f"runs/{NAME}-instant-ngp-seeds")
    rows = read(folder, "table.json")["rows"]
    assert [row["seed"] for row in rows] == [4, 5]
    assert outcome.out.splitlines()[-1] == str(folder / "report.html")
    assert "mean" in outcome.out


def test_flags_reach_the_fit(workplace: Path, tangrid: Type):
    outcome = tangrid(
        *FIT, "--out", "run", "--crop", "16x12", "--downscale", 2, "--holdout",
        "--colour", "linear", "--decoder-dtype", "bfloat16", "--batch-size", 10,
        "--sampling", "pixels", "--set", "training.rates.grid=0.5",
        "--set", "field.decoder.width=32", "--threads", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    config = read("run", "config.json")
    assert config["resolution"] == [8, 6]
    assert (config["holdout"], config["sampling"]) == (True, "pixels")
    assert config["signal"]["colour"] == "linear"
    assert config["field"]["decoder_dtype"] == "bfloat16"
    assert config["field"]["decoder"]["width"] == 32
    assert config["training"]["rates"]["grid"] == 0.5
    assert (config["training"]["batch_size"], config["training"]["threads"]) == (10, 1)
    assert "psnr_heldout" in read("run", "metrics.json")
    assert "PSNR, held out" in outcome.out


def test_time_can_end_training(workplace: Path, tangrid: Type):
    words = [*FIT[:-2], "--minutes", "0.002", "--out", "run"]
    assert tangrid(*words).code == 0
    assert read("run", "config.json")["training"]["steps"] is None
    assert read("run", "metrics.json")["seconds"] >= 0.12


def test_installed_photographs_have_names(workplace: Path, tangrid: Type):
    words = ("fit", "image", "astronaut", *SMALL, "--crop", "24")
    assert tangrid(*words).out.endswith("runs/astronaut-instant-ngp/report.html\n")


def test_strange_file_names(workplace: Path, tangrid: Type):
    name = "ein [Bild], 100% (ü).png"
    shutil.copy(f"{NAME}.png", name)
    outcome = tangrid("fit", "image", name, *SMALL)
    assert outcome.code == 0, outcome.err
    assert Path(outcome.out.splitlines()[-1]).exists()


def test_settings_are_chosen_first_and_once(workplace: Path, tangrid: Type):
    words = [
        "fit", "image", f"{NAME}.png", "--model", "fourier-linear,linear-grid",
        "--auto", "--sweep", "field.encoding.num-frequencies=8,16", "--steps", 3,
    ]  # fmt: skip
    first = tangrid(*words)
    assert first.code == 0, first.err
    folder = Path(f"runs/{NAME}-fourier-linear-linear-grid-auto")
    assert first.out.splitlines()[-1] == str(folder / "report.html")
    auto = read(folder, "metrics.json")["auto"]
    assert f"auto: {auto['label']}, predicted PSNR on new points " in first.err
    assert read(folder, "config.json")["model"] == auto["model"]
    assert (folder / "prediction.json").is_file()
    again = tangrid(*words, "--resume")
    assert again.code == 0, again.err
    assert "auto:" not in again.err
