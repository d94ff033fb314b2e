"""Time exact solutions against Adam's way to within 0.1 dB of them.

``python -m benchmarks.exact_solution PHOTO --json OUT`` solves a linear grid twice on
three quarters of the pixels: with the ridge of generalised cross-validation, the choice
included, and with one of a millionth of the mean diagonal of the Gram matrix, where the
optimum learns by heart. Then Adam trains the same grid on the same pixels, each time
for twice as many steps, until it is within 0.1 dB of both on these pixels or a training
takes longer than it may. Each number of steps is a training of its own, with its own
fall of the rates. All are judged on the pixels that were held out, too.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tangrid as tg
from benchmarks.timing import describe_machine
from tangrid.devices import available_threads
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import FitImage
from tangrid.experiments.fitting import FittedRun
from tangrid.fields.workers import Workers
from tangrid.linear.problems import IterativeProblem
from tangrid.tasks import ImageRegression

NEAR_DB = 0.1
FIRST_STEPS = 8
SMALL_RIDGE = 1e-6
"""Over the mean diagonal of A^T A."""
KEPT = ("psnr_trained", "psnr_heldout", "seconds", "steps", "peak_memory_mb", "exact")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Hold one grid and one photograph, for all contestants.

    Attributes:
        image: The photograph.
        params: Trainable parameters.
        threads: Threads of all.
        share: Share of the pixels that is held out.
    """

    image: tg.ImageSignal
    params: int
    threads: int
    share: float

    def row(self, name: str, steps: int | None = None, **settings: str) -> dict:
        """Return the numbers of one contestant.

        Args:
            name: Its name.
            steps: Of Adam.
            settings: Of training, by name.
        """
        metrics = self.fit(steps, **settings).metrics
        kept = {key: metrics[key] for key in KEPT if key in metrics}
        psnr, heldout = metrics["psnr_trained"], metrics["psnr_heldout"]
        sys.stdout.write(
            f"{name}, {metrics['steps']} steps: {psnr:.2f} dB, held out {heldout:.2f} "
            f"dB, in {metrics['seconds']:.1f} s\n"
        )
        sys.stdout.flush()
        return {"contestant": name, **kept}

    def fit(self, steps: int | None = None, **settings: str) -> FittedRun:
        """Return a fit.

        Args:
            steps: Of Adam.
            settings: Of training, by name.
        """
        given = {"threads": str(self.threads), **settings}
        return tg.fit(
            self.image,
            model="linear-grid",
            params=self.params,
            steps=steps,
            heldout_share=self.share,
            settings={f"training.{key}": value for key, value in given.items()},
            progress=False,
        )

    def mean_diagonal(self) -> float:
        """Return the mean squared length of a column of the design matrix."""
        experiment = self.fit(optimizer="exact", ridge="1e3").experiment
        assert isinstance(experiment, FitImage)
        split = experiment.split(self.image)
        points = ImageRegression(self.image, batch_size=1, split=split).all_points()
        assert points is not None
        field = experiment.build(self.image.site)
        with Workers(self.threads) as workers:
            return IterativeProblem(
                field, points.coords, points.targets, workers, seed=0
            ).scale


def measure(bench: Bench, longest: float) -> Iterator[dict[str, Any]]:
    """Fit in turn.

    Args:
        bench: Grid and photograph.
        longest: Seconds after which no longer training is begun.

    Yields:
        What one fit came to.
    """
    ridge = f"{SMALL_RIDGE * bench.mean_diagonal():.6e}"
    # Programs are compiled and the cache is warm before anything counts.
    bench.fit(steps=2)
    solved = [
        bench.row("exact, ridge by cross-validation", optimizer="exact"),
        bench.row("exact, small ridge", optimizer="exact", ridge=ridge),
    ]
    yield from solved
    goal = max(row["psnr_trained"] for row in solved) - NEAR_DB
    steps = FIRST_STEPS
    while True:
        row = bench.row("Adam", steps)
        yield row
        if row["psnr_trained"] >= goal or 2 * row["seconds"] > longest:
            return
        steps *= 2


def main() -> None:
    """Measure, print the rows and write them down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", help="picture file")
    parser.add_argument("--params", type=int, default=1_000_000)
    parser.add_argument("--downscale", type=int, default=1)
    parser.add_argument("--heldout-share", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--longest", type=float, default=600.0, help="seconds")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    try:
        image = tg.ImageSignal.open(asked.photo, downscale=asked.downscale)
        bench = Bench(
            image=image,
            params=asked.params,
            threads=asked.threads,
            share=asked.heldout_share,
        )
        rows = list(measure(bench, asked.longest))
    except TangridError as error:
        sys.exit(f"exact_solution: {error}")
    if asked.json is not None:
        machine = describe_machine()
        asked.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
