"""``python -m benchmarks.gpu --json OUT``: measure the GPU programs on an NVIDIA GPU.

Operators are timed against plain PyTorch and compared with float64; with ``--data`` a
photograph of 14 megapixels is fitted for a minute and the lego scene for two. Without a
GPU nothing is measured: ``TRITON_INTERPRET=1 python -m benchmarks.gpu --rehearse`` runs
the operators' part on a few points with Triton's interpreter, to see that it would run.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.cases import cases
from benchmarks.gpu.fits import lego_arguments, photo_arguments, run_fit
from benchmarks.gpu.machine import describe_gpu, find_device, measure_floors
from benchmarks.gpu.operators import measure_case, table
from benchmarks.timing import describe_machine
from tangrid.errors import TangridError


def measure_operators(device: torch.device, turns: int) -> dict[str, Any]:
    """Return floors and rows of all operators.

    Args:
        device: Where they are computed; on a CPU few points are taken.
        turns: Timed calls.
    """
    is_gpu = device.type == "cuda"
    floors = measure_floors(device)
    rows: list[dict[str, Any]] = []
    for case in cases(18 if is_gpu else 6, 19 if is_gpu else 8, device):
        rows += measure_case(case, floors, device, turns if is_gpu else 1)
    return {"floors": floors.record(), "rows": rows}


def main() -> None:
    """Measure, print the table, and write it with the machine's description."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__
    )
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--data", type=Path, help="folder with images and scenes")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    device = find_device(arguments.rehearse)
    record = {"machine": {**describe_machine(), **describe_gpu(device)}}
    record |= measure_operators(device, arguments.turns)
    sys.stdout.write(table(record["rows"]) + "\n")
    if arguments.data is not None:
        fits = {"photo": photo_arguments, "lego": lego_arguments}
        record["fits"] = {
            name: run_fit(arguments_of(arguments.data), str(device))
            for name, arguments_of in fits.items()
        }
        sys.stdout.write(json.dumps(record["fits"], indent=1) + "\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except TangridError as error:
        sys.exit(str(error))
