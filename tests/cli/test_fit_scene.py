"""``tangrid fit scene`` judges views by LPIPS where a file of weights is named."""

import json
from pathlib import Path

import pytest
import torch

from tangrid.experiments.demo_scene import demo_scene
from tests.cli.conftest import SMALL, Type
from tests.cli.messages import MESSAGES
from tests.experiments.small_scenes import SETTINGS
from tests.metrics.lpips_weights import save_seeded, zeros
from tests.signals.scene_files import save_blender

QUICK = (
    *SMALL, "--batch-size", "2048",
    *(word for path, text in SETTINGS.items() for word in ("--set", f"{path}={text}")),
)  # fmt: skip


@pytest.fixture
def toy(workplace: Path) -> Path:
    scene = demo_scene(size=31, train_views=4, test_views=2)
    return save_blender(workplace / "toy", scene)


def test_lpips_reaches_record_words_and_report(
    toy: Path, workplace: Path, tangrid: Type
):
    save_seeded(workplace / "alex.pt")
    command = ("fit", "scene", "toy", *QUICK, "--out", "run")
    outcome = tangrid(*command, "--lpips", "alex.pt")
    assert outcome.code == 0, outcome.err
    metrics = json.loads((workplace / "run" / "metrics.json").read_text())
    assert metrics["lpips"] > 0
    assert metrics["protocol"]["lpips"]["file"] == "alex.pt"
    assert f"LPIPS {metrics['lpips']:.4f}" in outcome.out
    told = "LPIPS: version 0.1, alex, weights of alex.pt"
    assert told in outcome.out
    assert told in (workplace / "run" / "report.html").read_text()
    config = (workplace / "run" / "config.json").read_text()
    assert "lpips" not in config, "expected what decides the fit, and no more"
    torch.save(zeros("alex"), workplace / "other.pt")
    for case in MESSAGES["judged otherwise"].values():
        again = tangrid(*case.command.split(), *QUICK)
        assert case.matches(again.message), again.err
        assert again.code == 2
    assert json.loads((workplace / "run" / "metrics.json").read_text()) == metrics
    assert tangrid(*command, "--lpips", "alex.pt", "--resume").code == 0


def test_several_seeds_are_judged_by_lpips(toy: Path, workplace: Path, tangrid: Type):
    save_seeded(workplace / "alex.pt")
    words = ("fit", "scene", "toy", *QUICK, "--seeds", "2", "--lpips", "alex.pt")
    outcome = tangrid(*words, "--out", "seeds")
    assert outcome.code == 0, outcome.err
    rows = json.loads((workplace / "seeds" / "table.json").read_text())["rows"]
    assert [row["lpips"] > 0 for row in rows] == [True, True]
    assert "LPIPS" in outcome.out.splitlines()[0]
    assert outcome.out.count("LPIPS: version 0.1, alex, weights of alex.pt") == 1
