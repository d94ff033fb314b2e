"""Memory that one step leaves to the next.

What a step keeps between its passes is tens of megabytes. Fresh from the system every
page of it costs a fault when it is first written, on two cores a sixth of a step.
"""

import torch
from torch import Tensor

_BYTES = torch.float32.itemsize


class ReusedMemory:
    """Give out tensors without contents, and take them back.

    Example:
        >>> memory = ReusedMemory()
        >>> first = memory.take(8, 4)
        >>> memory.give(first)
        >>> memory.take(4, 4).data_ptr() == first.data_ptr()
        True
    """

    def __init__(self) -> None:
        self._free: list[torch.UntypedStorage] = []

    def take(self, rows: int, columns: int) -> Tensor:
        """Return a float32 tensor whose contents are anything.

        Args:
            rows: Its rows.
            columns: Its columns.
        """
        storage = self._storage(rows * columns * _BYTES)
        # No view: it is told nothing of what happens to others in the same memory.
        return torch.empty(0).set_(storage, 0, (rows, columns), (columns, 1))

    def _storage(self, num_bytes: int) -> torch.UntypedStorage:
        while self._free:
            try:
                found = self._free.pop()
            except IndexError:
                # Another thread has taken the last.
                break
            # What is too small now was left by smaller steps, and is let go.
            if found.nbytes() >= num_bytes:
                return found
        return torch.UntypedStorage(num_bytes)

    def give(self, *tensors: Tensor) -> None:
        """Take tensors back, which nobody uses any more.

        Args:
            tensors: From `take`.
        """
        self._free.extend(tensor.untyped_storage() for tensor in tensors)

    def clear(self) -> None:
        """Give everything back to the system."""
        self._free.clear()


KEPT_LAYERS = ReusedMemory()
"""What networks keep of their features and hidden layers."""
