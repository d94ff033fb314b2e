"""Write neural_tangents.json, the values that `test_neural_tangents` compares with.

Runs in an environment of its own, which the README of this folder describes, and not
in the one of the tests: ``python neural_tangents_values.py neural_tangents.json``.
"""

import json
import math
import sys
import types
from pathlib import Path

import numpy as np

# TensorFlow is needed by this part of the package alone.
sys.modules["neural_tangents.experimental"] = types.ModuleType("experimental")

import jax  # noqa: E402
import neural_tangents  # noqa: E402
from neural_tangents import stax  # noqa: E402

jax.config.update("jax_enable_x64", True)

NETWORKS = [  # hidden layers, W_std, b_std
    (1, 1.0, 0.0),
    (1, math.sqrt(2), 0.0),
    (1, 1.3, 0.7),
    (2, math.sqrt(2), 0.0),
    (2, 1.5, 0.1),
    (3, 1.2, 0.05),
    (6, math.sqrt(2), 0.0),
    (6, 1.4, 0.3),
]
WIDTHS = (7, 5)


def points() -> np.ndarray:
    """Points of all kinds: off and on the sphere, parallel, opposite, close, zero."""
    draw = np.random.default_rng(20240222)
    off, on, other = draw.normal(size=(3, 3))
    on /= np.linalg.norm(on)
    return np.stack([
        off,
        on,
        other,
        off,  # coincident
        -on,  # antipodal
        2.5 * on,  # parallel
        -0.4 * off,
        off + 1e-3 * other,  # close
        np.zeros(3),
    ])


def fourier_features() -> np.ndarray:
    """Cosines, then sines, of a few frequencies at points of a line."""
    coords = np.array([0.0, 0.03, 0.2, 0.45, 0.5, 0.97])
    angles = 2 * np.pi * np.outer(coords, [1.0, 2.0, 3.0, 5.0])
    amplitudes = np.array([1.0, 0.7, 0.5, 0.2])
    return np.hstack([amplitudes * np.cos(angles), amplitudes * np.sin(angles)])


def network(widths: list[int], weight_std: float, bias_std: float) -> tuple:
    """Dense layers with rectifiers between, in the NTK parameterisation."""
    dense = [stax.Dense(width, weight_std, bias_std or None) for width in widths]
    layers = [layer for one in dense for layer in (one, stax.Relu())][:-1]
    return stax.serial(*layers)


def infinite(inputs: np.ndarray) -> list[dict]:
    """NNGP and NTK of every network at all pairs of inputs."""
    found = []
    for num_hidden, weight_std, bias_std in NETWORKS:
        *_, kernel_fn = network([1] * (num_hidden + 1), weight_std, bias_std)
        kernels = kernel_fn(inputs, None, ("nngp", "ntk"))
        found.append({
            "num_hidden": num_hidden,
            "weight_std": weight_std,
            "bias_std": bias_std,
            "nngp": np.asarray(kernels.nngp).tolist(),
            "ntk": np.asarray(kernels.ntk).tolist(),
        })
    return found


def empirical(inputs: np.ndarray, weight_std: float, bias_std: float) -> dict:
    """Weights of a small network and its empirical NTK, [n, n, outputs, outputs]."""
    init_fn, apply_fn, _ = network([*WIDTHS, 2], weight_std, bias_std)
    _, parameters = init_fn(jax.random.PRNGKey(3), (-1, inputs.shape[1]))
    kernel_fn = neural_tangents.empirical_ntk_fn(apply_fn, trace_axes=())
    layers = [layer for layer in parameters if layer]
    return {
        "weight_std": weight_std,
        "bias_std": bias_std,
        "weights": [np.asarray(weight).T.tolist() for weight, _ in layers],
        "biases": [np.asarray(bias)[0].tolist() for _, bias in layers],
        "values": np.asarray(apply_fn(parameters, inputs)).tolist(),
        "ntk": np.asarray(kernel_fn(inputs, None, parameters)).tolist(),
    }


def main(target: Path) -> None:
    """Compute everything and write it."""
    cases = {"points": points(), "fourier": fourier_features()}
    found = {
        "neural_tangents": neural_tangents.__version__,
        "jax": jax.__version__,
        "infinite": {
            name: {"inputs": inputs.tolist(), "networks": infinite(inputs)}
            for name, inputs in cases.items()
        },
        "empirical": {
            "inputs": cases["points"][:5].tolist(),
            "networks": [empirical(cases["points"][:5], 1.5, 0.4)],
        },
    }
    text = json.dumps(found).replace("]], ", "]],\n").replace("], [", "],\n[")
    target.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
