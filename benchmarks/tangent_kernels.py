"""Time tangent kernels: from parts, from Jacobians, and as products.

``python -m benchmarks.tangent_kernels --json OUT`` measures

- time and memory of two kernels of a 12-million-parameter field;
- how the exact kernel of a 3-D InstantNGP grows with points and with the table, and how
  far it is from the floor of its Gram products alone;
- a product with the kernel of 100 000 points, and with ``--largest 50`` its largest
  eigenvalues, which take some minutes;
- the same kernel from parts and by contraction of `torch.func` Jacobians, taking turns.

With ``--neural-tangents PYTHON`` the interpreter of an environment that has JAX and
neural-tangents computes the last one too, by its three empirical implementations.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, jacrev, vmap

from benchmarks.timing import describe_machine, take_turns
from tangrid.devices import peak_memory_mb
from tangrid.encodings import HashGridConfig
from tangrid.encodings.table_grid import TableGrid
from tangrid.fields import EncodedFieldConfig, Field
from tangrid.ops import implementation
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.tangent import Outputs, tangent_kernel
from tangrid.tangent.algebra.extreme_eigenvalues import extreme_eigenvalues
from tangrid.tangent.kernels.sites import LookupSite, OuterSite
from tangrid.tangent.kernels.structured import StructuredKernel

FINEST = 2048
LEVELS = 16
JAX_SCRIPT = Path(__file__).with_name("neural_tangents_kernel.py")
JAX_IMPLEMENTATIONS = {
    16: ["Jacobian contraction", "NTK-vector products", "structured derivatives"],
    512: ["Jacobian contraction", "NTK-vector products"],
}
"""What is timed at how many points; the last takes long and grows fast."""
Row = dict[str, Any]


def instant_ngp(num_dims: int, num_channels: int, log2_table_size: int) -> Field:
    """Return InstantNGP with resolutions from 16 to 2048 and a 2 x 64 decoder.

    Args:
        num_dims: Coordinates per point.
        num_channels: Values per point.
        log2_table_size: Logarithm of the rows per level (T).
    """
    growth = (FINEST / 16) ** (1 / (LEVELS - 1))
    encoding = HashGridConfig(log2_table_size=log2_table_size, growth=growth)
    site = Site(num_dims=num_dims, num_channels=num_channels)
    config = EncodedFieldConfig(encoding=encoding)
    return config.build(site, generator(0, "init"))


def parameters_of(field: Field) -> int:
    """Return the number of parameters.

    Args:
        field: The field.
    """
    return sum(p.numel() for p in field.parameters())


def median_seconds(call: Callable[[], Any], turns: int) -> tuple[float, Any]:
    """Return the median time of some calls, and what the last one returned.

    Args:
        call: What is timed; once before, untimed.
        turns: How often.
    """
    result, seconds = call(), []
    for _ in range(turns):
        del result
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[len(seconds) // 2], result


def products_per_second(dtype: torch.dtype) -> float:
    """Return how many multiplications with an addition this machine does per second.

    Args:
        dtype: In which arithmetic.
    """
    matrix = torch.rand(2048, 2048, dtype=dtype)
    seconds, _ = median_seconds(lambda: matrix @ matrix, 5)
    return 2048**3 / seconds


def bytes_per_second() -> float:
    """Return how fast this machine writes memory."""
    target = torch.empty(2**27, dtype=torch.float64)
    seconds, _ = median_seconds(lambda: target.fill_(1.0), 3)
    return 8 * 2**27 / seconds


def floor_seconds(kernel: StructuredKernel, speed: float, bandwidth: float) -> float:
    """Return the least time for the Grams alone: their products, and one write.

    Half of the products count, as the matrix is symmetric. Lookups count the products
    of points that share a node, whatever finds them.

    Args:
        kernel: The kernel.
        speed: Products per second.
        bandwidth: Bytes per second.
    """
    rows, points = kernel.shape[0], kernel.num_points[0]
    products = 0.0
    for part in kernel.first:
        for site in part.sites:
            width = site.cotangents.shape[2]
            if isinstance(site, OuterSite):
                products += points**2 * site.inputs.shape[1] + rows**2 * width
            elif isinstance(site, LookupSite):
                pairs = float(site.lists.counts.double().square().sum())
                products += pairs * width * kernel.num_outputs**2
    return products / 2 / speed + 8 * rows**2 / bandwidth


def growth_rows(points: list[int], tables: list[int], turns: int) -> list[Row]:
    """Return times of the traced kernel of 3-D fields with three channels.

    Args:
        points: Numbers of points (n).
        tables: Logarithms of table sizes (T).
        turns: Timed calls of each.
    """
    speed, bandwidth = products_per_second(torch.float64), bytes_per_second()
    rows: list[Row] = []
    for table in tables:
        field = instant_ngp(3, 3, table)
        for count in points:
            x = torch.rand(count, 3, generator=generator(0, "points"))

            def call(field: Field = field, x: torch.Tensor = x) -> StructuredKernel:
                kernel = tangent_kernel(field, x, outputs="trace")
                kernel.to_dense()
                assert isinstance(kernel, StructuredKernel)
                return kernel

            seconds, kernel = median_seconds(call, turns)
            rows.append({
                "points": count,
                "log2_table_size": table,
                "parameters": parameters_of(field),
                "seconds": seconds,
                "floor_seconds": floor_seconds(kernel, speed, bandwidth),
            })
            say(rows[-1])
    return rows


def large_row(count: int, outputs: Outputs, turns: int) -> Row:
    """Return time and memory of a kernel of a 12-million-parameter field.

    Args:
        count: Number of points.
        outputs: All pairs of three channels, or their sum.
        turns: Timed calls.
    """
    field = instant_ngp(3, 3, 19)
    x = torch.rand(count, 3, generator=generator(0, "points"))

    def call() -> torch.Tensor:
        return tangent_kernel(field, x, outputs=outputs).to_dense()

    seconds, matrix = median_seconds(call, turns)
    return {
        "points": count,
        "outputs": outputs,
        "rows": len(matrix),
        "parameters": parameters_of(field),
        "seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
    }


def apart(function: Callable[..., Row], *arguments: object) -> Row:
    """Return a row that is measured in a process of its own, whose memory counts.

    Args:
        function: What measures it.
        arguments: Its arguments.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        row = pool.apply(function, arguments)
    say(row)
    return row


