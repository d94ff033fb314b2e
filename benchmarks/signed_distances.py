"""Time what a fit of a signed distance is made of, on one of the meshes.

``python -m benchmarks.signed_distances MESH --json OUT`` draws training points, lets
models of 950 000 parameters take turns in one training step each, and extracts the
surface of a field at 256 cells a side in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import describe_machine, take_turns
from benchmarks.training_step import package_step
from tangrid.devices import available_threads, peak_memory_mb
from tangrid.errors import TangridError
from tangrid.experiments.fit_sdf import MeshSource, fitted_shape, plan_sdf_fit
from tangrid.fields.workers import Workers
from tangrid.rendering.isosurface import extract_surface
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import PoolSettings, draw_pool
from tangrid.tasks.sdf_losses import SdfLoss
from tangrid.tasks.sdf_regression import SdfRegression
from tangrid.training.settings import SDF_BATCH_SIZE, training_for

MODELS = ("instant-ngp", "mulfagrid", "neurbf", "siren")
PARAMS = 950_000
_POINTS = 2**20
_RESOLUTION = 256


def sampling(signal: MeshSignal) -> list[dict[str, Any]]:
    """Return how fast points of each kind are drawn with their distances.

    Args:
        signal: The mesh.
    """
    settings = PoolSettings(size=_POINTS)
    rng = np.random.default_rng(0)
    surface = signal.mesh.sample(_POINTS // 4, rng).points
    kinds = {
        "near the surface": settings.moved(surface, rng),
        "anywhere in the box": rng.random((_POINTS // 4, 3)),
    }
    rows = []
    for kind, points in kinds.items():
        start = time.perf_counter()
        signal.mesh.signed_distance(points)
        rows.append(_speed(kind, len(points), time.perf_counter() - start))
    start = time.perf_counter()
    draw_pool(signal, settings)
    rows.append(_speed("a whole pool, 4 : 3 : 1", _POINTS, time.perf_counter() - start))
    return rows


def _speed(what: str, points: int, seconds: float) -> dict[str, Any]:
    return {
        "contestant": what,
        "seconds": seconds,
        "million_points_per_second": points / seconds / 1e6,
    }


def steps(
    source: MeshSource, signal: MeshSignal, turns: int, threads: int
) -> list[dict[str, Any]]:
    """Return how fast models take a training step.

    Args:
        source: Where the mesh comes from.
        signal: The mesh.
        turns: Timed steps of each.
        threads: Threads of each.
    """
    pool = draw_pool(signal, PoolSettings(size=_POINTS // 4))
    losses = {"": SdfLoss(), " + eikonal": SdfLoss(eikonal=0.1)}
    chosen = [(model, "") for model in MODELS]
    chosen += [("instant-ngp", " + eikonal"), ("siren", " + eikonal")]
    contestants = {}
    with Workers(threads) as workers:
        for model, more in chosen:
            plan = plan_sdf_fit(
                signal,
                source,
                model=model,
                params=PARAMS,
                training=training_for(1, None, batch_size=SDF_BATCH_SIZE),
            )
            task = SdfRegression(
                signal, pool, loss=losses[more], batch_size=SDF_BATCH_SIZE
            )
            field = plan.build(signal.site)
            step = package_step(task, field, workers, plan.training)
            contestants[f"{model}{more}"] = step
        timings = take_turns(contestants, turns=turns, warm_ups=2)
    return [timing.row(SDF_BATCH_SIZE) for timing in timings]


def extraction(source: MeshSource, signal: MeshSignal, threads: int) -> dict[str, Any]:
    """Return what it takes to extract a surface, of a field that has just begun.

    Args:
        source: Where the mesh comes from.
        signal: The mesh.
        threads: Threads to use.
    """
    plan = plan_sdf_fit(
        signal,
        source,
        model="instant-ngp",
        params=PARAMS,
        training=training_for(1, None, batch_size=SDF_BATCH_SIZE),
    )
    field = plan.field.build(signal.site, generator(0))
    with fitted_shape(field, threads) as shape:
        shape.values(signal.site.sampler(2, generator(0))[0])  # pyright: ignore
        # The ball makes a level set of ordinary size out of an untrained field.
        start = time.perf_counter()
        surface = extract_surface(
            lambda points: (points - 0.5).norm(dim=1) - 0.4 + shape.values(points),
            _RESOLUTION,
        )
        seconds = time.perf_counter() - start
    return {
        "contestant": f"surface at {_RESOLUTION} cells a side",
        "seconds": seconds,
        "triangles": len(surface.faces),
        "peak_memory_mb": peak_memory_mb(),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.signed_distances", description=__doc__
    )
    parser.add_argument("mesh")
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--json", type=Path)
    parser.add_argument("--extract", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print the rows, and write them if asked."""
    args = _arguments()
    source = MeshSource(path=args.mesh)
    signal = source.open()
    if args.extract:
        _write(extraction(source, signal, args.threads))
        return
    machine = describe_machine()
    rows = [*sampling(signal), *steps(source, signal, args.turns, args.threads)]
    command = [sys.executable, "-m", "benchmarks.signed_distances", args.mesh]
    words = ["--extract", "--threads", str(args.threads)]
    alone = subprocess.run([*command, *words], stdout=subprocess.PIPE, check=True)
    rows.append(json.loads(alone.stdout))
    for row in rows:
        _write(row)
    if args.json:
        found = {"machine": machine, "mesh": signal.name, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1))


def _write(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
