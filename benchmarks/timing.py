"""Time several contestants in one process, taking turns, and keep every sample."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tangrid.runs.environment import describe_environment


@dataclass(frozen=True)
class Timing:
    """Seconds per call of one contestant.

    Attributes:
        name: Its name.
        seconds: One sample per turn.
    """

    name: str
    seconds: tuple[float, ...]

    def row(self, points: int) -> dict[str, Any]:
        """Return the timing as a table row.

        Args:
            points: Points that one call works on.
        """
        ordered = sorted(self.seconds)
        median = statistics.median(ordered)
        return {
            "contestant": self.name,
            "median_ms": 1e3 * median,
            "fastest_ms": 1e3 * ordered[0],
            "slowest_ms": 1e3 * ordered[-1],
            "turns": len(ordered),
            "million_points_per_second": points / median / 1e6,
        }


def take_turns(
    contestants: Mapping[str, Callable[[], None]], *, turns: int, warm_ups: int
) -> list[Timing]:
    """Call every contestant once per turn and time each call.

    Taking turns gives every contestant its share of whatever else the machine does. A
    step of training follows one of its own, so each turn calls twice and times the
    second call: the first finds the caches, and the processors, as another contestant's
    threads left them.

    Args:
        contestants: What to call, by name.
        turns: Timed calls of each.
        warm_ups: Calls before, which compile and fill caches.

    Returns:
        One timing per contestant, in their order.
    """
    for call in contestants.values():
        for _ in range(warm_ups):
            call()
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, call in contestants.items():
            call()
            start = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - start)
    return [Timing(name, tuple(seconds)) for name, seconds in samples.items()]


def describe_machine() -> dict[str, Any]:
    """Return the environment and how busy the machine was at the start."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        **describe_environment(),
        "architecture": platform.machine(),
        "load_average": load,
    }