def product_row(count: int, largest: int, turns: int) -> Row:
    """Return times of products with a large kernel, and of its largest eigenvalues.

    Args:
        count: Number of points.
        largest: How many eigenvalues; 0 leaves them out.
        turns: Timed products.
    """
    field = instant_ngp(3, 3, 18)
    x = torch.rand(count, 3, generator=generator(0, "points"))
    start = time.perf_counter()
    kernel = tangent_kernel(field, x, outputs="trace")
    trace_seconds = time.perf_counter() - start
    vector = torch.randn(
        kernel.shape[1], generator=generator(0, "vector"), dtype=torch.float64
    )
    seconds, _ = median_seconds(lambda: kernel @ vector, turns)
    row = {
        "points": count,
        "parameters": parameters_of(field),
        "trace_seconds": trace_seconds,
        "product_seconds": seconds,
        "peak_memory_mb": peak_memory_mb(),
    }
    if largest:
        start = time.perf_counter()
        found = extreme_eigenvalues(kernel, largest)
        row |= {"largest": largest, "largest_seconds": time.perf_counter() - start}
        row |= {
            "largest_products": found.num_products,
            "largest_residual": float((found.residuals / found.values).max()),
        }
    return row


def contraction(field: Field, x: torch.Tensor, chunk: int = 16) -> torch.Tensor:
    """Return the kernel as torch.func users write it: per-sample Jacobians, products.

    All levels are read at once: a read of its own for each would give 16 gradients of
    the size of the table for every point, which takes five times as long.

    Args:
        field: The field.
        x: Points.
        chunk: Points per call of vmap.
    """
    parameters = {name: p.detach() for name, p in field.named_parameters()}
    encoding: TableGrid = field.encoding  # pyright: ignore

    def value(chosen: dict[str, torch.Tensor], point: torch.Tensor) -> torch.Tensor:
        lookups = encoding.lookups(point[None], encoding.select(point[None]))
        rows = torch.stack([lookup.rows for lookup in lookups], 1)
        weights = torch.stack([lookup.weights for lookup in lookups], 1)
        table = chosen["encoding.table"]
        features = (weights[..., None] * table[rows]).sum(2).flatten(1)
        decoder = {
            name.removeprefix("decoder."): tensor
            for name, tensor in chosen.items()
            if name.startswith("decoder.")
        }
        return functional_call(field.decoder, decoder, (features,))[0]  # pyright: ignore

    rows = []
    with implementation("reference"):
        for part in x.split(chunk):
            found = vmap(jacrev(value), (None, 0))(parameters, part)
            rows.append(torch.cat([g.flatten(2) for g in found.values()], 2).flatten(1))
    jacobian = torch.cat(rows)
    return jacobian @ jacobian.T


