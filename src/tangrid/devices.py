"""Facts about the machine: threads and memory; the only place that sets threads."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def available_threads() -> int:
    """Return how many threads this process may keep busy."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Give PyTorch operators this many threads of their own inside.

    Args:
        count: Threads per operator; 1 where several Python threads share the work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_memory_mb() -> float | None:
    """Return the most memory this process has held, in megabytes; None if unknown."""
    try:
        import resource  # noqa: PLC0415 (absent on Windows)
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts kibibytes, macOS bytes.
    scale = 1 if sys.platform == "darwin" else 1024
    return peak * scale / 1e6
