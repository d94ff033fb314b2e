"""What candidates reached once they were trained, beside what was predicted of them.

Fits are found by what they are, not by their names: the same signal, the same held-out
rule and the same settings of the field. An image is known by its name, its part and its
size, a mesh by its triangles; the points that are drawn of a mesh follow from the
recipe, which may differ.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import spearmanr

from tangrid.errors import ConfigError
from tangrid.experiments.predict_plan import PredictionPlan
from tangrid.experiments.predict_table import Row
from tangrid.runs.codec import to_plain
from tangrid.runs.record import RunRecord, read_run

MEASURED = "measured.json"

_SAME = (
    "kind", "model", "field", "num_channels", "resolution", "holdout", "heldout_share",
    "digest", "frame",
)  # fmt: skip
"""What of a fit's settings must be what was predicted; seed and recipe may differ."""
_SAME_OF_SIGNAL = ("name", "colour", "crop", "downscale")
_SCORES = {"psnr": ("psnr_heldout", "psnr"), "distance": ("sdf_error",)}
"""What fits are judged by; the first that they have counts."""
_CURVE_POINTS = 200


def check_trained(path: str | Path) -> None:
    """Refuse a path that is no folder, before anything is computed.

    Args:
        path: Where fits should be.

    Raises:
        ConfigError: If it is none.
    """
    if not Path(path).expanduser().is_dir():
        raise ConfigError(
            f"--trained {path}: expected the folder of a comparison or of fits, got "
            "no folder. Name the one that `tangrid compare` wrote."
        )


def measured_in(
    path: str | Path, plan: PredictionPlan[Any], rows: Sequence[Row]
) -> dict[str, Any]:
    """Return what fits in a folder reached, as ``measured.json`` has it.

    Args:
        path: Folder of a comparison, of a fit, or of several.
        plan: The candidates.
        rows: What is predicted of them.

    Raises:
        ConfigError: If there is no fit of a candidate.
    """
    check_trained(path)
    wanted = {
        planned.label: _identity(to_plain(planned.fits[0]))
        for planned in plan.candidates
    }
    found: dict[str, list[RunRecord]] = {label: [] for label in wanted}
    folder = Path(path).expanduser()
    for file in sorted(folder.rglob("metrics.json")):
        if not file.with_name("config.json").is_file():
            continue
        run = read_run(file.parent)
        identity = _identity(run.config)
        for label, own in wanted.items():
            if identity == own:
                found[label].append(run)
    score = _score_of(plan.quantity, [run for runs in found.values() for run in runs])
    if score is None:
        raise ConfigError(
            f"--trained {path}: expected finished fits of these candidates to this "
            "signal, got none. Train them with the same signal, budget and settings; "
            "the line `next:` of a prediction says how."
        )
    measured = [
        _measured_row(label, runs, score) for label, runs in found.items() if runs
    ]
    return {
        "folder": str(path),
        "score": score,
        "rows": measured,
        "missing": [label for label, runs in found.items() if not runs],
        **_agreement(rows, measured, score),
    }


def _identity(config: Mapping[str, Any]) -> dict[str, Any]:
    signal = config.get("signal")
    own = signal if isinstance(signal, Mapping) else {}
    return {
        **{name: config.get(name) for name in _SAME},
        **{f"signal.{name}": own.get(name) for name in _SAME_OF_SIGNAL},
    }


def _score_of(quantity: str, runs: Sequence[RunRecord]) -> str | None:
    for score in _SCORES[quantity]:
        if any(run.metrics.get(score) is not None for run in runs):
            return score
    return None


def _measured_row(label: str, runs: Sequence[RunRecord], score: str) -> Row:
    having = [run for run in runs if run.metrics.get(score) is not None]
    scores = [float(run.metrics[score]) for run in having]
    return {
        "label": label,
        "score": fmean(scores) if scores else None,
        "by_seed": scores,
        "seeds": [run.metrics.get("seed") for run in having],
        "steps": [run.metrics.get("steps") for run in having],
        "seconds": [run.metrics.get("seconds") for run in having],
        "curve": _curve(runs[0]),
    }


def _curve(run: RunRecord) -> dict[str, list[float]]:
    """Return the training curve of a fit, thinned out from its end."""
    quantity = "psnr" if any("psnr" in line for line in run.curve) else "loss"
    lines = [
        line
        for line in run.curve
        if line.get("step") is not None and line.get(quantity) is not None
    ]
    stride = max(1, math.ceil(len(lines) / _CURVE_POINTS))
    kept = lines[::-1][::stride][::-1]
    return {
        "steps": [line["step"] for line in kept],
        quantity: [line[quantity] for line in kept],
    }


def _agreement(
    rows: Sequence[Row], measured: Sequence[Row], score: str
) -> dict[str, Any]:
    """Return how well the order agrees, and what choosing by it cost, in dB."""
    reached = {
        row["label"]: _decibels(row["score"], score)
        for row in measured
        if row["score"] is not None
    }
    places = {
        row["label"]: -row["rank"]
        for row in rows
        if row.get("rank") is not None and row["label"] in reached
    }
    untouched = {row["label"]: -row["initial_rank"] for row in rows if row.get("rank")}
    labels = list(places)
    if not labels:
        return {"spearman": None, "spearman_initial": None, "regret": None}
    truth = [reached[label] for label in labels]
    chosen = max(labels, key=lambda label: places[label])
    return {
        "spearman": rank_correlation([places[label] for label in labels], truth),
        "spearman_initial": rank_correlation([untouched[it] for it in labels], truth),
        "regret": max(truth) - reached[chosen],
    }


def _decibels(value: float, score: str) -> float:
    if score.startswith("psnr"):
        return value
    return -20 * math.log10(max(value, 1e-15))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation; None where either does not vary.

    Args:
        first: Numbers.
        second: As many others.

    Example:
        >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
        0.5
    """
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    # Rounding makes 0.9999999999999999 of equal orders.
    found: Any = spearmanr(first, second)
    return round(float(found.statistic), 12)
