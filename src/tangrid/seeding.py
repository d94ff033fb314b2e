"""One seed, many independent streams of random numbers, each with a name."""

import hashlib

import torch


def generator(
    seed: int, *stream: str | int, device: torch.device | None = None
) -> torch.Generator:
    """Return the generator of one named stream of a seed.

    Streams with different names are independent, so adding one never shifts another.
    On a GPU the same stream has other numbers than on a CPU, always the same ones.

    Args:
        seed: The run's seed.
        stream: Words and numbers that name the stream, such as ``"batch", 12``.
        device: Where its numbers are drawn; the CPU by default.

    Example:
        >>> a, b = generator(0, "init"), generator(0, "init")
        >>> bool(torch.rand(1, generator=a) == torch.rand(1, generator=b))
        True
    """
    words = "/".join(str(part) for part in (seed, *stream))
    digest = hashlib.sha256(words.encode()).digest()
    made = torch.Generator("cpu" if device is None else device)
    return made.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
