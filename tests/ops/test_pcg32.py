"""The stream of PCG32, against its definition one number at a time."""

from collections.abc import Iterator

import pytest
import torch

from tangrid.ops.pcg32 import (
    Pcg32,
    integers_of,
    jump,
    seeded_state,
    states_after,
    uniforms_of,
)

WORD = 2**64


def numbers(seed: int) -> Iterator[tuple[int, int]]:
    """States before each draw, and the 32-bit numbers drawn."""
    state = 0
    for extra in (seed, 0):
        state = (state * 0x5851F42D4C957F2D + 3 + extra) % WORD
    while True:
        mixed, turn = (((state >> 18) ^ state) >> 27) % 2**32, state >> 59
        yield state, (mixed >> turn | mixed << (-turn & 31)) % 2**32
        state = (state * 0x5851F42D4C957F2D + 3) % WORD


@pytest.mark.parametrize("seed", [0, 1337, 2**64 - 1])
def test_numbers_in_a_row(seed: int):
    stream, expected = Pcg32(seed), numbers(seed)
    for count in (1, 5000, 7):
        found = stream.uniforms(count)
        drawn = [next(expected)[1] for _ in range(count)]
        assert (found.double() * 2**23).tolist() == [number >> 9 for number in drawn]
    assert stream.state == next(expected)[0]


def test_peeking_takes_nothing():
    stream = Pcg32(3)
    assert torch.equal(stream.peek(10), stream.uniforms(10))
    assert not torch.equal(stream.peek(10), Pcg32(3).peek(10))


def test_places_far_ahead():
    expected = numbers(1337)
    drawn = [next(expected) for _ in range(3000)]
    steps = torch.tensor([0, 1, 2, 255, 1024, 2999])
    states = states_after(seeded_state(1337), steps)
    assert integers_of(states).tolist() == [drawn[step][1] for step in steps]
    assert [state % WORD for state in states.tolist()] == [
        drawn[step][0] for step in steps
    ]
    assert bool(((uniforms_of(states) >= 0) & (uniforms_of(states) < 1)).all())


def test_steps_have_no_sign():
    """2^64 - 1 draws ahead is one draw back."""
    (state, _), (following, _) = [
        pair for pair, _ in zip(numbers(5), "ab", strict=False)
    ]
    back = states_after(following, torch.tensor([-1]))
    assert back.item() % WORD == state
    factor, summand = jump(2**64 - 1)
    assert (factor * following + summand) % WORD == state
