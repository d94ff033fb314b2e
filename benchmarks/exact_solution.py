"""Time an exact solution against Adam's way to within 0.1 dB of it.

``python -m benchmarks.exact_solution PHOTO --json OUT`` solves a linear grid of a
million parameters on all pixels, the choice of the ridge included, and then trains the
same model with Adam, for ever more steps, until the PSNR of the training pixels is
within 0.1 dB. Each number of steps is a training of its own, with its own fall of the
rates; the time of the one that comes near counts.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import describe_machine
from tangrid.devices import available_threads, peak_memory_mb
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.fields.workers import Workers, predict
from tangrid.signals.image import ImageSignal
from tangrid.tasks import ImageRegression
from tangrid.training import FittedField, fit
from tangrid.training.settings import TrainingSettings

NEAR_DB = 0.1
STEPS = (25, 50, 100, 200, 400, 800, 1600, 3200)


def measure(
    path: str, model: str, params: int, threads: int, rate: float | None
) -> list[dict[str, Any]]:
    """Return one row for the exact solution and one per training.

    Args:
        path: The photograph.
        model: Name of a preset that is linear in what is trained.
        params: Trainable parameters.
        threads: Threads of both.
        rate: Adam's rate for all groups; None for the preset's.
    """
    source = ImageSource(path=path)
    signal = source.open()
    settings = TrainingSettings(
        optimizer="exact", threads=threads, batch_size=signal.num_pixels
    )
    plan = plan_fit(signal, source, model=model, params=params, training=settings)
    solved = _fitted(plan, signal)
    rows = [{"optimizer": "exact", **_numbers(plan, signal, solved)}]
    rows[0] |= dict(solved.solution or {})
    rates = dict.fromkeys(plan.training.rates, rate) if rate else plan.training.rates
    for steps in STEPS:
        training = dataclasses.replace(
            settings, optimizer="adam", steps=steps, rates=rates
        )
        trained = dataclasses.replace(plan, training=training)
        row = _numbers(trained, signal, _fitted(trained, signal))
        rows.append({"optimizer": "adam", "steps": steps, **row})
        sys.stderr.write(f"adam, {steps} steps: {row['psnr']:.2f} dB\n")
        if row["psnr"] > rows[0]["psnr"] - NEAR_DB:
            break
    return rows


def _task(plan: FitImage, signal: ImageSignal) -> ImageRegression:
    return ImageRegression(signal, batch_size=plan.training.batch_size)


def _fitted(plan: FitImage, signal: ImageSignal) -> FittedField:
    return fit(_task(plan, signal), plan.build(signal.site), plan.training)


def _numbers(plan: FitImage, signal: ImageSignal, done: FittedField) -> dict[str, Any]:
    indices = torch.arange(signal.num_pixels)
    coords, values = signal.pixel_coords(indices), signal.pixel_values(indices)
    with Workers(plan.training.threads) as workers:
        found = predict(workers, done.field, coords)
    error = float((found.clamp(0, 1) - values).double().square().mean())
    return {
        "psnr": -10 * math.log10(error),
        "seconds": done.progress.seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def main() -> None:
    """Measure, print the rows and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", help="picture file")
    parser.add_argument("--model", default="linear-grid")
    parser.add_argument("--params", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--rate", type=float, default=None)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    try:
        rows = measure(
            asked.photo, asked.model, asked.params, asked.threads, asked.rate
        )
    except TangridError as error:
        sys.exit(f"exact_solution: {error}")
    for row in rows:
        words = f"{row['optimizer']}, {row.get('steps', row.get('iterations'))} steps"
        sys.stdout.write(f"{words}: {row['psnr']:.2f} dB in {row['seconds']:.1f} s\n")
    if asked.json is not None:
        machine = describe_machine()
        asked.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
