"""The losses of steps: each at once from a CPU, several at a time from a GPU.

Whoever reads a number from a GPU waits until that has done all it was given, and it
then stands still until it is given more.
"""

from torch import Tensor, stack

from tangrid.devices import HOST, wait_for
from tangrid.fields.workers import Workers

_STEPS_BETWEEN_READS = 16


class LossReader:
    """Losses by the number of their step.

    Args:
        workers: Where they are computed.

    Attributes:
        values: Those that were read last, by step.
        latest: The last one.
    """

    def __init__(self, workers: Workers) -> None:
        self._device = workers.device
        self._unread: dict[int, Tensor] = {}
        self.values: dict[int, float] = {}
        self.latest = float("nan")

    def add(self, step: int, loss: Tensor) -> None:
        """Take in the loss of one step.

        Args:
            step: Its number, from 1.
            loss: Where it was computed.
        """
        self._unread[step] = loss

    @property
    def is_empty(self) -> bool:
        """Whether all have been read."""
        return not self._unread

    @property
    def is_due(self) -> bool:
        """Whether it is time to read; the first is wanted at once."""
        if self._device == HOST or 1 in self._unread:
            return True
        return len(self._unread) >= _STEPS_BETWEEN_READS

    def read(self) -> None:
        """Wait for the losses that were not read yet."""
        wait_for(self._device)
        numbers = stack(list(self._unread.values())).tolist()
        self.values = dict(zip(self._unread, numbers, strict=True))
        self.latest = numbers[-1]
        self._unread = {}
