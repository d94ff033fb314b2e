"""What is asked of a field: batches, a loss, and a site to build on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from tangrid.fields.contract import Field
from tangrid.notation import Coords, Values
from tangrid.signals.site import Site


@dataclass(frozen=True)
class Batch:
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

    def pieces(self, size: int) -> Sequence["Batch"]:
        """Return consecutive pieces of the batch.

        Args:
            size: Points per piece; the last may be smaller.
        """
        coords, targets = self.coords.split(size), self.targets.split(size)
        return [Batch(c, t) for c, t in zip(coords, targets, strict=True)]


class Task(ABC):
    """Something a field can be trained for.

    Attributes:
        loss_is_squared: Whether the loss is a mean squared error of values from 0 to 1,
            which a PSNR belongs to.
    """

    loss_is_squared: bool = False

    @property
    @abstractmethod
    def site(self) -> Site:
        """What an encoding may know of the signal."""

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return the batch of one step, which only the task's seed and the step decide.

        Args:
            step: Number of the step, from 0.
        """

    @abstractmethod
    def loss(self, field: Field, batch: Batch) -> Float[Tensor, ""]:
        """Return the mean loss over the points of a batch or of a piece of it.

        Args:
            field: What is trained.
            batch: Points and wanted values.
        """
