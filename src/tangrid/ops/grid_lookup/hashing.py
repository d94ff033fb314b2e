"""From a vertex to a 32-bit number: the hash functions of tiny-cuda-nn's grids.

Three of them multiply each coordinate with a large factor and join the products with
an exclusive or; they differ in the factors alone. The others are functions of their
own, which only the reference knows.

References:
    tiny-cuda-nn ``common_device.h`` (``prime_hash``, ``coherent_prime_hash``,
    ``reversed_prime_hash``, ``base_convert_hash``, ``rng_hash``); Teschner et al. 2003,
    "Optimized Spatial Hashing for Collision Detection of Deformable Objects".
"""

from typing import Literal

import torch
from torch import Tensor

from tangrid.ops.pcg32 import integers_of, seeded_state, states_after

HashFunction = Literal[
    "coherent-prime", "prime", "reversed-prime", "base-convert", "rng"
]

_COMMON = (2654435761, 805459861, 3674653429, 2097192037, 1434869437, 2165219737)
_FACTORS: dict[HashFunction, tuple[int, ...]] = {
    "coherent-prime": (1, *_COMMON),
    "prime": (1958374283, *_COMMON),
    "reversed-prime": (*reversed(_COMMON), 1958374283),
}
_BASE = 2531011
_RNG_SEED = 1337
_UINT32 = 0xFFFFFFFF


def hash_factors(function: HashFunction, num_dims: int) -> tuple[int, ...] | None:
    """Return the factor of each coordinate; None if the function is another one.

    Args:
        function: The hash function.
        num_dims: Number of coordinates.
    """
    factors = _FACTORS.get(function)
    return None if factors is None else factors[:num_dims]


def hash_by_products(nodes: Tensor, factors: tuple[int, ...]) -> Tensor:
    """Return the exclusive or of coordinates times factors, modulo 2^32.

    Args:
        nodes: Integer vertex coordinates, [..., d].
        factors: One for each coordinate.
    """
    index = torch.zeros_like(nodes[..., 0])
    for axis, factor in enumerate(factors):
        index = index ^ (((nodes[..., axis] & _UINT32) * factor) & _UINT32)
    return index


def hash_by_base(nodes: Tensor) -> Tensor:
    """Return the coordinates read as digits of base 2531011, modulo 2^32.

    Args:
        nodes: Integer vertex coordinates, [..., d].
    """
    index = torch.zeros_like(nodes[..., 0])
    for axis in range(nodes.shape[-1]):
        index = ((index + (nodes[..., axis] & _UINT32)) * _BASE) & _UINT32
    return index


def hash_by_random_numbers(nodes: Tensor) -> Tensor:
    """Return the random number at the place that the coordinates, packed, name.

    Args:
        nodes: Integer vertex coordinates, [..., d].
    """
    bits = 64 // nodes.shape[-1]
    place = torch.zeros_like(nodes[..., 0])
    for axis in range(nodes.shape[-1]):
        place = place ^ ((nodes[..., axis] & _UINT32) << (axis * bits))
    return integers_of(states_after(seeded_state(_RNG_SEED), place))
