"""``tangrid compare image``: several models and images, one table, one page."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tangrid.cli.outcome import table_lines
from tangrid.progress import ProgressLine
from tangrid.reports.measures import MISSING
from tangrid.training import Moment
from tests.cli.conftest import NAME, Type, save_wave

MODELS = ("--models", "instant-ngp,siren", "--params", "20000", "--steps", "4")


def rows(folder: str) -> list[dict[str, Any]]:
    return json.loads(Path(folder, "table.json").read_text())["rows"]


def test_table_and_page(workplace: Path, tangrid: Type):
    save_wave(workplace / "other.png", 20, 20)
    outcome = tangrid("compare", "image", f"{NAME}.png", "other.png", *MODELS)
    assert outcome.code == 0, outcome.err
    *table, report = outcome.out.splitlines()
    assert report == "runs/comparison/report.html"
    assert table[0].split()[:2] == ["signal", "model"]
    cells = [tuple(line.split()[:2]) for line in table if not line.startswith("-")]
    assert cells[1:] == [
        (NAME, "instant-ngp"),
        (NAME, "siren"),
        ("other", "instant-ngp"),
        ("other", "siren"),
        ("mean", "instant-ngp"),
        ("mean", "siren"),
    ]
    found = rows("runs/comparison")
    assert [(row["signal"], row["model"]) for row in found] == cells[1:5]
    for row in found:
        assert abs(row["params_trainable"] / 20_000 - 1) < 0.02
        folder = Path("runs/comparison", row["run"])
        assert {"report.html", "field.safetensors"} <= {
            p.name for p in folder.iterdir()
        }
        assert f"{row['psnr']:.2f}" in outcome.out
    assert Path(report).read_text().count(NAME) > 1
    assert "2/4 wave siren: starting" in outcome.err


def test_images_of_the_same_name_are_told_apart(workplace: Path, tangrid: Type):
    paths = []
    for folder in ("first", "second"):
        Path(folder).mkdir()
        paths.append(save_wave(Path(folder, "photo.png"), 20, 20))
    words = ("--models", "instant-ngp", *MODELS[2:], "--out", "run")
    assert tangrid("compare", "image", *paths, *words).code == 0
    assert [row["signal"] for row in rows("run")] == ["photo-first", "photo-second"]
    assert len({row["run"] for row in rows("run")}) == 2


def test_one_image_names_the_folder(workplace: Path, tangrid: Type):
    words = ("--models", "instant-ngp", *MODELS[2:], "--seeds", "2")
    outcome = tangrid("compare", "image", f"{NAME}.png", *words)
    assert outcome.out.splitlines()[-1] == f"runs/{NAME}-comparison/report.html"
    assert [row["seed"] for row in rows(f"runs/{NAME}-comparison")] == [0, 1]


def test_resume_keeps_what_is_done(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    begun = []

    def interrupt(line: ProgressLine, moment: Moment) -> None:
        begun.append(line)
        if len(begun) == 6:
            os.kill(os.getpid(), signal.SIGINT)

    words = ("compare", "image", f"{NAME}.png", *MODELS, "--threads", "2")
    assert tangrid(*words, "--out", "whole").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(ProgressLine, "__call__", interrupt)
        outcome = tangrid(*words, "--out", "cut")
    assert outcome.code == 130
    assert f"saved in cut/runs/{NAME}-siren-seed0" in outcome.err
    assert len(rows("cut")) == 1
    done = Path("cut/runs", f"{NAME}-instant-ngp-seed0", "metrics.json")
    before = done.stat().st_mtime_ns
    assert tangrid(*words, "--out", "cut", "--resume").code == 0
    assert done.stat().st_mtime_ns == before
    for first, second in zip(rows("whole"), rows("cut"), strict=True):
        for key in ("signal", "model", "seed", "psnr", "ssim", "steps", "run"):
            assert first[key] == second[key]
    outcome = tangrid(*words, "--out", "cut", "--resume", "--seed", "1")
    assert "seeds[0] is 0 and not 1" in outcome.message


def test_failed_comparison_leaves_nothing(workplace: Path, tangrid: Type):
    words = ("--set", "field.decoder.width=8")
    outcome = tangrid("compare", "image", f"{NAME}.png", *MODELS, *words)
    assert outcome.code == 2
    assert outcome.message.startswith("field: expected fields of siren")
    assert not Path("runs").exists()


def test_table_shows_what_there_is():
    lines = table_lines([
        {"signal": "a", "model": "m", "seed": 0, "psnr": 30.0, "steps": 10},
        {"signal": "a", "model": "m", "seed": 1, "psnr": 31.0, "steps": 10},
        {"signal": "a", "model": "n", "seed": 0, "psnr": None, "steps": 1000},
    ])
    assert lines == [
        "signal  model  seed  PSNR (dB)  Steps",
        "-------------------------------------",
        "a       m      0         30.00     10",
        "a       m      1         31.00     10",
        f"a       n      0             {MISSING}  1,000",
        "-------------------------------------",
        "mean    m                30.50     10",
        f"mean    n                    {MISSING}  1,000",
    ]
