"""Pixels from coordinates: which points of an image each step trains on."""

from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.fields.contract import Field
from tangrid.notation import Coords, Values
from tangrid.seeding import generator
from tangrid.signals.image import ImageSignal
from tangrid.signals.site import Site
from tangrid.signals.splits import Split
from tangrid.tasks.contract import PointBatch, Task

Sampling = Literal["auto", "all", "pixels", "continuous"]

# Up to this many pixels, epochs are permutations and values are kept as floats.
_PIXELS_IN_MEMORY = 2**21
_PIXELS_ON_A_GPU = 2**26
"""Up to this many, their values are kept there as floats."""


class ImageRegression(Task[PointBatch]):
    """Fit the values of an image with the mean squared error.

    Args:
        signal: The image.
        batch_size: Points per step.
        sampling: ``all`` pixels every step; random ``pixels``, each once per epoch up
            to two million of them and drawn with replacement beyond;
            ``continuous`` positions between pixel centres; ``auto`` takes all pixels if
            they fit one batch.
        split: Pixels to train on, and those kept for evaluation; all by default.
        seed: Source of the batches.
        device: Where the field is.

    Raises:
        ConfigError: If pixels are held out of positions between all of them.
    """

    loss_is_squared = True
    is_least_squares = True

    def __init__(
        self,
        signal: ImageSignal,
        *,
        batch_size: int,
        sampling: Sampling = "auto",
        split: Split | None = None,
        seed: int = 0,
        device: torch.device = HOST,
    ) -> None:
        if split is not None and sampling == "continuous":
            raise ConfigError(
                "sampling: expected all, pixels or auto with a holdout, got "
                "'continuous', whose points lie between all pixels. Leave one of them "
                "out."
            )
        self.signal = signal
        self.batch_size = batch_size
        self.split = split
        self.seed = seed
        if sampling == "auto":
            sampling = "all" if self.num_points <= batch_size else "pixels"
        self.sampling: Sampling = sampling
        self.device = device
        largest = _PIXELS_IN_MEMORY if device == HOST else _PIXELS_ON_A_GPU
        self._holds_all = self.num_points <= largest
        # Pixels of a larger image are looked up on the host.
        self._drawn_on = device if self._holds_all else HOST
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
        source = generator(self.seed, "batch", step, device=self._drawn_on)
        if self.sampling == "continuous":
            coords = torch.rand(
                self.batch_size, 2, generator=source, device=self._drawn_on
            )
            return self._between(coords)
        # Neighbours in memory are neighbours in the grid: sorting keeps caches warm.
        chosen = self._draw(step, source).sort().values
        if self._holds_all:
            whole = self._everything
            return PointBatch(whole.coords[chosen], whole.targets[chosen])
        return self._points(chosen)

    def draw(self, count: int, source: torch.Generator) -> PointBatch:
        """Return some of the points that are trained on.

        Args:
            count: How many; all pixels if they are fewer.
            source: What decides which, on the host.
        """
        if self.sampling == "continuous":
            coords = torch.rand(count, 2, generator=source)
            return self._between(coords.to(self._drawn_on))
        order = torch.randperm(self.num_points, generator=source)
        return self._points(order[:count].sort().values)

    def all_points(self) -> PointBatch | None:
        """Return all pixels to train on; None for positions between them."""
        return None if self.sampling == "continuous" else self._everything

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
        return self._on_device(
            self.signal.pixel_coords(indices), self.signal.pixel_values(indices)
        )

    def _between(self, coords: Coords) -> PointBatch:
        """Return what the image is at places between pixel centres."""
        if self._drawn_on == HOST:
            return self._on_device(coords, self.signal.sample(coords))
        shape = self.signal.height, self.signal.width, -1
        image = self._everything.targets.view(shape).movedim(2, 0)
        found = torch.nn.functional.grid_sample(
            image[None], 2 * coords[None, None] - 1, padding_mode="border",
            align_corners=False,
        )  # fmt: skip
        return PointBatch(coords, found[0, :, 0].T)

    def _on_device(self, coords: Coords, targets: Values) -> PointBatch:
        return PointBatch(coords.to(self.device), targets.to(self.device))

    def _draw(self, step: int, source: torch.Generator) -> Int64[Tensor, " n"]:
        count, place = min(self.batch_size, self.num_points), self._drawn_on
        if self.num_points > _PIXELS_IN_MEMORY:
            return torch.randint(
                self.num_points, (count,), generator=source, device=place
            )
        per_epoch = self.num_points // count
        epoch, part = divmod(step, per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            source = generator(self.seed, "epoch", epoch, device=place)
            order = torch.randperm(self.num_points, generator=source, device=place)
            self._epoch = epoch, order
        return self._epoch[1][part * count : (part + 1) * count]
