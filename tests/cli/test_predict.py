"""``tangrid predict``: a ranking in a folder, a report, and what to do next."""

import json
import os
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from tangrid.cli.predict_outcome import next_command
from tangrid.experiments.predict_signal import Predicted
from tangrid.progress import StageLine
from tests.cli.conftest import NAME, Type
from tests.cli.messages import MESSAGES

FEW = ("--windows", "2", "--window-points", "16", "--lesson-steps", "4")
FIT = ("--params", "16000", "--steps", "6", "--holdout", "--threads", "1")
IMAGE = ("predict", "image", f"{NAME}.png", *FEW, *FIT)


def table(folder: str | Path) -> dict[str, Any]:
    return json.loads(Path(folder, "table.json").read_text())


def test_candidates_are_ranked(workplace: Path, tangrid: Type):
    words = (*IMAGE, "--models", "siren,fourier-mlp", "--sweep", "sigma=1,32")
    outcome = tangrid(*words)
    assert outcome.code == 0, outcome.err
    head, _, *rows, following, report = outcome.out.splitlines()
    assert report == f"runs/{NAME}-prediction/report.html"
    assert head.split()[:2] == ["rank", "candidate"]
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert {"3/3 fourier-mlp sigma=32: starting"} <= set(outcome.err.splitlines())
    assert following.startswith("next: tangrid ")
    folder = Path(report).parent
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "environment.json", "table.json", "report.html",
    }  # fmt: skip
    assert table(folder)["is_finished"]
    assert "What is predicted and what is not" in Path(report).read_text()


def test_ctrl_c_keeps_what_is_done(
    workplace: Path, tangrid: Type, monkeypatch: pytest.MonkeyPatch
):
    words = (*IMAGE, "--models", "siren,fourier-mlp", "--out", "run")
    begin = StageLine.begin

    def begun(line: StageLine, number: int, count: int, label: str) -> None:
        begin(line, number, count, label)
        if number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(StageLine, "begin", begun)
        outcome = tangrid(*words)
    assert outcome.code == 130
    assert MESSAGES["interrupted"]["judging"].matches(outcome.message)
    before = table("run")
    assert [row["label"] for row in before["rows"]] == ["siren"]
    assert not before["is_finished"]
    outcome = tangrid(*words, "--resume")
    assert outcome.code == 0, outcome.err
    assert "1/2" not in outcome.err
    after = table("run")
    assert after["is_finished"]
    assert after["rows"][0]["windows"] == before["rows"][0]["windows"]


def test_what_fits_reached_is_put_beside(workplace: Path, tangrid: Type):
    models = ("--models", "siren,fourier-mlp")
    fits = ("compare", "image", f"{NAME}.png", *FIT, *models, "--out", "fits")
    assert tangrid(*fits).code == 0
    words = (*IMAGE, *models, "--out", "run", "--no-diagnostics")
    assert tangrid(*words, "--trained", "fits").code == 0
    found = json.loads(Path("run", "measured.json").read_text())
    reached = {row["label"]: row["score"] for row in found["rows"]}
    rows = json.loads(Path("fits", "table.json").read_text())["rows"]
    assert reached == {row["model"]: row["psnr_heldout"] for row in rows}
    assert found["score"] == "psnr_heldout"
    assert found["spearman"] in (-1.0, 1.0)
    gap = abs(reached["siren"] - reached["fourier-mlp"])
    assert found["regret"] == pytest.approx(gap if found["spearman"] < 0 else 0)
    assert "Predicted and measured" in Path("run", "report.html").read_text()
    # Fits of another size are none of these candidates.
    other = tangrid(*words, "--overwrite", "--params", "30000", "--trained", "fits")
    assert other.code == 2
    assert MESSAGES["predictions beside fits"]["none-of-these"].matches(other.message)


def test_a_shape(workplace: Path, tangrid: Type):
    words = ("predict", "sdf", "sphere", *FEW, "--params", "16000", "--points", "4096")
    outcome = tangrid(*words, "--models", "siren,fourier-mlp", "--threads", "1")
    assert outcome.code == 0, outcome.err
    assert "predicted error (box)" in outcome.out
    rows = table("runs/sphere-prediction")["rows"]
    assert all(0 < row["predicted_error"] < 1 for row in rows)
    assert "predicted_psnr" not in rows[0]


def predicted(*rows: dict[str, Any]) -> Predicted:
    return Predicted(table={"rows": list(rows), "quantity": "psnr"})


def row(rank: int, model: str, behind: float, **settings: str) -> dict[str, Any]:
    return {
        "label": model,
        "model": model,
        "rank": rank,
        "behind": behind,
        "behind_error": 0.5 if rank > 1 else 0.0,
        "settings": settings,
    }


WORDS = shlex.split(
    "tangrid predict image a.png --models a,b --sweep x=1:4 --holdout --windows=4 "
    "--lesson-steps 9 --steps 300 --out run --resume"
)


def test_what_is_told_apart_is_fitted_and_what_is_not_compared():
    near = predicted(row(1, "a", 0.0), row(2, "b", 0.9), row(3, "c", 1.1))
    expected = "tangrid compare image a.png --holdout --steps 300 --models a,b"
    assert next_command(WORDS, near) == expected
    far = predicted(row(1, "a", 0.0), row(2, "b", 1.1))
    expected = "tangrid fit image a.png --holdout --steps 300 --model a"
    assert next_command(WORDS, far) == expected
    swept = predicted(row(1, "a", 0.0, **{"field.x": "2"}), row(2, "b", 0.1))
    assert next_command(WORDS, swept) == f"{expected} --set field.x=2"


def test_grids_that_share_levels_are_trained_together():
    def grid(rank: int, model: str, levels: str, growth: float) -> dict[str, Any]:
        own = row(rank, model, 2.0 * rank, **{"field.encoding.num_levels": levels})
        return own | {"field": {"encoding": {"growth": growth}}}

    found = predicted(
        grid(1, "a", "4", 1.5) | {"behind": 0.0},
        row(2, "siren", 3.0),
        grid(3, "a", "8", 1.5),
        grid(4, "b", "4", 1.5),
        grid(5, "c", "4", 1.4),
    )
    rest = "image a.png --holdout --steps 300"
    fit = f"tangrid fit {rest} --model a --set field.encoding.num_levels=4"
    assert next_command(WORDS, found) == fit
    # Fitted alone, the first would not have the levels that it was ranked with.
    assert next_command([*WORDS, "--params", "20000"], found) == (
        f"tangrid compare {rest} --params 20000 --models a,b "
        "--set field.encoding.num_levels=4"
    )


def test_nothing_follows_where_nothing_is_ranked():
    nothing = {"label": "a", "model": "a", "rank": None, "settings": {}}
    assert next_command(WORDS, predicted(nothing)) is None
