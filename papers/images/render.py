"""A table of results as Markdown and CSV."""

import csv
import io
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from papers.images.fill import Rows
from papers.images.plan import Budget, Published, Row

_CSV = (
    "model", "signal", "seed", "psnr", "psnr_8bit", "ssim", "mae", "psnr_trained",
    "psnr_heldout", "params_trainable", "params_stored", "steps", "seconds",
    "peak_memory_mb", "device", "dtype", "commit", "digest",
)  # fmt: skip

_SECONDS = (
    "Seconds are those of whole fits, and vary with what else the machine did; steps "
    "are compared on an idle one by `python -m benchmarks.image_models`."
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

    A model with several seeds shows the mean over them; behind the mean over images
    stands the standard deviation of that mean from seed to seed.

    Args:
        budget: Images, parameters, steps.
        models: The table's rows.
        rows: Results.
        published: Numbers of papers, with the reason why they are comparable or not.
    """
    images = list(dict.fromkeys(image for _, image, _ in rows))
    score = "psnr_heldout" if budget.holdout else "psnr"
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
        lines.append(_line(_entries(model, own, images, score)))
    lines += ["", _machines(rows), _SECONDS]
    if published:
        lines += ["", *_published(published)]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entries) + " |"


def _entries(
    model: Row, own: list[dict[str, Any]], images: list[str], score: str
) -> list[str]:
    by_image = [[row for row in own if row["signal"] == image] for image in images]
    scores = [
        f"{fmean(row[score] for row in found):.2f}" if found else "-"
        for found in by_image
    ]
    seeds = sorted({row["seed"] for row in own})
    complete = [
        seed
        for seed in seeds
        if all(any(row["seed"] == seed for row in found) for found in by_image)
    ]
    means = [
        fmean(row[score] for row in own if row["seed"] == seed) for seed in complete
    ]
    mean = "-"
    if means:
        spread = f" ± {stdev(means):.2f}" if len(means) > 1 else ""
        mean = f"**{fmean(means):.2f}**{spread}"

    def average(key: str) -> float:
        return fmean(row[key] or 0 for row in own)

    return [
        model.title,
        *scores,
        mean,
        f"{average('ssim'):.4f}",
        f"{average('params_trainable'):,.0f}",
        f"{average('params_stored'):,.0f}",
        f"{average('seconds'):.0f}",
        f"{average('peak_memory_mb'):,.0f}",
        str(len(complete) or len(seeds)),
    ]


def _machines(rows: Rows) -> str:
    found = sorted({
        f"{row['machine']['cpu']}, {row['machine']['cores_usable']} cores, at "
        f"commit {str(row['commit'])[:8]}"
        for row in rows.values()
    })
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
