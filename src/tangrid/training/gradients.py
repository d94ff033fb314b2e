"""Gradients of a batch, piece by piece, on several threads.

Pieces go to workers by their number, each worker adds to gradients of its own, and the
optimiser adds those in a fixed order: a step has the same bits whenever it runs with
the same number of workers. A GPU takes the batch as one piece, and nobody waits for it.
"""

import torch
from torch import Tensor

from tangrid.devices import HOST
from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers
from tangrid.ops import accumulate_into
from tangrid.tasks.contract import Batch, Task
from tangrid.training.optimizer import Adam


def add_gradients(
    workers: Workers,
    task: Task,
    field: Field,
    batch: Batch,
    optimizer: Adam,
    piece_size: int,
    scale: Tensor | None = None,
) -> Tensor:
    """Add the gradients of one batch to the optimiser.

    Args:
        workers: Who works.
        task: Gives the loss.
        field: What is trained.
        batch: Points of this step.
        optimizer: Holds each worker's gradients.
        piece_size: Points per piece, unless it is a GPU that works.
        scale: Factor of the loss whose gradients are added; None for 1.

    Returns:
        The mean loss, on the host in float64, on a GPU where the field is.
    """
    pieces = batch.pieces(workers.piece_size(piece_size))
    parameters = optimizer.parameters
    losses = [torch.empty(())] * len(pieces)

    def work(worker: int) -> None:
        grads = optimizer.worker_grads(worker)
        buffers: dict[Tensor, Tensor] = dict(zip(parameters, grads, strict=True))
        for number in range(worker, len(pieces), workers.count):
            piece = pieces[number]
            with accumulate_into(buffers):
                loss = task.loss(field, piece) * (len(piece) / len(batch))
                scaled = loss if scale is None else loss * scale
                found = torch.autograd.grad(scaled, parameters, allow_unused=True)
            losses[number] = loss.detach()
            for total, grad in zip(grads, found, strict=True):
                # Tables have added theirs already.
                if grad is not None:
                    total.add_(grad)

    workers.run(work)
    if workers.device != HOST:
        return torch.stack(losses).sum()
    return torch.tensor(sum(loss.item() for loss in losses), dtype=torch.float64)
