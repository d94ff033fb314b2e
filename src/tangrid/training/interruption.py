"""Turn Ctrl-C into a request that the training loop answers between two steps."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class Interruption:
    """Notice Ctrl-C or termination inside a ``with`` statement.

    The first signal only sets `requested`; a second one interrupts at once, as usual.
    Outside the main thread signals cannot be caught, and nothing changes.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        """Return this object, which catches the signals from now on."""
        if threading.current_thread() is threading.main_thread():
            for number in self._SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
