"""What is asked of a field: batches, a loss, and a site to build on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import HOST
from tangrid.fields.contract import Field
from tangrid.fields.workers import Workers
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


class Batch(ABC):
    """What one step of training looks at, in parts that count alike in its loss."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of parts: points, or rays."""

    @abstractmethod
    def pieces(self, size: int) -> Sequence["Batch"]:
        """Return consecutive pieces of the batch.

        Args:
            size: Points that a piece should have; the last may be smaller.
        """


@dataclass(frozen=True)
class PointBatch(Batch):
    """Points and what the field should give there.

    Attributes:
        coords: Points in the unit box.
        targets: Wanted values.
    """

    coords: Coords
    targets: Values

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.coords)

    def pieces(self, size: int) -> Sequence["PointBatch"]:
        """Return consecutive pieces of the batch.

        Args:
            size: Points per piece; the last may be smaller.
        """
        coords, targets = self.coords.split(size), self.targets.split(size)
        return [PointBatch(c, t) for c, t in zip(coords, targets, strict=True)]


AnyBatch = TypeVar("AnyBatch", bound=Batch)


class Task(ABC, Generic[AnyBatch]):
    """Something a field can be trained for.

    Attributes:
        loss_is_squared: Whether the loss is a mean squared error of values from 0 to 1,
            which a PSNR belongs to.
        is_least_squares: Whether batches are points with targets, and the loss the mean
            square of the targets less the field's values, which a Gauss-Newton step
            takes for granted.
        seed: Source of the batches, and of what an optimiser draws.
        device: Where the field is. All tensors of batches and losses are there, random
            numbers are drawn there, and nothing waits for it in a step.
    """

    loss_is_squared: bool = False
    is_least_squares: bool = False
    seed: int = 0
    device: torch.device = HOST

    @property
    @abstractmethod
    def site(self) -> Site:
        """What an encoding may know of the signal."""

    @abstractmethod
    def batch(self, step: int) -> AnyBatch:
        """Return the batch of one step, which only the task's seed and the step decide.

        Args:
            step: Number of the step, from 0.
        """

    @abstractmethod
    def loss(self, field: Field, batch: AnyBatch) -> Float[Tensor, ""]:
        """Return the mean loss over the parts of a batch or of a piece of it.

        Args:
            field: What is trained.
            batch: Points and wanted values.
        """

    def all_points(self) -> PointBatch | None:
        """Return all points that the loss is the mean over.

        The default is None: they are drawn anew in every step, or are no points.
        """
        return None

    def finish_step(
        self, step: int, batch: AnyBatch, field: Field, workers: Workers
    ) -> int:
        """Learn from a step what the next batches need, after the field has moved.

        Args:
            step: Number of the step, from 0.
            batch: What it looked at.
            field: What is trained.
            workers: Who works.

        Returns:
            The number of points that the field was asked for.
        """
        del step, field, workers
        return len(batch)

    @property
    def state(self) -> dict[str, Tensor]:
        """What the task has learned in training; changing it changes the task."""
        return {}

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers of its own that belong into the log."""
        return {}
