"""``python -m papers.predictions WHAT``: fill the study and show it."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from papers.predictions.render import markdown, scatter
from papers.predictions.study import (
    RESULTS,
    Key,
    Row,
    Study,
    read_rows,
    read_study,
    write_rows,
)
from tangrid.devices import HOST, available_threads
from tangrid.errors import TangridError
from tangrid.experiments.fit_image import run_fit
from tangrid.experiments.predict_candidate import estimate
from tangrid.experiments.predict_sample import image_windows
from tangrid.experiments.predict_settings import PredictionSettings
from tangrid.runs.environment import describe_environment
from tangrid.runs.writing import write_whole

_FILLED = {
    "train": "trained",
    "train-long": "trained_long",
    "predict": "predicted",
    "predict-long": "predicted_long",
}
"""Files of results, by what fills them."""
_KEPT = ("psnr_heldout", "psnr_trained", "params_trainable", "steps", "seconds")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m papers.predictions", description=__doc__
    )
    parser.add_argument("what", choices=(*_FILLED, "time", "render"))
    parser.add_argument("--data", type=Path, help="images (default: TANGRID_DATA)")
    parser.add_argument("--threads", type=int, help="threads of a fit")
    args = parser.parse_args()
    study = read_study()
    if args.what == "render":
        _render(study)
        return
    data = args.data or Path(os.environ.get("TANGRID_DATA", "")) / "images"
    if args.what == "time":
        _time(study, data, args.threads)
        return
    name = _FILLED[args.what]
    make = _predict if args.what.startswith("predict") else _train
    asked = study.longer if args.what.endswith("-long") else study
    rows = read_rows(name)
    for key in asked.keys:
        if key not in rows:
            rows[key] = make(asked, key, data, args.threads)
            write_rows(name, rows)
            print(*key, flush=True)


def _train(study: Study, key: Key, data: Path, threads: int | None) -> Row:
    source = study.source(key[0], data)
    signal = source.open()
    metrics = run_fit(study.plan(key, source, signal, threads), signal).metrics
    return _named(key) | {name: metrics[name] for name in _KEPT}


def _predict(study: Study, key: Key, data: Path, threads: int | None) -> Row:
    source = study.source(key[0], data)
    signal = source.open()
    experiment = study.plan(key, source, signal, threads)
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


def _time(study: Study, data: Path, threads: int | None) -> None:
    """Train and predict every candidate of one image in turn, and keep the times."""
    image, seed = next(iter(study.images)), study.seeds[0]
    train: dict[str, float] = {}
    train_long: dict[str, float] = {}
    predict: dict[str, float] = {}
    predict_long: dict[str, float] = {}
    parts: dict[str, float] = {}
    for label in study.entrants:
        key = image, label, seed
        _predict(study, key, data, threads)  # compiles, and fills caches
        began = time.monotonic()
        seconds = _predict(study, key, data, threads)["seconds"]
        predict[label] = time.monotonic() - began
        for name, value in seconds.items():
            parts[name] = parts.get(name, 0.0) + value
        began = time.monotonic()
        _predict(study.longer, key, data, threads)
        predict_long[label] = time.monotonic() - began
        train[label] = _train(study, key, data, threads)["seconds"]
        train_long[label] = _train(study.longer, key, data, threads)["seconds"]
        print(label, f"{train[label]:.2f} s, {predict[label]:.2f} s", flush=True)
    timed = {
        "signal": image,
        "train_seconds": train,
        "train_long_seconds": train_long,
        "predict_seconds": predict,
        "predict_long_seconds": predict_long,
        "parts": parts,
        "cpu": describe_environment()["cpu"],
        "threads": threads or available_threads(),
    }
    write_whole(RESULTS / "timed.json", (json.dumps(timed, indent=1) + "\n").encode())


def _render(study: Study) -> None:
    trained, predicted = read_rows("trained"), read_rows("predicted")
    longer = read_rows("trained_long"), read_rows("predicted_long")
    timed = RESULTS / "timed.json"
    times = json.loads(timed.read_text()) if timed.exists() else None
    text = markdown(study, trained, predicted, longer, times)
    write_whole(RESULTS / "study.md", f"{text}\n".encode())
    scatter(study, trained, predicted, RESULTS / "scatter.png")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped; run it again to go on.")
