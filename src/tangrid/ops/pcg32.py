"""The random numbers of PCG32, any place of the stream at once, in plain PyTorch.

tiny-cuda-nn draws its initial parameters, its ``Rng`` hash and its stochastic
interpolation from this generator. States are 64-bit integers held in int64, whose
products and sums wrap around as theirs do.

References:
    O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good
    Algorithms for Random Number Generation"; Brown 1994, "Random Number Generation with
    Arbitrary Stride" (jumps); tiny-cuda-nn ``pcg32.h``, ``common_device.h`` and
    ``random.h``.
"""

import torch
from torch import Tensor

MULTIPLIER = 0x5851F42D4C957F2D
INCREMENT = 3
"""Of the stream with number 1, which tiny-cuda-nn always uses."""

_WORD = 2**64
_UINT32 = 0xFFFFFFFF
_BLOCK = 4096


def _signed(number: int) -> int:
    """Return the int64 with the lowest 64 bits of a number."""
    number %= _WORD
    return number - _WORD if number >= _WORD // 2 else number


def _shifted(states: Tensor, bits: int) -> Tensor:
    """Return states moved right by some bits, zeros coming in."""
    return (states >> bits) & ((1 << (64 - bits)) - 1)


def seeded_state(seed: int) -> int:
    """Return the state of a generator right after it was seeded.

    Args:
        seed: Any whole number; its lowest 64 bits count.
    """
    return ((INCREMENT + seed) * MULTIPLIER + INCREMENT) % _WORD


def jump(steps: int) -> tuple[int, int]:
    """Return the factor and the summand that take a state some draws ahead.

    Args:
        steps: Number of draws to leave out, from 0 on.
    """
    factor, summand = 1, 0
    power, offset = MULTIPLIER, INCREMENT
    while steps:
        if steps & 1:
            factor, summand = factor * power % _WORD, (summand * power + offset) % _WORD
        offset = (power + 1) * offset % _WORD
        power = power * power % _WORD
        steps >>= 1
    return factor, summand


def states_after(state: int, steps: Tensor, bits: int = 64) -> Tensor:
    """Return the states that lie given numbers of draws ahead.

    Args:
        state: Where the stream begins.
        steps: Draws to leave out, as int64 whose 64 bits count without a sign.
        bits: How many of them, from the lowest, may be other than 0.
    """
    factor, summand = torch.ones_like(steps), torch.zeros_like(steps)
    power, offset = MULTIPLIER, INCREMENT
    for bit in range(bits):
        chosen = ((steps >> bit) & 1).bool()
        factor = torch.where(chosen, factor * _signed(power), factor)
        moved = summand * _signed(power) + _signed(offset)
        summand = torch.where(chosen, moved, summand)
        offset = (power + 1) * offset % _WORD
        power = power * power % _WORD
    return factor * _signed(state) + summand


def integers_of(states: Tensor) -> Tensor:
    """Return the 32-bit number that each state draws, as int64.

    Args:
        states: States before the draw.
    """
    mixed = _shifted(_shifted(states, 18) ^ states, 27) & _UINT32
    turn = _shifted(states, 59)
    return ((mixed >> turn) | (mixed << (-turn & 31))) & _UINT32


def uniforms_of(states: Tensor) -> Tensor:
    """Return the number from [0, 1) that each state draws, in float32.

    Args:
        states: States before the draw.
    """
    return (integers_of(states) >> 9).float() * 2.0**-23


class Pcg32:
    """A stream of random numbers that is drawn from many at a time.

    Args:
        seed: Any whole number.

    Example:
        >>> Pcg32(1337).uniforms(3).shape
        torch.Size([3])
    """

    def __init__(self, seed: int) -> None:
        self.state = seeded_state(seed)

    def advance(self, steps: int) -> None:
        """Leave out some draws.

        Args:
            steps: How many.
        """
        factor, summand = jump(steps)
        self.state = (factor * self.state + summand) % _WORD

    def peek(self, count: int) -> Tensor:
        """Return the next numbers from [0, 1) without taking them.

        Args:
            count: How many.
        """
        first = states_after(self.state, torch.arange(min(count, _BLOCK)))
        found = torch.empty(count, dtype=torch.float32)
        steps = jump(_BLOCK)
        factor, summand = 1, 0
        for start in range(0, count, _BLOCK):
            part = found[start : start + _BLOCK]
            states = first * _signed(factor) + _signed(summand)
            part.copy_(uniforms_of(states[: len(part)]))
            summand = (summand * steps[0] + steps[1]) % _WORD
            factor = factor * steps[0] % _WORD
        return found

    def uniforms(self, count: int) -> Tensor:
        """Return the next numbers from [0, 1), in float32.

        Args:
            count: How many.
        """
        found = self.peek(count)
        self.advance(count)
        return found
