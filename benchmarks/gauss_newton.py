"""Time Adam and Gauss-Newton steps to given PSNRs, from the same start.

``python -m benchmarks.gauss_newton --json OUT`` fits two crops with a grid and with a
network, some minutes in all; ``--page docs/images.md`` puts the table there, too. How
soon Adam is somewhere depends on how long it means to train, as its rates fall along a
cosine to the end of that: it is run with several lengths, and at every PSNR the best of
them counts. Both train on all pixels, and take turns. PSNRs are those of the training
loss; times are those of training alone, without compilation.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.timing import describe_machine
from tangrid.cli.flags import names_in
from tangrid.devices import available_threads
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import FitImage, ImageSource, plan_fit
from tangrid.signals.image import ImageSignal
from tangrid.tasks import ImageRegression
from tangrid.training import Moment, TrainingSettings, fit

PICTURES = ("astronaut", "coffee")
MODELS = ("instant-ngp-sine", "siren")
TARGETS = (20.0, 25.0, 30.0, 35.0, 40.0, 45.0)
BEGIN, END = "<!-- gauss-newton: begin -->", "<!-- gauss-newton: end -->"

Curve = list[tuple[float, float]]
"""Seconds of training and the PSNR of the field by then."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured of every picture and model.

    Attributes:
        crop: Side of the square in the middle, in pixels.
        params: Budget of trainable parameters.
        adam_steps: Lengths of Adam's fits.
        seconds: Time of a fit with Gauss-Newton steps.
        turns: Fits of every kind.
        threads: Threads of each.
    """

    crop: str
    params: int
    adam_steps: Sequence[int]
    seconds: float
    turns: int
    threads: int


def curve_of(plan: FitImage, signal: ImageSignal, training: TrainingSettings) -> Curve:
    """Return how a fit comes along.

    Args:
        plan: Model and start.
        signal: The image.
        training: How, and for how long.
    """
    task = ImageRegression(signal, batch_size=signal.num_pixels)
    moments: list[Moment] = []
    fit(task, plan.build(signal.site), training, on_step=moments.append)
    # A step's loss is that of the field before it.
    starts = [0.0, *(moment.seconds for moment in moments)]
    return [(s, m.psnr) for s, m in zip(starts, moments, strict=False) if m.psnr]


def time_to(curve: Curve, target: float) -> float | None:
    """Return when a PSNR was reached first, in seconds; None if never.

    Args:
        curve: How the fit came along.
        target: The PSNR, in dB.
    """
    return next((seconds for seconds, psnr in curve if psnr >= target), None)


def measured(picture: str, model: str, plan: Plan) -> dict[str, list[Curve]]:
    """Return how all fits of one picture with one model come along, by their kind.

    Args:
        picture: File, or name of an installed photograph.
        model: Name of a preset or an encoding.
        plan: What is measured.
    """
    source = ImageSource(path=picture, crop=plan.crop)
    signal = source.open()
    usual = TrainingSettings(batch_size=signal.num_pixels, threads=plan.threads)
    planned = plan_fit(signal, source, model=model, params=plan.params, training=usual)
    kinds = {
        f"adam {steps}": dataclasses.replace(planned.training, steps=steps)
        for steps in plan.adam_steps
    }
    kinds["gauss-newton"] = dataclasses.replace(
        planned.training,
        steps=None,
        minutes=plan.seconds / 60,
        optimizer="gauss-newton",
    )
    curves: dict[str, list[Curve]] = {name: [] for name in kinds}
    for turn in range(plan.turns):
        for name, training in kinds.items():
            curve = curve_of(planned, signal, training)
            curves[name].append(curve)
            seconds, psnr = curve[-1]
            sys.stderr.write(
                f"{picture} {model} {name}, turn {turn + 1}: {psnr:.2f} dB after "
                f"{seconds:.1f} s\n"
            )
    return curves


def rows_of(curves: Mapping[str, Sequence[Curve]]) -> list[dict[str, Any]]:
    """Return one row per PSNR that either optimiser has reached.

    Args:
        curves: From `measured`.
    """
    rows = []
    for target in TARGETS:
        times = {name: _median(found, target) for name, found in curves.items()}
        newton = times.pop("gauss-newton")
        reached = {name: time for name, time in times.items() if time is not None}
        if newton is None and not reached:
            continue
        best = min(reached, key=lambda name: reached[name], default=None)
        rows.append({
            "psnr": target,
            "adam_seconds": None if best is None else reached[best],
            "adam_steps": None if best is None else int(best.split()[1]),
            "gauss_newton_seconds": newton,
        })
    return rows


def _median(curves: Sequence[Curve], target: float) -> float | None:
    times = [time_to(curve, target) for curve in curves]
    reached = [time for time in times if time is not None]
    return statistics.median(reached) if len(reached) == len(times) else None


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table.

    Args:
        rows: From `rows_of`, with the picture and the model of each.
    """
    lines = [
        "| picture | model | dB | Adam, s (fit of) | Gauss-Newton, s | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        adam, newton = row["adam_seconds"], row["gauss_newton_seconds"]
        told = (
            "not reached" if adam is None else f"{adam:.2f} ({row['adam_steps']} steps)"
        )
        other = "not reached" if newton is None else f"{newton:.2f}"
        ratio = f"{adam / newton:.2f}" if adam is not None and newton else ""
        lines.append(
            f"| {row['picture']} | `{row['model']}` | {row['psnr']:g} | {told} "
            f"| {other} | {ratio} |"
        )
    return "\n".join(lines)


def write_into(page: Path, text: str) -> None:
    """Put a text between the two marks of a page.

    Args:
        page: The page.
        text: What comes between them.
    """
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> None:
    """Measure, print the table, write it with the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="*", default=PICTURES)
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--page", type=Path, help="page that the table is put into")
    parser.add_argument("--models", type=names_in, default=MODELS)
    parser.add_argument("--crop", default="96")
    parser.add_argument("--params", type=int, default=20_000)
    parser.add_argument("--adam-steps", type=names_in, default="50,100,200,400,800")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--threads", type=int, default=available_threads())
    asked = parser.parse_args()
    plan = Plan(
        crop=asked.crop,
        params=asked.params,
        adam_steps=[int(steps) for steps in asked.adam_steps],
        seconds=asked.seconds,
        turns=asked.turns,
        threads=asked.threads,
    )
    rows: list[dict[str, Any]] = []
    ends: list[dict[str, Any]] = []
    for picture, model in product(asked.pictures, asked.models):
        names = {"picture": picture, "model": model}
        curves = measured(picture, model, plan)
        rows += [{**names, **row} for row in rows_of(curves)]
        for kind, found in curves.items():
            ends.append({**names, "kind": kind, "ends": [curve[-1] for curve in found]})
    sys.stdout.write(table(rows) + "\n")
    if asked.json is not None:
        record = {
            "machine": describe_machine(),
            "plan": dataclasses.asdict(plan),
            "rows": rows,
            "ends": ends,
        }
        asked.json.write_text(json.dumps(record, indent=2) + "\n")
    if asked.page is not None:
        write_into(asked.page, table(rows))


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
