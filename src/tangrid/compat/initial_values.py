"""Initial parameters, drawn from tiny-cuda-nn's generator in the order it draws them.

A network's matrices come first, each filled row by row; a grid is filled by threads
that draw four numbers each and lay them far apart. The numbers drawn are the same; what
is made of them may differ in the last place, where compilers round differently.

References:
    tiny-cuda-nn ``gpu_matrix.h`` (``initialize_xavier_uniform``,
    ``initialize_siren_uniform``), ``random.h`` (``generate_random_kernel``) and
    ``encodings/grid.h`` (``initialize_params``).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.ops.pcg32 import Pcg32

_PER_THREAD = 4
_THREADS = 128
"""Threads come in blocks of this many."""


def matrix_values(
    stream: Pcg32, num_rows: int, num_columns: int, bound: float
) -> Float[Tensor, " numbers"]:
    """Return a matrix's numbers, uniform between -bound and bound, row by row.

    Args:
        stream: Where random numbers come from.
        num_rows: Outputs of the layer, padding included.
        num_columns: Inputs of the layer, padding included.
        bound: The largest number.
    """
    return stream.uniforms(num_rows * num_columns) * 2.0 * bound - bound


def xavier_bound(num_rows: int, num_columns: int) -> float:
    """Return the bound of Glorot's uniform distribution.

    Args:
        num_rows: Outputs of the layer, padding included.
        num_columns: Inputs of the layer, padding included.
    """
    return math.sqrt(6 / (num_rows + num_columns))


def siren_bound(num_columns: int, *, is_first: bool) -> float:
    """Return the bound for layers with sines, which has the factor 30 built in.

    Args:
        num_columns: Inputs of the layer, padding included.
        is_first: Whether it is the first layer.
    """
    return 30 / num_columns if is_first else math.sqrt(6 / num_columns)


def table_values(stream: Pcg32, count: int, bound: float) -> Float[Tensor, " numbers"]:
    """Return a grid's numbers, uniform between -bound and bound.

    Args:
        stream: Where random numbers come from.
        count: How many.
        bound: The largest number.
    """
    threads = -(-count // _PER_THREAD)
    threads = -(-threads // _THREADS) * _THREADS
    drawn = stream.peek(threads * _PER_THREAD).view(threads, _PER_THREAD)
    stream.advance(count)
    numbers = drawn.T.reshape(-1)[:count]
    return torch.add(numbers * (2 * bound), -bound)
