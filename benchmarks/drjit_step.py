"""The same training step written for Dr.Jit, if it is installed.

Needs ``pip install drjit`` and LLVM (Debian: ``libllvm16``).
"""

from collections.abc import Callable

import numpy as np


def drjit_step(
    coords: np.ndarray, targets: np.ndarray, log2_table_size: int, num_threads: int
) -> Callable[[], None]:
    """Return a function that takes one training step on fixed points.

    Args:
        coords: Points in the unit square.
        targets: Wanted values.
        log2_table_size: Logarithm of the rows per level (T).
        num_threads: Threads that Dr.Jit may use.

    Raises:
        ImportError: If Dr.Jit is not installed.
    """
    import drjit as dr  # noqa: PLC0415
    from drjit import nn  # noqa: PLC0415
    from drjit.llvm.ad import Array3f, Float32, TensorXf  # noqa: PLC0415
    from drjit.opt import Adam  # noqa: PLC0415

    dr.set_thread_count(num_threads)
    rng = dr.rng(seed=0)
    encoding = nn.HashGridEncoding(
        Float32,
        2,
        n_levels=16,
        n_features_per_level=2,
        hashmap_size=2**log2_table_size,
        base_resolution=16,
        per_level_scale=1.5,
        rng=rng,
    )
    network = nn.Sequential(
        nn.Linear(-1, 64, bias=False),
        nn.ReLU(),
        nn.Linear(-1, 64, bias=False),
        nn.ReLU(),
        nn.Linear(-1, 3, bias=False),
    )
    network = nn.pack(network.alloc(TensorXf, 32, rng=rng), layout="training")
    optimizer = Adam(lr=1e-2, beta_1=0.9, beta_2=0.99, epsilon=1e-15)
    optimizer.update(network)
    optimizer["table"] = Float32(encoding.data)
    x, y = (Float32(np.ascontiguousarray(coords[:, axis])) for axis in (0, 1))
    wanted = Array3f(np.ascontiguousarray(targets.T))
    dr.eval(x, y, wanted)

    def step() -> None:
        network["weights"] = optimizer["weights"]
        encoding.data[:] = optimizer["table"]
        features = nn.CoopVec(encoding([x, y]))
        values = Array3f(network(features))
        loss = dr.mean(dr.squared_norm(values - wanted)) / 3
        dr.backward(loss)
        optimizer.step()
        dr.eval(optimizer, loss)
        dr.sync_thread()

    return step
