"""Weights of LPIPS from a seed, and files that hold everything but such weights."""

from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from tangrid.metrics.lpips import NETWORKS


@cache
def seeded_tensors(name: str) -> dict[str, Tensor]:
    """Layers that keep the size of what goes through them, and weights from 0 to 1.

    Drawn by numpy, whose generator gives the same numbers on every machine.
    """
    source = np.random.default_rng(2018)
    tensors = {}
    for key, shape in NETWORKS[name].shapes.items():
        values = source.random(shape, np.float32)
        if key == "scaling_layer.scale":
            values = 0.4 + 0.1 * values
        elif key == "scaling_layer.shift" or key.endswith(".bias"):
            values = 0.2 * values - 0.1
        elif key.startswith("net."):
            bound = (6 / np.prod(shape[1:])) ** 0.5
            values = (bound * (2 * values - 1)).astype(np.float32)
        tensors[key] = torch.from_numpy(values)
    return tensors


def save_seeded(path: Path, name: str = "alex") -> Path:
    torch.save(seeded_tensors(name), path)
    return path


def zeros(name: str) -> dict[str, Tensor]:
    """Tensors of the right shapes that take one number each in a file."""
    shapes = NETWORKS[name].shapes
    return {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}


def save_wrong_weights(folder: Path) -> None:
    """Write one file for each way to be no file of weights."""
    (folder / "hello.pt").write_text("hello")
    (folder / "empty.pt").touch()
    alex = zeros("alex")
    lacking = {key: alex[key] for key in alex if not key.startswith("lin")}
    for name, content in {
        "cut": alex,
        "object": {"net": PurePosixPath("a-class-of-its-own")},
        "list": [alex["lin0.model.1.weight"]],
        "nothing": {},
        "squeeze": {"net.slice2.3.squeeze.weight": torch.zeros(16, 64, 1, 1)},
        "last-layers": {key: alex[key] for key in alex if key.startswith("lin")},
        "lacking": lacking,
        "shape": alex | {"net.slice3.6.weight": torch.zeros(384, 64, 3, 3)},
        "half": alex | {"net.slice3.6.bias": torch.zeros(384).half()},
        "words": alex | {"lin4.model.1.weight": "many"},
        "more": alex | {"net.slice6.11.weight": torch.zeros(3)},
        "nan": alex | {"net.slice5.10.bias": torch.full((256,), torch.nan)},
    }.items():
        torch.save(content, folder / f"{name}.pt")
    whole = (folder / "cut.pt").read_bytes()
    (folder / "cut.pt").write_bytes(whole[: len(whole) // 2])
