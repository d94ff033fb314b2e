"""Wait for what happens on other threads and in other programs."""

import time
from collections.abc import Callable


def soon(is_so: Callable[[], object], seconds: float = 15.0) -> bool:
    """Whether something comes true within a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_so():
            return True
        time.sleep(0.02)
    return False
