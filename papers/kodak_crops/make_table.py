"""Turn the table.json of a comparison into Markdown: one row per image, one per mean.

``python papers/kodak_crops/make_table.py papers/kodak_crops/table.json``
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return PSNR by image and model, with the mean over images."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    signals = list(dict.fromkeys(row["signal"] for row in rows))
    psnr = {
        (signal, model): statistics.mean(
            row["psnr"]
            for row in rows
            if (row["signal"], row["model"]) == (signal, model)
        )
        for signal in signals
        for model in models
    }
    lines = [
        "| image | " + " | ".join(models) + " |",
        "|---" * (len(models) + 1) + "|",
    ]
    for signal in signals:
        values = [f"{psnr[signal, model]:.2f}" for model in models]
        lines.append(f"| {signal} | " + " | ".join(values) + " |")

    def mean(key: str, model: str) -> float:
        return statistics.mean(row[key] for row in rows if row["model"] == model)

    for key, title, form in (
        ("psnr", "mean PSNR", ".2f"),
        ("ssim", "mean SSIM", ".4f"),
        ("params_trainable", "parameters", ".0f"),
        ("seconds", "seconds", ".0f"),
    ):
        values = [format(mean(key, model), form) for model in models]
        lines.append(f"| **{title}** | " + " | ".join(values) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown(json.loads(Path(sys.argv[1]).read_text())["rows"]) + "\n")
