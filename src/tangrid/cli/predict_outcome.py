"""Predict in a folder, show how it goes, and print the ranking and what to do next."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tangrid.cli.flags import OutputFlags, device_named
from tangrid.cli.outcome import aligned
from tangrid.experiments.keeping import keeping
from tangrid.experiments.predict_measured import MEASURED, measured_in
from tangrid.experiments.predict_plan import PredictionPlan
from tangrid.experiments.predict_signal import Predicted, run_prediction
from tangrid.progress import StageLine
from tangrid.reports.measures import MISSING, is_number
from tangrid.reports.prediction_report import write_prediction_report
from tangrid.runs.prediction_record import read_prediction, why_unranked

_OWN_SWITCHES = ("--no-diagnostics", "--overwrite", "--resume")
_OWN_FLAGS = (
    "--models", "--sweep", "--windows", "--window-points", "--lesson-steps",
    "--trained", "--out",
)  # fmt: skip
"""Flags that fits and comparisons do not have, or that are said anew."""
_MOST_COMPARED = 4
_NAMES = {"psnr": "predicted PSNR (dB)", "distance": "predicted error (box)"}


def keep_prediction(
    plan: PredictionPlan[Any],
    output: OutputFlags,
    command: Sequence[str],
    *,
    device: str,
    trained: str | None,
) -> None:
    """Look at every candidate, write the report, and print the ranking.

    Args:
        plan: All candidates.
        output: Where everything goes.
        command: The whole command, for the record.
        device: Name of what computes.
        trained: Folder of fits of the candidates, if there are any.
    """
    path = output.out or f"runs/{plan.signal['name']}-prediction"
    kind = {"overwrite": output.overwrite, "resume": output.resume}
    predicted = None
    with keeping(path, plan.experiment, **kind) as kept, StageLine() as line:
        for predicted in run_prediction(  # noqa: B007
            plan,
            kept.folder,
            resume=kept.resume,
            device=device_named(device),
            command=command,
            on_candidate=line.begin,
            on_stage=line.stage,
        ):
            pass
    assert predicted is not None
    if trained is not None:
        found = measured_in(trained, plan, predicted.rows)
        kept.folder.write_json(MEASURED, found)
    report = write_prediction_report(kept.folder.path)
    measured = read_prediction(kept.folder.path).measured
    for text in (*ranking_lines(predicted), *_agreement(measured)):
        print(text)
    step = next_command(command, predicted)
    if step:
        print(f"next: {step}")
    print(report)


def _agreement(found: Mapping[str, Any]) -> list[str]:
    """Return how the order agrees with what fits reached, if any are known."""
    count = len(found.get("rows") or ())
    if not count:
        return []
    if not is_number(found.get("spearman")):
        return [f"measured: {count} of the candidates, too few for a rank correlation"]
    correlation, regret = found["spearman"], found["regret"]
    line = (
        f"measured: {count} candidates, rank correlation {correlation:.2f}, "
        f"{regret:.2f} dB lost by choosing the first"
    )
    return [line]


def ranking_lines(predicted: Predicted) -> list[str]:
    """Return the ranking as lines of text.

    Args:
        predicted: What is predicted.
    """
    quantity = predicted.table["quantity"]
    own = "alone" if quantity == "psnr" else "alone (box)"
    head = (
        "rank", "candidate", _NAMES[quantity], "±", "behind (dB)", "±", own,
        "parameters", "seconds",
    )  # fmt: skip
    rows = [_line(row, quantity) for row in predicted.rows]
    failed = [
        f"{row['label']}: {why_unranked(row)}"
        for row in predicted.rows
        if row["rank"] is None
    ]
    return [*aligned([list(head), [], *rows], len(head) - 2), *failed]


def _line(row: Mapping[str, Any], quantity: str) -> list[str]:
    is_psnr = quantity == "psnr"
    name, form = ("psnr", ".2f") if is_psnr else ("error", ".3g")
    keys = (
        (f"predicted_{name}", form),
        (f"predicted_{name}_error", form),
        ("behind", ".2f"),
        ("behind_error", ".2f"),
        (f"initial_{name}", form),
        ("params_trainable", ",d"),
    )
    place = MISSING if row["rank"] is None else str(row["rank"])
    numbers = [_number(row.get(key), text) for key, text in keys]
    seconds = _number((row.get("seconds") or {}).get("total"), ".1f")
    return [place, row["label"], *numbers, seconds]


def _number(value: object, form: str) -> str:
    return format(value, form) if is_number(value) else MISSING


def next_command(command: Sequence[str], predicted: Predicted) -> str | None:
    """Return the command that trains what the prediction leaves to choose from.

    Candidates whose distance to the best is below twice its error are not told apart;
    several of them that need no settings of their own are compared, else the best one
    is fitted. Grids that a budget made share levels are compared with all that share
    them: alone, each would have levels of its own.

    Args:
        command: The whole command of the prediction.
        predicted: What is predicted.
    """
    best = predicted.best
    if best is None or len(command) < 4:
        return None
    close = [
        row
        for row in predicted.rows
        if row["rank"] is not None and row["behind"] <= 2 * row["behind_error"]
    ][:_MOST_COMPARED]
    rest = _without_own(command[3:])
    if len(close) == 1 or any(row["settings"] for row in close):
        close = [best]
    trained = _with_sharing(close, predicted.rows) if _has_budget(rest) else close
    settings = [
        word
        for path, text in best["settings"].items()
        for word in ("--set", f"{path}={text}")
    ]
    models = ",".join(row["model"] for row in trained)
    if len(trained) == 1:
        own = ["--model", models, *settings]
        return shlex.join(["tangrid", "fit", command[2], *rest, *own])
    own = ["--models", models, *settings]
    return shlex.join(["tangrid", "compare", command[2], *rest, *own])


def _has_budget(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--params" for word in words)


def _with_sharing(
    close: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Return candidates and all grids whose levels they share."""
    growths = {_growth(row) for row in close} - {None}
    settings = close[0]["settings"]
    sharing = [
        row
        for row in rows
        if row not in close and _growth(row) in growths and row["settings"] == settings
    ]
    return [*close, *sharing]


def _growth(row: Mapping[str, Any]) -> float | None:
    encoding = (row.get("field") or {}).get("encoding")
    return encoding.get("growth") if isinstance(encoding, Mapping) else None


def _without_own(words: Sequence[str]) -> list[str]:
    """Return the words of a command without those that only predictions know."""
    kept = []
    is_value = False
    for word in words:
        name, _, value = word.partition("=")
        name = name.replace("_", "-")
        if is_value:
            is_value = False
        elif name in _OWN_FLAGS:
            is_value = not value
        elif name not in _OWN_SWITCHES:
            kept.append(word)
    return kept
