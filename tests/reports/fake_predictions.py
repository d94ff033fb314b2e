"""Folders of predictions whose numbers are made up."""

from pathlib import Path
from typing import Any

from tangrid.runs.store import RunFolder

STEPS = [0, 1, 10, 100, 1000]


def row(label: str, rank: int, level: float, unit: str = "psnr") -> dict[str, Any]:
    def shown(psnr: float) -> float:
        return psnr if unit == "psnr" else 10 ** (-psnr / 20)

    return {
        "label": label,
        "model": label.split(maxsplit=1)[0],
        "settings": {},
        "seeds": [0],
        "params_trainable": 20_000,
        f"plain_{unit}": shown(level - 3),
        f"initial_{unit}": shown(level - 2),
        f"kernel_{unit}": shown(level + 1),
        f"lesson_{unit}": shown(level - 1),
        f"predicted_{unit}": shown(level),
        f"predicted_{unit}_error": 1.25 if unit == "psnr" else shown(level) / 9,
        "behind": 2.0 * (rank - 1),
        "behind_error": 0.25 * (rank - 1),
        "rank": rank,
        "initial_rank": rank,
        "lesson_steps": 100 * rank,
        "seconds": {"total": 1.5},
        "diagnostics": {
            "points": 256,
            "summary": {
                "effective_rank": 40.5,
                "largest": 12.0,
                "smallest": 1e-17,
                "smallest_is_resolved": False,
                "alignment": 0.3,
            },
            "bound": {"raw": 1.9, "trace_normalised": 0.7, "finite_time": None},
            "ridges": {
                "share": [1e-6, 1e-3, 1.0],
                "leave_one_out_mse": [0.02, 0.01, 0.03],
                "cross_validation_mse": [None, 0.011, 0.03],
            },
            "spectrum": {
                "frequency": [0.0, 1.0, 2.0],
                "rayleigh": [0.5, 0.2, 0.1],
                "high_share": 0.125,
            },
        },
        "curve": {
            "steps": STEPS,
            "train_mse": [0.1, 0.05, 0.01, 1e-3, 0.0],
            "test_mse": [0.1, 0.06, 0.02, 5e-3, None],
        },
    }


FAILED = {"label": "wild", "model": "wild", "rank": None, "failed": "it diverged"}


def save_prediction(
    path: Path,
    *,
    unit: str = "psnr",
    rows: list[dict[str, Any]] | None = None,
    is_finished: bool = True,
) -> Path:
    folder = RunFolder.create(path)
    named = "siren", "fourier-mlp sigma=8", "<b>odd</b>"
    made = [row(name, k + 1, 30 - 2 * k, unit) for k, name in enumerate(named)]
    kind = "predict-image" if unit == "psnr" else "predict-sdf"
    folder.write_json(
        "config.json",
        {
            "kind": kind,
            "seeds": [0],
            "training": {"steps": 300},
            "look": {"windows": 16, "points": 128, "lesson_steps": None},
        },
    )
    folder.write_json("environment.json", {"command": ["tangrid", "predict", "image"]})
    found = [*made, FAILED] if rows is None else rows
    folder.write_json(
        "table.json",
        {
            "is_finished": is_finished,
            "quantity": "psnr" if unit == "psnr" else "distance",
            "weights": {"initial": 0.2, "kernel": 0.2, "lesson": 0.6},
            "signal": {"name": "photo"},
            "candidates": [each["label"] for each in found],
            "rows": found,
        },
    )
    return folder.path


def save_measured(path: Path) -> None:
    curve = {"steps": [1, 100, 300], "psnr": [12.0, 25.0, 31.0]}
    RunFolder(path).write_json(
        "measured.json",
        {
            "score": "psnr_heldout",
            "rows": [
                {"label": "siren", "score": 29.0, "curve": curve},
                {"label": "<b>odd</b>", "score": 27.5, "curve": curve},
            ],
            "missing": ["fourier-mlp sigma=8"],
            "spearman": 1.0,
            "spearman_initial": 0.5,
            "regret": 0.25,
        },
    )
