"""Solve a linear grid exactly, and watch Adam learn the same pixels by heart.

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


FITS = {
    "Adam": {"training.steps": "200"},
    "exact, ridge 1e-4": {"training.optimizer": "exact", "training.ridge": "1e-4"},
    "exact, ridge by GCV": {"training.optimizer": "exact"},
}


def main(target: Path) -> None:
    """Fit three quarters of the pixels each way, then draw curves and ridges."""
    photo = tg.ImageSignal.open("astronaut", crop="160")
    with TemporaryDirectory() as parent:
        curves, metrics = {}, {}
        for name, settings in FITS.items():
            folder = Path(parent) / name
            metrics[name] = tg.fit(
                photo,
                model="linear-grid",
                params=PARAMS,
                settings=settings,
                heldout_share=0.25,
                out=folder,
            ).metrics
            lines = (folder / "metrics.jsonl").read_text().splitlines()
            curves[name] = [json.loads(line) for line in lines]
    exact = metrics[name]["exact"]
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, lines in curves.items():
        left.plot(
            [line["seconds"] for line in lines],
            [line["psnr"] for line in lines],
            marker="o" if len(lines) < 3 else None,
            label=f"{name}: held out {metrics[name]['psnr_heldout']:.1f} dB",
        )
    left.set(xlabel="seconds", ylabel="PSNR of the trained pixels, dB")
    left.legend()
    path = exact["path"]
    right.loglog([it["ridge"] for it in path], [it["score"] for it in path], marker="o")
    right.axvline(exact["ridge"], color="0.6")
    right.set(xlabel="ridge", ylabel="generalised cross-validation")
    figure.savefig(target, dpi=150)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "exact_solution.png"))
