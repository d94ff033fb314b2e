"""Which gradients a backward pass is run for.

PyTorch tells a function of ours which of its inputs require gradients, but not which of
them were asked for (pytorch#174017); whoever starts the pass knows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_of_coords_only: ContextVar[bool] = ContextVar("of_coords_only", default=False)


@contextmanager
def gradients_of_coords_only() -> Iterator[None]:
    """Run backward passes that are asked for gradients of coordinates alone.

    Operators make no gradients of their parameters inside, which are dense and large.
    Those that autograd makes later, of a loss of the coordinates' gradients, are not
    touched.

    Example:
        >>> with gradients_of_coords_only():
        ...     parameters_are_wanted()
        False
    """
    token = _of_coords_only.set(True)
    try:
        # Else functions of tensors on a GPU are called by a thread of autograd's own,
        # which does not know what was set here.
        with torch.autograd.set_multithreading_enabled(False):
            yield
    finally:
        _of_coords_only.reset(token)


def parameters_are_wanted() -> bool:
    """Return whether gradients of parameters may be asked for in this pass."""
    return not _of_coords_only.get()
