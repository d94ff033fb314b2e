"""Time one training step: encode, decode, loss, backward, Adam.

``python -m benchmarks.training_step --json OUT`` compares, in one process and taking
turns, the package's step in float32 and with a bfloat16 decoder, MulFAGrid's step, the
same step on the plain PyTorch reference with PyTorch's own Adam, and Dr.Jit's where it
is installed. 2-D, 16 levels of 2 channels, base 16, growth 1.5, 2 x 64 rectified
decoder, batches of 65 536 random points; T is the logarithm of the table size.
"""

import argparse
import gc
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.drjit_step import drjit_step
from benchmarks.timing import describe_machine, take_turns
from tangrid.decoders import ReluMlpConfig
from tangrid.devices import available_threads, torch_threads
from tangrid.encodings import EncodingConfig, HashGridConfig, MulfaGridConfig
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.fields.contract import DecoderDtype
from tangrid.fields.workers import Workers
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tasks import PointBatch, Task
from tangrid.training.gradients import add_gradients
from tangrid.training.optimizer import Adam
from tangrid.training.settings import TrainingSettings

BATCH = 65_536
SITE = Site(num_dims=2, num_channels=3)
Step = Callable[[], None]


class FixedPoints(Task):
    """Fit a smooth function on one batch of random points."""

    def __init__(self) -> None:
        coords = torch.rand(BATCH, 2, generator=generator(0, "points"))
        x, y = coords.T
        targets = torch.stack((torch.sin(40 * x), torch.cos(30 * y), x * y), dim=1)
        self._batch = PointBatch(coords, targets)

    @property
    def site(self) -> Site:
        """The unit square with three channels."""
        return SITE

    def batch(self, step: int) -> PointBatch:
        """Return the same points for every step.

        Args:
            step: Not used.
        """
        del step
        return self._batch

    def loss(self, field: Field, batch: PointBatch) -> torch.Tensor:
        """Return the mean squared error.

        Args:
            field: What is trained.
            batch: Points and wanted values.
        """
        return torch.nn.functional.mse_loss(field.forward(batch.coords), batch.targets)


def build(encoding: EncodingConfig, decoder_dtype: DecoderDtype) -> Field:
    """Return a field with the benchmark's decoder.

    Args:
        encoding: Its grid.
        decoder_dtype: Arithmetic of the decoder.
    """
    config = EncodedFieldConfig(
        encoding=encoding, decoder=ReluMlpConfig(), decoder_dtype=decoder_dtype
    )
    return config.build(SITE, generator(0, "init"))


def package_step(
    task: Task, field: Field, workers: Workers, settings: TrainingSettings
) -> Step:
    """Return the step as the training loop takes it.

    Args:
        task: Points and loss.
        field: What is trained.
        workers: Threads to use.
        settings: Piece size and rates.
    """
    optimizer = Adam(field, settings, workers)

    def step() -> None:
        add_gradients(
            workers, task, field, task.batch(0), optimizer, settings.piece_size
        )
        optimizer.step(1.0)

    return step


def plain_step(task: Task, field: Field, num_threads: int) -> Step:
    """Return the step in plain PyTorch, with PyTorch's own threads and fused Adam.

    Args:
        task: Points and loss.
        field: What is trained.
        num_threads: Threads per operator.
    """
    optimizer = torch.optim.Adam(
        field.parameters(), lr=1e-2, betas=(0.9, 0.99), eps=1e-15, fused=True
    )

    def step() -> None:
        with torch_threads(num_threads), implementation("reference"):
            optimizer.zero_grad()
            task.loss(field, task.batch(0)).backward()
            optimizer.step()

    return step


def measure(log2_table_size: int, turns: int, threads: int) -> list[dict[str, Any]]:
    """Return one row per contestant for one table size.

    Args:
        log2_table_size: Logarithm of the rows per level (T).
        turns: Timed steps of each.
        threads: Threads of each.
    """
    task = FixedPoints()
    settings = TrainingSettings()
    grid = HashGridConfig(log2_table_size=log2_table_size)
    mulfa = MulfaGridConfig(log2_table_size=log2_table_size)
    batch = task.batch(0)
    with Workers(threads) as workers:
        contestants = {
            "tangrid": package_step(task, build(grid, "float32"), workers, settings),
            "tangrid, bfloat16 decoder": package_step(
                task, build(grid, "bfloat16"), workers, settings
            ),
            "tangrid, mulfagrid": package_step(
                task, build(mulfa, "float32"), workers, settings
            ),
            "plain PyTorch": plain_step(task, build(grid, "float32"), threads),
        }
        try:
            contestants["Dr.Jit"] = drjit_step(
                batch.coords.numpy(), batch.targets.numpy(), log2_table_size, threads
            )
        except ImportError:
            sys.stderr.write("Dr.Jit is not installed: its row is left out.\n")
        timings = take_turns(contestants, turns=turns, warm_ups=3)
    rows = [{"log2_table_size": log2_table_size, **t.row(BATCH)} for t in timings]
    gc.collect()
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table.

    Args:
        rows: From `measure`.
    """
    lines = [
        "| T | contestant | median ms | fastest ms | Mpoints/s | x plain | x Dr.Jit |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        same = [r for r in rows if r["log2_table_size"] == row["log2_table_size"]]
        medians = {r["contestant"]: r["median_ms"] for r in same}
        plain, drjit = (
            f"{medians[other] / row['median_ms']:.1f}" if other in medians else ""
            for other in ("plain PyTorch", "Dr.Jit")
        )
        lines.append(
            f"| {row['log2_table_size']} | {row['contestant']} "
            f"| {row['median_ms']:.1f} | {row['fastest_ms']:.1f} "
            f"| {row['million_points_per_second']:.2f} "
            f"| {plain} | {drjit} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, and write it with the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__)
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
