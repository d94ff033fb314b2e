"""The benchmark's field in JAX, and its kernel by neural-tangents' implementations.

Run by `benchmarks.tangent_kernels` with the interpreter of another environment: it
needs JAX and neural-tangents, nothing of this package, and no TensorFlow. Takes a file
and names of implementations, and prints one row for each.
"""
# Another environment knows these packages, not this one.
# pyright: reportMissingImports=false
# ruff: noqa: ANN001, ANN202, E402

import json
import sys
import time
import types
from itertools import product

# TensorFlow is needed by this part of neural-tangents alone.
sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np

IMPLEMENTATIONS = {
    "Jacobian contraction": nt.NtkImplementation.JACOBIAN_CONTRACTION,
    "NTK-vector products": nt.NtkImplementation.NTK_VECTOR_PRODUCTS,
    "structured derivatives": nt.NtkImplementation.STRUCTURED_DERIVATIVES,
}
TURNS = 3


def main(path: str, names: list[str]) -> None:
    """Compute the kernel of the field in a file by some implementations."""
    held = np.load(path)
    levels = [tuple(level) for level in held["levels"]]
    layers = [held[name] for name in sorted(held.files) if name.startswith("layer")]
    parameters = {"table": jnp.asarray(held["table"]), "layers": layers}

    def field(given, x):
        # One read of the table: each has a gradient of the table's size.
        rows, weights = [], []
        for scale, shift, offset, size, resolution, hashed in levels:
            position = x * np.float32(scale) + np.float32(shift)
            cell = jnp.floor(position)
            fraction = position - cell
            cell = cell.astype(jnp.uint32)
            for corner in product((0, 1), repeat=2):
                node = [cell[:, axis] + np.uint32(corner[axis]) for axis in (0, 1)]
                if hashed:
                    row = node[0] ^ (node[1] * np.uint32(2654435761))
                else:
                    row = node[0] + node[1] * np.uint32(resolution)
                row = row % np.uint32(size) + np.uint32(offset)
                weight = 1.0
                for axis in (0, 1):
                    t = fraction[:, axis]
                    weight = weight * (t if corner[axis] else 1 - t)
                rows.append(row)
                weights.append(weight)
        read = jnp.stack(weights, 1)[:, :, None] * given["table"][jnp.stack(rows, 1)]
        hidden = read.reshape(len(x), len(levels), 4, -1).sum(2).reshape(len(x), -1)
        for layer in given["layers"][:-1]:
            hidden = jax.nn.relu(hidden @ layer.T)
        return hidden @ given["layers"][-1].T

    points = jnp.asarray(held["points"])
    rows = []
    for name in names:
        kernel_of = jax.jit(
            nt.empirical_ntk_fn(
                field,
                trace_axes=(),
                vmap_axes=0,
                implementation=IMPLEMENTATIONS[name],
            )
        )
        try:
            start = time.perf_counter()
            kernel = np.asarray(kernel_of(points, None, parameters))
            first = time.perf_counter() - start
            seconds = []
            for _ in range(TURNS):
                start = time.perf_counter()
                kernel_of(points, None, parameters).block_until_ready()
                seconds.append(time.perf_counter() - start)
        except Exception as error:
            rows.append({
                "contestant": f"neural-tangents, {name}",
                "error": str(error)[:300],
            })
            continue
        kernel = kernel.reshape(len(points), len(points))
        difference = np.abs(kernel - held["kernel"]).max() / np.abs(kernel).max()
        rows.append({
            "contestant": f"neural-tangents, {name}",
            "seconds": sorted(seconds)[TURNS // 2],
            "first_call_seconds": first,
            "largest_difference": float(difference),
        })
    print(json.dumps(rows))  # noqa: T201 (the caller reads it)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
