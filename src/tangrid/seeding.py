"""One seed, many independent streams of random numbers, each with a name."""

import hashlib

import torch


def generator(seed: int, *stream: str | int) -> torch.Generator:
    """Return a CPU generator for one named stream of a seed.

    Streams with different names are independent, so adding one never shifts another.

    Args:
        seed: The run's seed.
        stream: Words and numbers that name the stream, such as ``"batch", 12``.

    Example:
        >>> a, b = generator(0, "init"), generator(0, "init")
        >>> bool(torch.rand(1, generator=a) == torch.rand(1, generator=b))
        True
    """
    words = "/".join(str(part) for part in (seed, *stream))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
