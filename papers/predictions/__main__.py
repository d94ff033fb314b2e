"""``python -m papers.predictions WHAT``: fill the study and show it."""

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from papers.predictions.render import markdown, scatter
from papers.predictions.study import (
    RESULTS,
    Key,
    Results,
    Round,
    Row,
    read_results,
    read_rounds,
    write_rows,
    write_times,
)
from tangrid.devices import HOST, available_threads
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.predict_candidate import estimate
from tangrid.experiments.predict_sample import image_windows
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.runs.environment import describe_environment
from tangrid.runs.writing import write_whole
from tangrid.training.settings import TrainingSettings

_KEPT = ("psnr_heldout", "psnr_trained", "params_trainable", "steps", "seconds")


def main() -> None:
    """Do what the command line asks for."""
    rounds = read_rounds()
    parser = argparse.ArgumentParser(
        prog="python -m papers.predictions", description=__doc__
    )
    parser.add_argument("what", choices=("train", "predict", "time", "render"))
    parser.add_argument("round", choices=rounds, nargs="?", default="short")
    parser.add_argument("--data", type=Path, help="images (default: TANGRID_DATA)")
    parser.add_argument("--threads", type=int, help="threads of a fit")
    args = parser.parse_args()
    if args.what == "render":
        _render({name: read_results(asked) for name, asked in rounds.items()})
        return
    data = args.data or Path(os.environ.get("TANGRID_DATA", "")) / "images"
    results = read_results(rounds[args.round])
    if args.what == "time":
        _time(results, data, args.threads)
        return
    what, make, rows = {
        "train": ("trained", _train, results.trained),
        "predict": ("predicted", _predict, results.predicted),
    }[args.what]
    for key in results.asked.keys:
        if key not in rows:
            rows[key] = make(results.asked, key, data, args.threads)
            write_rows(what, results.asked, rows)
            print(*key, flush=True)


def _train(asked: Round, key: Key, data: Path, threads: int | None) -> Row:
    source = asked.source(key[0], data)
    signal = source.open()
    metrics = run_fit(asked.plan(key, source, signal, threads), signal).metrics
    return _named(key) | {name: metrics[name] for name in _KEPT}


def _predict(asked: Round, key: Key, data: Path, threads: int | None) -> Row:
    source = asked.source(key[0], data)
    signal = source.open()
    experiment = asked.plan(key, source, signal, threads)
    settings = PredictionSettings()
    windows = image_windows(
        signal,
        experiment.split(signal),
        count=settings.windows,
        points=settings.points,
        judged=settings.judged,
        seed=key[2],
    )
    found = estimate(experiment, signal.site, windows, settings, HOST)
    return _named(key) | found.to_plain()


def _named(key: Key) -> Row:
    return {"signal": key[0], "candidate": key[1], "seed": key[2]}


def _time(results: Results, data: Path, threads: int | None) -> None:
    """Train and predict every candidate of one image in turn, and keep the times.

    What comes out is kept, too, where it was not there yet.
    """
    asked = results.asked
    image, seed = next(iter(asked.images)), asked.seeds[0]
    train: dict[str, float] = {}
    predict: dict[str, float] = {}
    parts: dict[str, float] = {}
    for label in asked.entrants:
        key = image, label, seed
        _predict(asked, key, data, threads)  # compiles, and fills caches
        began = time.monotonic()
        predicted = _predict(asked, key, data, threads)
        predict[label] = time.monotonic() - began
        for name, value in predicted["seconds"].items():
            parts[name] = parts.get(name, 0.0) + value
        trained = _train(asked, key, data, threads)
        train[label] = trained["seconds"]
        results.predicted.setdefault(key, predicted)
        results.trained.setdefault(key, trained)
        print(label, f"{train[label]:.2f} s, {predict[label]:.2f} s", flush=True)
    signal = asked.source(image, data).open()
    points = round((1 - asked.heldout_share) * signal.width * signal.height)
    write_rows("trained", asked, results.trained)
    write_rows("predicted", asked, results.predicted)
    write_times(
        asked,
        {
            "signal": image,
            "points_per_step": min(points, TrainingSettings().batch_size),
            "train_seconds": train,
            "predict_seconds": predict,
            "parts": parts,
            "cpu": describe_environment()["cpu"],
            "threads": threads or available_threads(),
        },
    )


def _render(results: Mapping[str, Results]) -> None:
    text = markdown(results)
    write_whole(RESULTS / "study.md", f"{text}\n".encode())
    scatter(results["short"], RESULTS / "scatter.png")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped; run it again to go on.")
