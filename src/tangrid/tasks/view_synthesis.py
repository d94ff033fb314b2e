"""Photographs from new places: rays through pixels, and how wrong their colours are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.devices import HOST
from tangrid.errors import ConfigError
from tangrid.fields.contract import Field
from tangrid.fields.radiance import RadianceField
from tangrid.fields.workers import Workers, predict
from tangrid.rendering.occupancy import Occupancy, OccupancySettings
from tangrid.rendering.scene_space import BoxRays, SceneSpace
from tangrid.rendering.volume import MarchSettings, Seen, look
from tangrid.seeding import generator
from tangrid.signals.pixel_stack import PixelStack
from tangrid.signals.site import Site
from tangrid.signals.view import View
from tangrid.tasks.contract import Batch, Task
from tangrid.tasks.view_losses import colour_loss, mean_distortion, opacity_entropy

TrainingBackground = Literal["random", "white", "black"]

_MOST_RAYS_PER_PIXEL = 64
_MOST_RAYS = 2**15
"""Rays of a step, however few samples they take."""
_FIRST_SAMPLES = 64.0
"""Samples per ray that are expected before any have been counted."""
_MEMORY = 0.8
"""What the expectation keeps of itself at each step."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """How rays are drawn and looked along."""

    background: TrainingBackground = "random"
    """What stands behind transparent pixels, and behind the field, in training."""
    rays_per_pixel: int = 1
    """Rays through each pixel whose mean is compared with it: one through its centre,
    or several through random places of it, for pixels that are means of an area."""
    march: MarchSettings = field(default_factory=MarchSettings)
    """How samples are taken along rays."""
    occupancy: OccupancySettings = field(default_factory=OccupancySettings)
    """How it is known where the field holds anything, where samples need it."""
    huber: float | None = None
    """Error of a channel from which Huber's loss is no longer half a square; none for
    the mean squared error, to which alone a PSNR belongs."""
    distortion: float = 0.0
    """Weight of the mean distortion of rays, which draws the light of each to one
    place; 0.01 is usual for scenes that are larger than the box."""
    opacity_entropy: float = 0.0
    """Weight of the mean entropy of opacities, which makes rays opaque or clear; 0.001
    is usual."""

    def __post_init__(self) -> None:
        """Refuse an unknown background, or a weight that is none.

        Raises:
            ConfigError: If it is none of those known, or a number is out of range.
        """
        check_choice("views.background", self.background, TrainingBackground)
        for name in ("distortion", "opacity_entropy"):
            weight = getattr(self, name)
            if not 0 <= weight < math.inf:
                raise ConfigError(
                    f"views.{name}: expected a weight of 0 or more, got {weight}. 0 "
                    "leaves it out."
                )
        if self.huber is not None and not 0 < self.huber < math.inf:
            raise ConfigError(
                f"views.huber: expected an error above 0, or none, got {self.huber}. "
                "0.1 is usual."
            )
        if not 1 <= self.rays_per_pixel <= _MOST_RAYS_PER_PIXEL:
            raise ConfigError(
                f"views.rays_per_pixel: expected 1 to {_MOST_RAYS_PER_PIXEL}, got "
                f"{self.rays_per_pixel}."
            )

    @property
    def loss_is_squared(self) -> bool:
        """Whether the loss is the mean squared error and nothing else."""
        return self.huber is None and not (self.distortion or self.opacity_entropy)


@dataclass(frozen=True)
class RayBatch(Batch):
    """Rays, their colours, and room for what is found along them.

    Attributes:
        rays: In the frame of the box.
        directions: In the world.
        wanted: Red, green, blue and opacity of their pixels.
        offsets: Share of a step at which its first sample stands.
        backgrounds: Colour behind each ray.
        rays_per_pixel: How many rays, one after the other, make a pixel.
        samples_per_ray: How many are expected.
        found: What each piece has seen, by its first ray; filled by the loss.
        first: Number of the first ray in the whole batch.
    """

    rays: BoxRays
    directions: Float32[Tensor, "r 3"]
    wanted: Float32[Tensor, "r 4"]
    offsets: Float32[Tensor, " r"]
    backgrounds: Float32[Tensor, "r 3"]
    rays_per_pixel: int
    samples_per_ray: float
    found: dict[int, Seen] = field(default_factory=dict)
    first: int = 0

    def __len__(self) -> int:
        """Return the number of rays."""
        return len(self.offsets)

    def pieces(self, size: int) -> Sequence["RayBatch"]:
        """Return consecutive pieces of the batch.

        Args:
            size: Samples that a piece should have.
        """
        # All alike, so that no thread waits for one that has a piece more.
        count = max(round(len(self) * self.samples_per_ray / size), 1)
        pixels = math.ceil(len(self) / self.rays_per_pixel / count)
        rays = pixels * self.rays_per_pixel
        parts = []
        for first in range(0, len(self), rays):
            span = slice(first, first + rays)
            parts.append(
                RayBatch(
                    BoxRays(*(tensor[span] for tensor in self.rays)),
                    self.directions[span],
                    self.wanted[span],
                    self.offsets[span],
                    self.backgrounds[span],
                    self.rays_per_pixel,
                    self.samples_per_ray,
                    self.found,
                    self.first + first,
                )
            )
        return parts


class ViewSynthesis(Task[RayBatch]):
    """Fit a radiance field to photographs whose cameras are known.

    A step has as many rays as give about the wanted number of samples.

    Args:
        views: Photographs to train on.
        space: Where the scene is.
        settings: How rays are drawn and looked along.
        batch_size: Samples per step.
        seed: Source of the batches.
        device: Where the field is; all photographs are moved there once.
    """

    def __init__(
        self,
        views: Sequence[View],
        space: SceneSpace,
        *,
        settings: ViewSettings,
        batch_size: int,
        seed: int = 0,
        device: torch.device = HOST,
    ) -> None:
        self.device = device
        self.space = space
        self.settings = settings
        self.loss_is_squared = settings.loss_is_squared
        self.batch_size = batch_size
        self.occupancy = Occupancy(
            settings.occupancy, settings.march.longest_steps(space.cascades), device
        )
        self._pixels = PixelStack.of(views).to(device)
        self.seed = seed
        # In tensors, because they belong to what is saved; the host counts.
        self._samples_per_ray = torch.tensor(_FIRST_SAMPLES, dtype=torch.float64)
        self._counts = torch.zeros(3, dtype=torch.float64)

    @property
    def site(self) -> Site:
        """What an encoding may know of the scene."""
        return Site(num_dims=3, num_channels=3)

    @property
    def _needs_occupancy(self) -> bool:
        return self.settings.march.sampling == "occupancy"

    def batch(self, step: int) -> RayBatch:
        """Return the rays of one step.

        Args:
            step: Number of the step, from 0.
        """
        source = generator(self.seed, "rays", step, device=self.device)
        expected = max(float(self._samples_per_ray), 0.5)
        several = self.settings.rays_per_pixel
        count = min(max(round(self.batch_size / expected), 64), _MOST_RAYS) // several

        def shares(*shape: int) -> Tensor:
            return torch.rand(shape, generator=source, device=self.device)

        pixels = torch.randint(
            len(self._pixels), (count,), generator=source, device=self.device
        )
        places = None
        if several > 1:
            pixels = pixels.repeat_interleave(several)
            places = shares(len(pixels), 2)
        origins, directions, wanted = self._pixels.rays(pixels, places)
        rays = self.space.rays(origins, directions)
        offsets = shares(len(pixels))
        if self.settings.background == "random":
            backgrounds = shares(count, 3)
            backgrounds = backgrounds.repeat_interleave(several, dim=0)
        else:
            white = float(self.settings.background == "white")
            backgrounds = torch.full((len(pixels), 3), white, device=self.device)
        return RayBatch(
            rays, directions, wanted, offsets, backgrounds, several, expected
        )

    def loss(self, field: Field, batch: RayBatch) -> Float[Tensor, ""]:
        """Return the mean error over rays and channels, and what is added to it.

        Args:
            field: A radiance field.
            batch: Rays and their pixels.
        """
        assert isinstance(field, RadianceField)
        settings = self.settings
        seen = look(
            field,
            batch.rays,
            batch.directions,
            self.space,
            self.occupancy,
            settings.march,
            batch.offsets,
        )
        batch.found[batch.first] = seen
        opacity = batch.wanted[:, 3:]
        target = batch.wanted[:, :3] * opacity + (1 - opacity) * batch.backgrounds
        rest = 1 - seen.rays.opacity[:, None]
        colour = seen.rays.colour + rest * batch.backgrounds
        several = batch.rays_per_pixel
        if several > 1:
            colour = colour.view(-1, several, 3).mean(1)
            target = target[::several]
        loss = colour_loss(colour, target, settings.huber)
        if settings.distortion:
            spread = mean_distortion(seen, settings.march.spacing)
            loss = loss + settings.distortion * spread
        if settings.opacity_entropy:
            unclear = opacity_entropy(seen.rays.opacity)
            loss = loss + settings.opacity_entropy * unclear
        return loss

    def finish_step(
        self, step: int, batch: RayBatch, field: Field, workers: Workers
    ) -> int:
        """Take in what the rays have found; refresh what is known now and then.

        Args:
            step: Number of the step, from 0.
            batch: The rays.
            field: The radiance field.
            workers: Who works.

        Returns:
            The number of samples.
        """
        # In the order of the rays, whichever thread was first.
        found = [batch.found[first] for first in sorted(batch.found)]
        count = sum(len(seen.densities) for seen in found)
        kept = sum(seen.num_kept for seen in found)
        self._counts += torch.tensor([len(batch), count, kept], dtype=torch.float64)
        mean = count / len(batch)
        if step == 0:
            self._samples_per_ray.fill_(mean)
        self._samples_per_ray.lerp_(
            torch.tensor(mean, dtype=torch.float64), 1 - _MEMORY
        )
        if self._needs_occupancy:
            for seen in found:
                self.occupancy.see(seen.samples.cells, seen.densities)
            if (step + 1) % self.settings.occupancy.interval == 0:
                self._refresh(step, field, workers)
        return count

    def _refresh(self, step: int, field: Field, workers: Workers) -> None:
        source = generator(self.seed, "cells", step, device=self.device)
        cells, points = self.occupancy.draw(step, source)
        coords = self.space.coords(points)
        self.occupancy.see(cells, predict(workers, field, coords)[:, 0])
        self.occupancy.refresh()

    @property
    def state(self) -> dict[str, Tensor]:
        """What has been learned: where the field is, and how long rays are."""
        return {
            **self.occupancy.state,
            "samples_per_ray": self._samples_per_ray,
            "counts": self._counts,
        }

    @property
    def measures(self) -> Mapping[str, float]:
        """Rays and samples so far, samples that count, and samples per ray now."""
        rays, samples, kept = self._counts.tolist()
        return {
            "rays": rays,
            "samples": samples,
            "samples_kept": kept,
            "samples_per_ray": float(self._samples_per_ray),
        }

    def speeds(self, seconds: float) -> dict[str, float | None]:
        """Return rays and samples per second, and what there is to be seen.

        Args:
            seconds: Time of training.
        """
        names = ("rays", "samples", "samples_kept")
        speeds = {
            f"{name}_per_second": count / seconds if seconds else None
            for name, count in zip(names, self._counts.tolist(), strict=True)
        }
        occupied = self.occupancy.fraction if self._needs_occupancy else None
        return {**speeds, "occupied": occupied}
