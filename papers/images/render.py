"""A table of results as Markdown and CSV."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from papers.images.fill import Rows
from papers.images.plan import Budget, Published, Row

_CSV = (
    "model", "signal", "seed", "psnr", "psnr_8bit", "ssim", "mae", "psnr_trained",
    "psnr_heldout", "params_trainable", "params_stored", "steps", "seconds",
    "peak_memory_mb", "device", "dtype", "commit", "digest",
)  # fmt: skip

_NOTES = (
    "Where a model has several seeds, scores are means over them, and behind the mean "
    "stands the standard deviation from seed to seed of the mean over images. Seeds "
    "without all images count only where there is no other, and have no mean. Seconds "
    "and memory are those of whole fits; seconds vary with what else the machine did, "
    "and steps are compared side by side by `python -m benchmarks.image_models`."
)


def to_csv(rows: Rows) -> str:
    """Return every row with its plain numbers.

    Args:
        rows: What is there.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _CSV, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    return text.getvalue()


def markdown(
    budget: Budget,
    models: Sequence[Row],
    rows: Rows,
    published: Sequence[Published] = (),
) -> str:
    """Return the table: one line per model, one column per image.

    A model shows its means over the seeds that have every image; behind the mean over
    images stands the standard deviation of that mean from seed to seed. A model without
    such a seed shows the one that has most, and no mean.

    Args:
        budget: Images, parameters, steps.
        models: The table's rows.
        rows: Results.
        published: Numbers of papers, with the reason why they are comparable or not.
    """
    images = [Path(image).stem for image in budget.images]
    measured = ("mean", "SSIM", "trainable", "stored", "seconds", "MB", "seeds")
    heads = ["model", *images, *measured]
    lines = [
        budget.about,
        "",
        _line(heads),
        "|---" * len(heads) + "|",
    ]
    group = ""
    for model in models:
        own = [row for (name, _, _), row in rows.items() if name == model.name]
        if not own:
            continue
        if model.group != group:
            group = model.group
            lines.append(_line([f"*{group}*", *[""] * (len(heads) - 1)]))
        lines.append(_line(_entries(model, own, images, budget.score)))
    lines += ["", _machines(rows), _NOTES]
    if published:
        lines += ["", *_published(published)]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _entries(
    model: Row, own: list[dict[str, Any]], images: list[str], score: str
) -> list[str]:
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for row in own:
        if row["signal"] in images:
            found.setdefault(row["seed"], {})[row["signal"]] = row
    complete = [rows for rows in found.values() if len(rows) == len(images)]
    shown = complete or [max(found.values(), key=len)]
    used = [row for rows in shown for row in rows.values()]
    means = [fmean(row[score] for row in rows.values()) for rows in complete]
    spread = f" ± {stdev(means):.2f}" if len(means) > 1 else ""
    return [
        model.title,
        *(
            _mean([r for r in used if r["signal"] == image], score, ".2f")
            for image in images
        ),
        f"**{fmean(means):.2f}**{spread}" if means else "-",
        _mean(used, "ssim", ".4f") if means else "-",
        _mean(used, "params_trainable", ",.0f"),
        _mean(used, "params_stored", ",.0f"),
        _mean(used, "seconds", ".0f"),
        _mean(used, "peak_memory_mb", ",.0f"),
        str(len(shown)),
    ]


def _mean(rows: Sequence[dict[str, Any]], key: str, form: str) -> str:
    """Return the mean of a number over rows; a dash where there is none."""
    numbers = [row[key] for row in rows]
    if not numbers or None in numbers:
        return "-"
    return format(fmean(numbers), form)


def _machines(rows: Rows) -> str:
    commits: dict[str, set[str]] = {}
    for row in rows.values():
        machine = f"{row['machine']['cpu']}, {row['machine']['cores_usable']} cores"
        known = [row["commit"][:8]] if row["commit"] else []
        commits.setdefault(machine, set()).update(known)
    found = [
        ", ".join([machine, *(f"at commit {commit}" for commit in sorted(known))])
        for machine, known in sorted(commits.items())
    ]
    return "Made on " + "; ".join(found) + "." if found else ""


def _published(published: Sequence[Published]) -> list[str]:
    heads = ["published", "data", "PSNR", "parameters", "steps", "comparable?"]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for entry in published:
        model = f"{entry.model} ({entry.source})"
        lines.append(
            _line([
                model,
                entry.data,
                f"{entry.psnr:.2f}",
                entry.params,
                entry.steps,
                entry.comparable,
            ])
        )
    return lines
