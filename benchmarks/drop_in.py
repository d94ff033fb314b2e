"""Time the drop-in for tiny-cuda-nn beside the package's own training step.

``python -m benchmarks.drop_in --json OUT`` compares, in one process and taking turns, a
step as the training loop takes it with one as a client of tiny-cuda-nn writes it:
``NetworkWithInputEncoding``, a loss, ``backward`` and PyTorch's fused Adam. The model
is that of `benchmarks.training_step`; its last layer has 16 rows in the drop-in, of
which 13 are padding, as tiny-cuda-nn's has. Gradients alone are timed too.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import describe_machine, take_turns
from benchmarks.training_step import (
    BATCH,
    FixedPoints,
    Step,
    build,
    package_step,
)
from tangrid.compat import tinycudann
from tangrid.devices import available_threads, torch_threads
from tangrid.encodings import HashGridConfig
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.tasks import PointBatch
from tangrid.training.gradients import add_gradients
from tangrid.training.optimizer import Adam
from tangrid.training.settings import TrainingSettings

NETWORK = {
    "otype": "FullyFusedMLP",
    "activation": "ReLU",
    "output_activation": "None",
    "n_neurons": 64,
    "n_hidden_layers": 2,
}


def client_model(log2_table_size: int) -> torch.nn.Module:
    """Return the benchmark's model as a client makes it.

    Args:
        log2_table_size: Logarithm of the rows per level (T).
    """
    encoding = {
        "otype": "HashGrid",
        "n_levels": 16,
        "n_features_per_level": 2,
        "log2_hashmap_size": log2_table_size,
        "base_resolution": 16,
        "per_level_scale": 1.5,
    }
    return tinycudann.NetworkWithInputEncoding(2, 3, encoding, NETWORK)


def client_gradients(model: torch.nn.Module, batch: PointBatch, threads: int) -> Step:
    """Return the forward and backward pass of a client.

    Args:
        model: What is trained.
        batch: Points and wanted values.
        threads: Threads per operator.
    """

    def run() -> None:
        model.zero_grad()
        with torch_threads(threads):
            values = model(batch.coords)
            torch.nn.functional.mse_loss(values, batch.targets).backward()

    return run


def client_step(model: torch.nn.Module, batch: PointBatch, threads: int) -> Step:
    """Return the step of a client.

    Args:
        model: What is trained.
        batch: Points and wanted values.
        threads: Threads per operator.
    """
    gradients = client_gradients(model, batch, threads)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15, fused=True
    )

    def step() -> None:
        gradients()
        with torch_threads(threads):
            optimizer.step()

    return step


def package_gradients(
    task: FixedPoints, field: Field, workers: Workers, settings: TrainingSettings
) -> Step:
    """Return the forward and backward pass of the training loop.

    Args:
        task: Points and loss.
        field: What is trained.
        workers: Threads to use.
        settings: Piece size.
    """
    optimizer, batch = Adam(field, settings, workers), task.batch(0)

    def run() -> None:
        add_gradients(workers, task, field, batch, optimizer, settings.piece_size)

    return run


def measure(log2_table_size: int, turns: int, threads: int) -> list[dict[str, Any]]:
    """Return one row per contestant for one table size.

    Args:
        log2_table_size: Logarithm of the rows per level (T).
        turns: Timed calls of each.
        threads: Threads of each.
    """
    task, settings = FixedPoints(), TrainingSettings()
    batch = task.batch(0)
    grid = HashGridConfig(log2_table_size=log2_table_size)
    with Workers(threads) as workers:
        own = task, build(grid, "float32"), workers, settings
        model = client_model(log2_table_size)
        contestants = {
            "tangrid, step": package_step(*own),
            "drop-in, step": client_step(model, batch, threads),
            "tangrid, gradients": package_gradients(*own),
            "drop-in, gradients": client_gradients(model, batch, threads),
        }
        timings = take_turns(contestants, turns=turns, warm_ups=3)
    return [{"log2_table_size": log2_table_size, **t.row(BATCH)} for t in timings]


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table.

    Args:
        rows: From `measure`.
    """
    lines = ["| T | contestant | median ms | fastest ms |", "|---|---|---|---|"]
    lines += [
        f"| {row['log2_table_size']} | {row['contestant']} "
        f"| {row['median_ms']:.1f} | {row['fastest_ms']:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it with the machine's description."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.drop_in", description=__doc__
    )
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--sizes", type=int, nargs="+", default=[15, 19])
    arguments = parser.parse_args()
    machine = describe_machine()
    rows: list[dict[str, Any]] = []
    for size in arguments.sizes:
        rows += measure(size, arguments.turns, arguments.threads)
    sys.stdout.write(table(rows) + "\n")
    if arguments.json is not None:
        record = {"machine": machine, "threads": arguments.threads, "rows": rows}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
