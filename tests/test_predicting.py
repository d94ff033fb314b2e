"""Predictions from Python give what the command line gives, and refuse what it does."""

from pathlib import Path
from typing import Any

import pytest

import tangrid as tg
from tests.experiments.small_experiments import image
from tests.experiments.small_shapes import shape

QUICK: dict[str, Any] = {
    "models": ["siren", "fourier-mlp"],
    "params": 16_000,
    "windows": 2,
    "window_points": 16,
    "lesson_steps": 4,
    "progress": False,
}


def test_the_best_comes_first_and_everything_is_kept(tmp_path: Path):
    found = tg.predict(image(side=32), **QUICK, out=tmp_path / "run", holdout=True)
    assert found.best is not None
    assert found.best["rank"] == 1
    assert [row["rank"] for row in found.rows] == [1, 2]
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"config.json", "environment.json", "report.html", "table.json"}
    again = tg.predict(
        image(side=32), **QUICK, out=tmp_path / "run", holdout=True, resume=True
    )
    numbers = [row["predicted_psnr"] for row in again.rows]
    assert numbers == [row["predicted_psnr"] for row in found.rows]


def test_untouched_kernels_alone():
    asked = QUICK | {"lesson_steps": 0, "models": "siren"}
    row = tg.predict(image(side=32), **asked).rows[0]
    assert row["lesson_psnr"] is None
    assert row["predicted_psnr"] == pytest.approx(row["initial_psnr"])


@pytest.mark.parametrize(
    ("signal", "changes", "message"),
    [
        ("a photo", {}, "expected an ImageSignal or a MeshSignal, got str"),
        (image(side=32), {"resume": True}, "expected a folder to apply it to"),
        (shape(), {"holdout": True}, "got a mesh"),
    ],
    ids=["text", "no-folder", "mesh"],
)
def test_wrong_wishes(signal: Any, changes: dict[str, Any], message: str):
    with pytest.raises(tg.ConfigError, match=message):
        tg.predict(signal, **QUICK, **changes)
