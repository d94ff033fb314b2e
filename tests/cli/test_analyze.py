"""``tangrid analyze``: kernels in a folder, a report, and a table of the numbers."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tangrid import devices
from tangrid.cli.kernel_outcome import kernel_lines
from tangrid.progress import StageLine
from tangrid.reports.measures import MISSING
from tests.cli.conftest import NAME, Type, everything_in
from tests.cli.messages import MESSAGES
from tests.cli.test_plugin import plugin  # noqa: F401

FEW = ("--points", "10", "--steps", "1", "--lattice", "4")
IMAGE = ("analyze", "image", f"{NAME}.png", "--params", "16000", *FEW)


def kernel(folder: str | Path) -> dict[str, Any]:
    return json.loads(Path(folder, "kernel.json").read_text())


def test_models_side_by_side(workplace: Path, tangrid: Type):
    outcome = tangrid(*IMAGE, "--models", "instant-ngp,siren")
    assert outcome.code == 0, outcome.err
    *table, report = outcome.out.splitlines()
    assert report == f"runs/{NAME}-kernels/report.html"
    assert Path(report).read_text().lower().startswith("<!doctype html>")
    cells = [tuple(line.split()[:2]) for line in table if not line.startswith("-")]
    assert cells == [
        ("model", "kernel"),
        ("instant-ngp", "NTK"),
        ("instant-ngp", "GTK"),
        ("siren", "NTK"),
    ]
    assert outcome.err.splitlines()[0].startswith(
        "plan: 2 fields, 3 kernels of 30 rows (10 points, 3 channels): "
    )
    assert "2/2 siren: starting" in outcome.err
    folder = Path(report).parent
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json", "environment.json", "kernel.json", "kernel.safetensors",
        "report.html",
    }  # fmt: skip
    command = json.loads((folder / "environment.json").read_text())["command"]
    assert command[:3] == ["tangrid", "analyze", "image"]
    assert kernel(folder)["points"]["count"] == 10


def test_folder_is_taken_replaced_and_gone_on_with(workplace: Path, tangrid: Type):
    words = (*IMAGE, "--models", "siren", "--out", "run")
    assert tangrid(*words).code == 0
    before = kernel("run")
    outcome = tangrid(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert "expected an empty or new folder" in outcome.message
    outcome = tangrid(*words, "--resume", "--seed", "1")
    assert "in which seeds[0] is 0 and not 1" in outcome.message
    Path("run", "report.html").unlink()
    assert tangrid(*words, "--resume").code == 0
    assert Path("run", "report.html").exists()
    assert kernel("run") == before
    assert tangrid(*words, "--overwrite", "--seed", "1").code == 0
    assert kernel("run")["entries"][0]["seed"] == 1


def interrupt_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Press Ctrl-C when a stage of the second field begins."""
    parts = []
    begin = StageLine.begin

    def begun(line: StageLine, number: int, count: int, label: str) -> None:
        parts.append(number)
        begin(line, number, count, label)

    def stage(_: StageLine, what: str) -> None:
        if parts == [0, 1][: len(parts)] and parts[-1:] == [int(name[0])]:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(StageLine, "begin", begun)
    monkeypatch.setattr(StageLine, "stage", stage)


