"""Threads that share the work of training and of evaluation.

Inside a worker every PyTorch operator and every loop stays on its thread. A GPU is one
worker, which is given whole batches by the thread that asks.
"""

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from tangrid.devices import HOST, available_threads, torch_threads, working_on
from tangrid.fields.contract import Field
from tangrid.fields.coordinate_gradient import value_and_gradient
from tangrid.notation import Coords, Values
from tangrid.ops import single_threaded

_Result = TypeVar("_Result")

_POINTS_AT_ONCE = 2**18
"""Points that a GPU is asked for at a time: it needs many to be busy."""
_UNDIVIDED = 2**40


class Workers:
    """A pool of threads; use it in a ``with`` statement.

    Args:
        count: Number of threads; None for all that the process may use.
        device: Where the work is done; the CPU by default. Another device is one
            worker.
    """

    def __init__(
        self, count: int | None = None, device: torch.device | None = None
    ) -> None:
        self.device = HOST if device is None else device
        self.count = 1 if self.device != HOST else count or available_threads()
        self._pool = ThreadPoolExecutor(
            self.count, initializer=torch.set_num_threads, initargs=(1,)
        )
        is_host = self.device == HOST
        self._surroundings = torch_threads(1) if is_host else working_on(self.device)

    def piece_size(self, size: int) -> int:
        """Return how much of a batch is worked on at a time: all of it on a GPU.

        Args:
            size: What suits one thread's cache.
        """
        return size if self.device == HOST else _UNDIVIDED

    def __enter__(self) -> "Workers":
        """Return the pool, with PyTorch's own threads out of the way."""
        self._surroundings.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the threads and give PyTorch its own back."""
        self._pool.shutdown()
        self._surroundings.__exit__(kind, error, trace)

    def run(self, work: Callable[[int], _Result]) -> list[_Result]:
        """Return what ``work(worker)`` gives on every thread, in order.

        Args:
            work: What each worker does, given its number.
        """
        if self.device != HOST:
            return [work(0)]

        def alone(worker: int) -> _Result:
            with single_threaded():
                return work(worker)

        futures = [
            self._pool.submit(contextvars.copy_context().run, alone, worker)
            for worker in range(self.count)
        ]
        return [future.result() for future in futures]


def predict(
    workers: Workers, field: Field, coords: Coords, piece_size: int = 8192
) -> Values:
    """Return a field's values at many points, without gradients.

    Args:
        workers: Who works.
        field: The field.
        coords: Points in the unit box, on any device; the values come back there.
        piece_size: Points per piece; more on a GPU.
    """

    def values_of(piece: Coords) -> Values:
        with torch.no_grad():
            return field.forward(piece)

    there = coords.to(field.device)
    found = there.new_empty(len(coords), field.num_channels)
    return _filled(workers, found, there, values_of, piece_size).to(coords.device)


def predict_gradients(
    workers: Workers, field: Field, coords: Coords, piece_size: int = 4096
) -> Coords:
    """Return the derivatives of a field along the coordinates at many points.

    Args:
        workers: Who works.
        field: A field with one channel.
        coords: Points in the unit box, on any device; the derivatives come back there.
        piece_size: Points per piece; more on a GPU.
    """

    def gradients_of(piece: Coords) -> Coords:
        return value_and_gradient(field, piece).gradients

    there = coords.to(field.device)
    found = torch.empty_like(there)
    return _filled(workers, found, there, gradients_of, piece_size).to(coords.device)


def _filled(
    workers: Workers,
    found: Tensor,
    coords: Coords,
    function: Callable[[Coords], Tensor],
    piece_size: int,
) -> Tensor:
    """Return a tensor filled piece by piece with what a function gives at points."""
    if coords.device != HOST:
        piece_size = max(piece_size, _POINTS_AT_ONCE)
    places = range(0, len(coords), piece_size)

    def work(worker: int) -> None:
        for start in places[worker :: workers.count]:
            piece = slice(start, start + piece_size)
            found[piece] = function(coords[piece])

    workers.run(work)
    return found
