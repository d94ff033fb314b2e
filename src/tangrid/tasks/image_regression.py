"""Pixels from coordinates: which points of an image each step trains on."""

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.fields.contract import Field
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site
from tangrid.signals.splits import Split, split_every_second
from tangrid.tasks.contract import PointBatch, Task

Sampling = Literal["auto", "all", "pixels", "continuous"]

# Up to this many pixels, epochs are permutations and values are kept as floats.
_PIXELS_IN_MEMORY = 2**21


class ImageRegression(Task[PointBatch]):
    """Fit the values of an image with the mean squared error.

    Args:
        signal: The image.
        batch_size: Points per step.
        sampling: ``all`` pixels every step; random ``pixels``, each once per epoch up
            to two million of them and drawn with replacement beyond;
            ``continuous`` positions between pixel centres; ``auto`` takes all pixels if
            they fit one batch.
        holdout: Whether every second pixel along each axis is trained on and the others
            are kept for evaluation.
        seed: Source of the batches.

    Raises:
        ConfigError: If pixels are held out of positions between all of them.
    """

    loss_is_squared = True

    def __init__(
        self,
        signal: ImageSignal,
        *,
        batch_size: int,
        sampling: Sampling = "auto",
        holdout: bool = False,
        seed: int = 0,
    ) -> None:
        if holdout and sampling == "continuous":
            raise ConfigError(
                "sampling: expected all, pixels or auto with a holdout, got "
                "'continuous', whose points lie between all pixels. Leave one of them "
                "out."
            )
        self.signal = signal
        self.batch_size = batch_size
        self.split: Split | None = split_every_second(signal) if holdout else None
        self._seed = seed
        if sampling == "auto":
            sampling = "all" if self.num_points <= batch_size else "pixels"
        self.sampling: Sampling = sampling
        self._epoch: tuple[int, Tensor] | None = None

    @property
    def site(self) -> Site:
        """What an encoding may know of the image."""
        return self.signal.site

    @property
    def num_points(self) -> int:
        """Number of pixels to train on."""
        if self.split is not None:
            return len(self.split.train_indices)
        return self.signal.num_pixels

    def batch(self, step: int) -> PointBatch:
        """Return the batch of one step.

        Args:
            step: Number of the step, from 0.
        """
        if self.sampling == "all":
            return self._everything
        source = generator(self._seed, "batch", step)
        if self.sampling == "continuous":
            coords = torch.rand(self.batch_size, 2, generator=source)
            return PointBatch(coords, self.signal.sample(coords))
        # Neighbours in memory are neighbours in the grid: sorting keeps caches warm.
        chosen = self._draw(step, source).sort().values
        if self.num_points <= _PIXELS_IN_MEMORY:
            whole = self._everything
            return PointBatch(whole.coords[chosen], whole.targets[chosen])
        return self._points(chosen)

    def loss(self, field: Field, batch: PointBatch) -> Float[Tensor, ""]:
        """Return the mean squared error over points and channels.

        Args:
            field: What is trained.
            batch: Points and wanted values.
        """
        return torch.nn.functional.mse_loss(field.forward(batch.coords), batch.targets)

    @cached_property
    def _everything(self) -> PointBatch:
        return self._points(torch.arange(self.num_points))

    def _points(self, chosen: Int64[Tensor, " n"]) -> PointBatch:
        indices = chosen if self.split is None else self.split.train_indices[chosen]
        coords = self.signal.pixel_coords(indices)
        return PointBatch(coords, self.signal.pixel_values(indices))

    def _draw(self, step: int, source: torch.Generator) -> Int64[Tensor, " n"]:
        count = min(self.batch_size, self.num_points)
        if self.num_points > _PIXELS_IN_MEMORY:
            return torch.randint(self.num_points, (count,), generator=source)
        per_epoch = self.num_points // count
        epoch, place = divmod(step, per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            order = generator(self._seed, "epoch", epoch)
            self._epoch = epoch, torch.randperm(self.num_points, generator=order)
        return self._epoch[1][place * count : (place + 1) * count]