def test_ctrl_c_keeps_what_is_done(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    words = (*IMAGE, "--models", "siren,fourier-mlp", "--out", "run")
    with monkeypatch.context() as patch:
        interrupt_at(patch, "1")
        outcome = tangrid(*words)
    assert outcome.code == 130
    assert MESSAGES["interrupted"]["judging"].matches(outcome.message)
    assert [entry["model"] for entry in kernel("run")["entries"]] == ["siren"]
    outcome = tangrid(*words, "--resume")
    assert outcome.code == 0, outcome.err
    assert "1/2" not in outcome.err
    assert kernel("run")["is_finished"]


def test_ctrl_c_before_anything_is_done_leaves_nothing(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    before = everything_in(workplace)
    interrupt_at(monkeypatch, "0")
    outcome = tangrid(*IMAGE, "--models", "siren", "--out", "deep/run")
    assert (outcome.code, outcome.message) == (130, "Interrupted.")
    assert everything_in(workplace) == before


def test_a_fit_is_looked_at_before_and_after(
    workplace: Path, fitted: Path, tangrid: Type
):
    before = {path: path.read_bytes() for path in fitted.iterdir()}
    outcome = tangrid("analyze", fitted, *FEW)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "runs/run-kernels/report.html"
    assert "instant-ngp, trained  NTK" in outcome.out
    found = kernel("runs/run-kernels")
    assert [entry["state"] for entry in found["entries"]] == ["initial", "trained"]
    assert Path("runs/run-kernels", found["entries"][1]["run"], "error.png").exists()
    assert {path: path.read_bytes() for path in fitted.iterdir()} == before


def test_a_comparison_is_looked_at_fit_by_fit(workplace: Path, tangrid: Type):
    small = ("--models", "siren", "--params", "4000", "--seeds", "2", "--steps", "2")
    words = ("compare", "image", f"{NAME}.png", *small)
    assert tangrid(*words, "--out", "runs/two").code == 0
    outcome = tangrid("analyze", "runs/two/", *FEW)
    assert outcome.code == 0, outcome.err
    found = kernel("runs/two-kernels")
    assert [entry["label"] for entry in found["entries"]] == [
        "siren, seed 0, initial",
        "siren, seed 0, trained",
        "siren, seed 1, initial",
        "siren, seed 1, trained",
    ]
    assert found["entries"][3]["run"] == f"../two/runs/{NAME}-siren-seed1"
    assert len(found["differences"]) == 6


def test_plugins_are_looked_at(plugin: str, tangrid: Type):  # noqa: F811
    words = ("analyze", "image", f"{NAME}.png", "--models", "doubled-coords", *FEW)
    outcome = tangrid(*words)
    assert outcome.message.startswith("model 'doubled-coords': expected one of")
    assert tangrid(*words, "--plugin", plugin).code == 0
    (entry,) = kernel(f"runs/{NAME}-kernels")["entries"]
    assert list(entry["kernels"]) == ["all"]


@pytest.mark.parametrize("name", MESSAGES["analyze"])
def test_wrong_use(name: str, workplace: Path, fitted: Path, tangrid: Type):
    case = MESSAGES["analyze"][name]
    (workplace / "folder").mkdir()
    (workplace / "folder" / "letter.txt").write_text("mine")
    before = everything_in(workplace)
    words = [str(fitted) if word == "RUN" else word for word in case.command.split()]
    outcome = tangrid(*words)
    assert case.matches(outcome.message.replace(str(fitted), "RUN")), outcome.err
    assert outcome.err.count("\n") == 1, "expected one paragraph"
    assert (outcome.code, outcome.out) == (2, "")
    assert everything_in(workplace) == before


def test_a_rate_that_diverges_leaves_nothing(workplace: Path, tangrid: Type):
    outcome = tangrid(*IMAGE, "--models", "siren", "--rate", "1e9")
    assert MESSAGES["kernel rate"]["diverges"].matches(outcome.message), outcome.err
    assert (outcome.code, outcome.out) == (2, "")
    assert not Path("runs").exists()


def test_too_little_memory_is_said_before_anything_is_made(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(devices, "available_memory_mb", lambda: 100.0)
    outcome = tangrid("analyze", "image", f"{NAME}.png", "--models", "siren")
    assert outcome.code == 2
    assert MESSAGES["kernel memory"]["points"].matches(outcome.message)
    assert not Path("runs").exists()


def test_a_picture_that_moved_away_is_missed(
    workplace: Path, fitted: Path, tangrid: Type
):
    moved = shutil.copytree(fitted, workplace / "moved")
    config = moved / "config.json"
    text = config.read_text().replace(f"{NAME}.png", "gone.png")
    config.write_text(text)
    outcome = tangrid("analyze", "moved", *FEW)
    assert outcome.code == 2
    assert MESSAGES["moved picture"]["gone"].matches(outcome.message), outcome.err
    assert not Path("runs").exists()


def test_help_tells_both_ways(tangrid: Type):
    assert "tangrid analyze image" in tangrid("analyze", "--help").out
    assert "--models A,B,..." in tangrid("analyze", "image", "--help").out


def test_table_shows_what_there_is():
    told = {
        "summary": {"largest": 1e3, "smallest": 0.5, "condition": None,
                    "effective_rank": 12.34},
        "bound": {"raw": 1.5, "trace_normalised": None, "finite_time": 0.75},
        "group_shares": {"grid": 0.25, "decoder": 0.75},
    }  # fmt: skip
    curve = {"steps": 7, "predicted_psnr": [5.0, 20.125], "measured_psnr": None}
    entry = {"label": "m", "kernels": {"all": told, "grid": told}, "curve": curve}
    head, _, first, second = kernel_lines({"entries": [entry]})
    assert head.split("  ")[-2].strip() == "PSNR at 7 (dB)"
    assert first.split() == [
        "m", "NTK", "1e+03", "0.5", MISSING, "12.3", "25.0%", "1.5", MISSING, "0.75",
        "20.12", MISSING,
    ]  # fmt: skip
    assert second.split()[-2:] == [MISSING, MISSING]
    untrained = {**entry, "curve": None, "kernels": {"all": {**told, "bound": None}}}
    assert kernel_lines({"entries": [untrained]})[-1].split()[-1] == MISSING
