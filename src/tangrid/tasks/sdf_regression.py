"""Signed distances from coordinates: which points of a pool each step trains on."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.devices import HOST
from tangrid.fields.contract import Field
from tangrid.fields.coordinate_gradient import value_and_gradient
from tangrid.notation import Coords
from tangrid.seeding import generator
from tangrid.signals.mesh import MeshSignal
from tangrid.signals.point_pool import PointPool
from tangrid.signals.site import Site
from tangrid.tasks.contract import PointBatch, Task
from tangrid.tasks.sdf_losses import SdfLoss


@dataclass(frozen=True)
class SdfBatch(PointBatch):
    """Points, their signed distances, and the normals of those on the surface.

    Attributes:
        normals: Unit normals on the surface, 0 elsewhere.
    """

    normals: Coords

    def pieces(self, size: int) -> Sequence["SdfBatch"]:
        """Return consecutive pieces of the batch.

        Args:
            size: Points per piece; the last may be smaller.
        """
        parts = zip(
            self.coords.split(size),
            self.targets.split(size),
            self.normals.split(size),
            strict=True,
        )
        return [SdfBatch(*part) for part in parts]


class SdfRegression(Task[PointBatch]):
    """Fit the signed distance of a mesh at the points of a pool.

    Each epoch goes through the pool in an order of its own, every point at most once:
    what is left after the last whole batch is not seen in that epoch.

    Args:
        signal: The mesh.
        pool: Its points.
        loss: How an error is counted.
        batch_size: Points per step.
        seed: Source of the batches.
        device: Where the field is.
    """

    def __init__(
        self,
        signal: MeshSignal,
        pool: PointPool,
        *,
        loss: SdfLoss,
        batch_size: int,
        seed: int = 0,
        device: torch.device = HOST,
    ) -> None:
        self.signal = signal
        self.settings = loss
        self.is_least_squares = loss.is_least_squares
        self.batch_size = min(batch_size, len(pool))
        self.seed = seed
        self.device = device
        self._coords = torch.from_numpy(pool.points).to(device)
        self._targets = torch.from_numpy(pool.distances)[:, None].to(device)
        self._normals = torch.from_numpy(pool.normals).to(device)
        self._epoch: tuple[int, Tensor] | None = None

    @property
    def site(self) -> Site:
        """What an encoding may know of the mesh."""
        return self.signal.site

    def batch(self, step: int) -> SdfBatch:
        """Return the batch of one step.

        Args:
            step: Number of the step, from 0.
        """
        per_epoch = len(self._coords) // self.batch_size
        epoch, place = divmod(step, per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            source = generator(self.seed, "epoch", epoch, device=self.device)
            order = torch.randperm(
                len(self._coords), generator=source, device=self.device
            )
            self._epoch = epoch, order
        first = place * self.batch_size
        return self._points(self._epoch[1][first : first + self.batch_size])

    def draw(self, count: int, source: torch.Generator) -> SdfBatch:
        """Return some points of the pool.

        Args:
            count: How many; all if they are fewer.
            source: What decides which, on the host.
        """
        order = torch.randperm(len(self._coords), generator=source)
        return self._points(order[:count].to(self.device))

    def _points(self, numbers: Int64[Tensor, " n"]) -> SdfBatch:
        # Neighbours in the pool are neighbours in the grid: sorting keeps caches warm.
        chosen = numbers.sort().values
        return SdfBatch(
            self._coords[chosen], self._targets[chosen], self._normals[chosen]
        )

    def all_points(self) -> PointBatch:
        """Return all points of the pool."""
        return PointBatch(self._coords, self._targets)

    def loss(self, field: Field, batch: PointBatch) -> Float[Tensor, ""]:
        """Return the mean loss over the points of a batch or of a piece of it.

        Args:
            field: What is trained.
            batch: Points, distances and normals.
        """
        wanted = batch.targets[:, 0]
        if not self.settings.needs_gradients or not isinstance(batch, SdfBatch):
            found = field.forward(batch.coords)[:, 0]
            return self.settings.of_values(found, wanted).mean()
        local = value_and_gradient(field, batch.coords, is_trained=True)
        values = self.settings.of_values(local.values, wanted)
        gradients = self.settings.of_gradients(local.gradients, batch.normals)
        return (values + gradients).mean()
