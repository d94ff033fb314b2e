"""Solve a linear grid exactly, and watch Adam come near it.

Makes the picture of docs/exact-solutions.md: ``python examples/17_exact_solution.py
OUT.png``.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.figure import Figure

import tangrid as tg

PARAMS = 60_000
STEPS = 200


def main(target: Path) -> None:
    """Fit both ways, then draw the curves and the choice of the ridge."""
    photo = tg.ImageSignal.open("astronaut", crop="160")
    with TemporaryDirectory() as parent:
        fits = {"Adam": {}, "exact": {"training.optimizer": "exact"}}
        curves, runs = {}, {}
        for name, settings in fits.items():
            folder = Path(parent) / name
            runs[name] = tg.fit(
                photo,
                model="linear-grid",
                params=PARAMS,
                steps=STEPS,
                settings=settings,
                out=folder,
            )
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            curves[name] = [json.loads(line) for line in lines]
    exact = runs["exact"].metrics["exact"]
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, lines in curves.items():
        left.plot(
            [line["seconds"] for line in lines],
            [line["psnr"] for line in lines],
            label=name,
        )
    left.set(xlabel="seconds", ylabel="PSNR of all pixels, dB")
    left.legend()
    path = exact["path"]
    right.loglog([it["ridge"] for it in path], [it["score"] for it in path], marker="o")
    right.axvline(exact["ridge"], color="0.6")
    right.set(xlabel="ridge", ylabel="generalised cross-validation")
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "exact_solution.png"))