def comparison_rows(turns: int) -> list[Row]:
    """Return times of the kernel of 512 points from parts and from Jacobians.

    Args:
        turns: Timed calls of each.
    """
    rows = []
    x = torch.rand(512, 2, generator=generator(0, "points"))
    for dtype in (torch.float32, torch.float64):
        field = instant_ngp(2, 1, 16).to(dtype)
        points = x.to(dtype)
        results: dict[str, torch.Tensor] = {}

        def parts(
            field: Field = field,
            x: torch.Tensor = points,
            into: dict[str, torch.Tensor] = results,
        ) -> None:
            into["parts"] = tangent_kernel(field, x, dtype=x.dtype).to_dense()

        def jacobians(
            field: Field = field,
            x: torch.Tensor = points,
            into: dict[str, torch.Tensor] = results,
        ) -> None:
            into["jacobians"] = contraction(field, x)

        contestants = {"parts": parts, "torch.func": jacobians}
        timings = take_turns(contestants, turns=turns, warm_ups=1)
        found, wanted = results["parts"], results["jacobians"]
        error = float((found - wanted).abs().max() / wanted.abs().max())
        for timing in timings:
            row = timing.row(512)
            del row["million_points_per_second"]
            row |= {"dtype": str(dtype).removeprefix("torch."), "points": 512}
            row |= {"parameters": parameters_of(field), "largest_error": error}
            rows.append(row)
            say(row)
    return rows


def neural_tangents_rows(python: Path, points: int, names: list[str]) -> list[Row]:
    """Return what neural-tangents takes for the same kernel, in its own environment.

    Args:
        python: Interpreter of an environment with JAX and neural-tangents.
        points: Number of points.
        names: Its implementations.
    """
    field = instant_ngp(2, 1, 16)
    x = torch.rand(512, 2, generator=generator(0, "points"))[:points]
    seconds, kernel = median_seconds(
        lambda: tangent_kernel(field, x, dtype=torch.float32).to_dense(), 5
    )
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.npz"
        levels = field.encoding.layout.levels  # pyright: ignore
        numbers = ("scale", "shift", "offset", "size", "resolution")
        np.savez(
            inputs,
            points=x.numpy(),
            table=field.encoding.table.detach().numpy(),  # pyright: ignore
            kernel=kernel.numpy(),
            levels=[
                (*(getattr(v, name) for name in numbers), v.storage == "hashed")
                for v in levels
            ],
            **{
                f"layer{k}": layer.weight.detach().numpy()
                for k, layer in enumerate(field.decoder.layers)  # pyright: ignore
            },
        )
        done = subprocess.run(
            [python, JAX_SCRIPT, inputs, *names],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.stderr.write(done.stderr)
        return [{"contestant": "neural-tangents", "error": done.stderr[-500:]}]
    rows = [{"contestant": "parts", "points": points, "seconds": seconds}]
    rows += [{**row, "points": points} for row in json.loads(done.stdout)]
    for row in rows:
        say(row)
    return rows


def say(row: Row) -> None:
    """Show a row as it is measured.

    Args:
        row: The row.
    """
    sys.stderr.write(json.dumps(row) + "\n")


def main() -> None:
    """Measure everything, and write it with the machine's description."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--points", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096, 8192]
    )
    parser.add_argument("--tables", type=int, nargs="+", default=[14, 16, 19, 22])
    parser.add_argument(
        "--largest", type=int, default=0, help="eigenvalues of the large kernel"
    )
    parser.add_argument("--neural-tangents", type=Path, metavar="PYTHON")
    arguments = parser.parse_args()
    record: Row = {"machine": describe_machine()}
    turns = arguments.turns
    record["large"] = [
        apart(large_row, 8192, "trace", turns),
        apart(large_row, 2048, "full", turns),
    ]
    record["product"] = apart(product_row, 100_000, arguments.largest, turns)
    record["growth"] = growth_rows(arguments.points, arguments.tables, turns)
    record["comparison"] = comparison_rows(arguments.turns)
    if arguments.neural_tangents:
        record["neural_tangents"] = [
            row
            for points, names in JAX_IMPLEMENTATIONS.items()
            for row in neural_tangents_rows(arguments.neural_tangents, points, names)
        ]
    text = json.dumps(record, indent=2) + "\n"
    if arguments.json is None:
        sys.stdout.write(text)
    else:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
