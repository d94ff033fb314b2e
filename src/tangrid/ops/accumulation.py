"""Gradients of tables summed over many pieces of a batch into one buffer.

A piece touches few rows of a large table, and a dense gradient per piece would cost
more than the whole step. Inside `accumulate_into`, a lookup adds its table's gradient
to the given buffer and hands none to autograd.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from tangrid.errors import ShapeError

_buffers: ContextVar[Mapping[int, Tensor]] = ContextVar("buffers")


@contextmanager
def accumulate_into(buffers: Mapping[Tensor, Tensor]) -> Iterator[None]:
    """Send the gradients of tables into buffers while a backward pass is built.

    Args:
        buffers: For each table, a contiguous float32 buffer of its shape. What it holds
            already is kept and added to.

    Raises:
        ShapeError: If a buffer is not like its table.

    Example:
        >>> import torch
        >>> table = torch.zeros(8, 2, requires_grad=True)
        >>> with accumulate_into({table: torch.zeros(8, 2)}):
        ...     buffer_for(table).shape
        torch.Size([8, 2])
    """
    for table, buffer in buffers.items():
        # Compiled loops write to where the numbers of such a buffer would stand.
        if buffer.shape != table.shape or not buffer.is_contiguous():
            raise ShapeError(
                "accumulate_into(buffers=...): expected a contiguous buffer of shape "
                f"{list(table.shape)}, got shape {list(buffer.shape)} and strides "
                f"{list(buffer.stride())}."
            )
    token = _buffers.set({id(table): buffer for table, buffer in buffers.items()})
    try:
        yield
    finally:
        _buffers.reset(token)


def buffer_for(table: Tensor) -> Tensor | None:
    """Return the buffer that takes a table's gradient, if one is set.

    Args:
        table: The table as the module holds it.
    """
    return _buffers.get({}).get(id(table))
