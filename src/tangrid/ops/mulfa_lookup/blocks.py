"""How large the blocks of Triton's programs are, and which kernels are too large."""

from typing import NamedTuple

from tangrid.ops.mulfa_lookup.filters import FilterKernel

_NUMBERS = 1024
"""Points by outputs by gates by layers: eight numbers for each thread of a block."""
_LEAST_POINTS, _MOST_POINTS = 16, 64
_WARPS, _MORE_WARPS = 4, 8
_MANY = 4096
"""Numbers, as above but for layers, that are shared out to more threads."""
_LEAST_PRODUCT = 16
"""Rows and columns that a product of matrices has at least."""
_MOST_GATES = 64
_MOST_WEIGHTS = 512
"""Outputs times gates of which the smallest block still fits in registers."""


class BlockShape(NamedTuple):
    """The sizes of a block, all of them powers of two.

    Attributes:
        gates: Gates of the network, rounded up.
        outputs: Outputs of the network, rounded up.
        points: Points.
        warps: Groups of 32 threads that work on it.
    """

    gates: int
    outputs: int
    points: int
    warps: int


def block_shape(kernel: FilterKernel) -> BlockShape:
    """Return the sizes of blocks for a kernel.

    Args:
        kernel: Parameters of all levels, or of the coarsest ones.
    """
    layers = _power_of_two(kernel.biases.shape[1])
    outputs, gates = (_power_of_two(count) for count in kernel.mix.shape[1:])
    if layers > 1:
        gates = max(gates, _LEAST_PRODUCT)
    points = _NUMBERS // (gates * outputs * layers)
    points = min(max(points, _LEAST_POINTS), _MOST_POINTS)
    warps = _WARPS if points * outputs * gates <= _MANY else _MORE_WARPS
    return BlockShape(gates, outputs, points, warps)


def _power_of_two(count: int) -> int:
    """Return the count rounded up to a power of two."""
    return 1 << (count - 1).bit_length()


def block_refusals(kernel: FilterKernel) -> list[str]:
    """Return why no block can hold a kernel; empty means that one can.

    Args:
        kernel: Parameters of all levels, or of the coarsest ones.
    """
    shape = block_shape(kernel)
    if shape.gates <= _MOST_GATES and shape.gates * shape.outputs <= _MOST_WEIGHTS:
        return []
    outputs, gates = kernel.mix.shape[1:]
    reason = (
        f"the kernel has {gates} gates and {outputs} outputs (supports {_MOST_GATES} "
        f"gates, and a product of both of {_MOST_WEIGHTS}, each rounded up to a power "
        "of two)"
    )
    return [reason]
