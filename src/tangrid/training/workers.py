"""Threads that work through the pieces of a batch, each with its own gradients.

Pieces go to workers by their number, and the workers' sums are added in a fixed order,
so a step has the same bits whenever it runs with the same number of workers. Inside a
worker every PyTorch operator and every loop stays on its thread.
"""

import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor

from tangrid.devices import available_threads, torch_threads
from tangrid.fields.contract import Field
from tangrid.notation import Coords, Values
from tangrid.ops import accumulate_into, single_threaded
from tangrid.tasks.contract import Batch, Task
from tangrid.training.optimizer import Adam

_Result = TypeVar("_Result")


class Workers:
    """A pool of threads for the pieces of a batch; use it in a ``with`` statement.

    Args:
        count: Number of threads; None for all that the process may use.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or available_threads()
        self._pool = ThreadPoolExecutor(
            self.count, initializer=torch.set_num_threads, initargs=(1,)
        )
        self._threads = torch_threads(1)

    def __enter__(self) -> Self:
        """Return the pool, with PyTorch's own threads out of the way."""
        self._threads.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the threads and give PyTorch its own back."""
        self._pool.shutdown()
        self._threads.__exit__(kind, error, trace)

    def run(self, work: Callable[[int], _Result]) -> list[_Result]:
        """Return what ``work(worker)`` gives on every thread, in order.

        Args:
            work: What each worker does, given its number.
        """

        def alone(worker: int) -> _Result:
            with single_threaded():
                return work(worker)

        futures = [
            self._pool.submit(contextvars.copy_context().run, alone, worker)
            for worker in range(self.count)
        ]
        return [future.result() for future in futures]


def add_gradients(
    workers: Workers,
    task: Task,
    field: Field,
    batch: Batch,
    optimizer: Adam,
    piece_size: int,
) -> float:
    """Add the gradients of one batch to the optimiser.

    Args:
        workers: Who works.
        task: Gives the loss.
        field: What is trained.
        batch: Points of this step.
        optimizer: Holds each worker's gradients.
        piece_size: Points per piece.

    Returns:
        The mean loss.
    """
    pieces = batch.pieces(piece_size)
    parameters = optimizer.parameters
    losses = [0.0] * len(pieces)

    def work(worker: int) -> None:
        grads = optimizer.worker_grads(worker)
        buffers: dict[Tensor, Tensor] = dict(zip(parameters, grads, strict=True))
        for number in range(worker, len(pieces), workers.count):
            piece = pieces[number]
            with accumulate_into(buffers):
                loss = task.loss(field, piece) * (len(piece) / len(batch))
                found = torch.autograd.grad(loss, parameters, allow_unused=True)
            losses[number] = loss.item()
            for total, grad in zip(grads, found, strict=True):
                # Tables have added theirs already.
                if grad is not None:
                    total.add_(grad)

    workers.run(work)
    return sum(losses)


def predict(
    workers: Workers, field: Field, coords: Coords, piece_size: int = 8192
) -> Values:
    """Return a field's values at many points, without gradients.

    Args:
        workers: Who works.
        field: The field.
        coords: Points in the unit box.
        piece_size: Points per piece.
    """
    values = coords.new_empty(len(coords), field.num_channels)
    places = range(0, len(coords), piece_size)

    def work(worker: int) -> None:
        with torch.no_grad():
            for start in places[worker :: workers.count]:
                piece = slice(start, start + piece_size)
                values[piece] = field.forward(coords[piece])

    workers.run(work)
    return values
