"""Time one training step of models of images at equal parameters.

``python -m benchmarks.image_models --json OUT`` sizes each model to 140 000 trainable
parameters and lets them take turns on all pixels of a 256 x 256 crop of an installed
photograph, which is what the image table's fits do.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.timing import describe_machine, take_turns
from benchmarks.training_step import package_step
from tangrid.devices import available_threads
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import ImageSource, plan_fit
from tangrid.fields.workers import Workers
from tangrid.signals.image import ImageSignal
from tangrid.tasks import ImageRegression
from tangrid.training.settings import TrainingSettings

MODELS = (
    "instant-ngp", "instant-ngp-sine", "neurbf",
    "mulfagrid", "mulfagrid-16", "mulfagrid-nodes",
)  # fmt: skip
PARAMS = 140_000


def measure(models: tuple[str, ...], turns: int, threads: int) -> list[dict[str, Any]]:
    """Return one row per model.

    Args:
        models: Names of presets.
        turns: Timed steps of each.
        threads: Threads of each.
    """
    source = ImageSource(path="astronaut", crop="256")
    signal: ImageSignal = source.open()
    task = ImageRegression(signal, batch_size=signal.num_pixels)
    contestants = {}
    with Workers(threads) as workers:
        for model in models:
            plan = plan_fit(
                signal, source, model=model, params=PARAMS, training=TrainingSettings()
            )
            field = plan.build(signal.site)
            contestants[model] = package_step(task, field, workers, plan.training)
        timings = take_turns(contestants, turns=turns, warm_ups=3)
    return [timing.row(signal.num_pixels) for timing in timings]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, beside the first.

    Args:
        rows: From `measure`.
    """
    first = rows[0]["median_ms"]
    lines = ["| model | median ms | fastest ms | x first |", "|---|---|---|---|"]
    lines += [
        f"| {row['contestant']} | {row['median_ms']:.1f} | {row['fastest_ms']:.1f} "
        f"| {row['median_ms'] / first:.2f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it with the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--models", default=",".join(MODELS))
    arguments = parser.parse_args()
    models = tuple(arguments.models.split(","))
    rows = measure(models, arguments.turns, arguments.threads)
    sys.stdout.write(table(rows) + "\n")
    if arguments.json is not None:
        machine = describe_machine()
        record = {"machine": machine, "threads": arguments.threads, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
