"""How a small perceptron is cut into GPU programs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

_FORWARD = {
    "half": {16: (128, 4), 32: (128, 4), 64: (128, 4), 128: (128, 8)},
    "tf32": {16: (128, 4), 32: (128, 4), 64: (128, 8), 128: (64, 8)},
    "ieee": {16: (64, 4), 32: (64, 4), 64: (64, 8), 128: (32, 8)},
}
_BACKWARD = {
    "half": {16: (128, 8), 32: (128, 8), 64: (128, 8), 128: (64, 8)},
    "tf32": {16: (64, 4), 32: (64, 4), 64: (64, 8), 128: (32, 8)},
    "ieee": {16: (64, 4), 32: (32, 4), 64: (32, 8), 128: (32, 16)},
}
"""Points at once and warps, by arithmetic and width.

With these the compiler fits rectified networks of two hidden layers into the registers
and 96 kilobytes of shared memory of compute capability 9.0. Only gradients of 128
channels in float32 leave numbers to the stack: 208 bytes of each thread, 1860 in TF32.
"""


class Tiling(NamedTuple):
    """How a program is cut."""

    block: int
    """Points at once."""
    warps: int
    """Groups of 32 threads."""
    chunk: int
    """Channels of the inputs at once."""
    outputs: int
    """Channels of the outputs, up to a power of two."""


def tiling(
    sizes: Sequence[int], dtype: torch.dtype, precision: str, backward: bool
) -> Tiling:
    """Return how a program is cut.

    Args:
        sizes: Channels that come in, of each hidden layer, and that go out.
        dtype: Of the points.
        precision: How factors are multiplied.
        backward: Whether it is the program of the gradients.
    """
    kind = precision if dtype == torch.float32 else "half"
    block, warps = (_BACKWARD if backward else _FORWARD)[kind][sizes[1]]
    # Few zeros are better than few steps: 48 channels are three times 16.
    widest = 32 if dtype == torch.float32 else 64
    padded = -(-sizes[0] // 16) * 16
    chunk = next(size for size in (widest, 32, 16) if padded % size == 0)
    outputs = max(16, 1 << (sizes[-1] - 1).bit_length())
    return Tiling(block, warps, chunk, outputs)
