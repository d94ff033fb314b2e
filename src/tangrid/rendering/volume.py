"""What rays see of a radiance field: samples where it holds something, composited."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.errors import ConfigError
from tangrid.fields.radiance import RadianceField
from tangrid.ops.composite import (
    Composited,
    VisibleSamples,
    composite,
    ray_weights,
    visible_samples,
)
from tangrid.ops.ray_march import OccupiedCells, RaySamples, Steps, march
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.sampling import Spacing, resampled, stratified
from tangrid.rendering.scene_space import BoxRays, SceneSpace

Sampling = Literal["occupancy", "hierarchical"]


@dataclass(frozen=True, kw_only=True)
class MarchSettings:
    """Where samples are, and when a ray ends.

    With ``occupancy`` they are steps apart, in the cells that hold something. With
    ``hierarchical`` nothing is kept between steps: the field is asked for its density
    at few even samples, and then at these and at more of them where it is seen.
    """

    sampling: Sampling = "occupancy"
    """How samples are found."""
    step: float = 0.005
    """Length of the shortest step, in sides of the box."""
    slope: float = 0.0
    """Growth of the steps with the distance from the camera; 1/256 is usual for scenes
    that are larger than the box."""
    least_transmittance: float = 1e-3
    """Share of the light below which nothing more is looked at."""
    most_thickness: float | None = 10.0
    """Optical thickness after which a ray ends, by what cells are known to hold at
    least; None to look on to the end."""
    coarse: int = 64
    """Even samples of a ray, where sampling is hierarchical."""
    fine: int = 128
    """More samples of a ray where that has seen something; 0 for none."""
    spacing: Spacing = "distance"
    """Scale on which even samples are even, and on which distortion is measured:
    disparity is usual for scenes that are larger than the box."""

    def __post_init__(self) -> None:
        """Refuse rays that never end, or have no samples.

        Raises:
            ConfigError: If a number is out of range.
        """
        check_choice("march.sampling", self.sampling, Sampling)
        check_choice("march.spacing", self.spacing, Spacing)
        if self.coarse < 1 or self.fine < 0:
            raise ConfigError(
                "march: expected coarse >= 1 and fine >= 0 samples of a ray, got "
                f"{self.coarse} and {self.fine}. 64 and 128 are usual."
            )
        if not 0 < self.least_transmittance < 1:
            raise ConfigError(
                "march.least_transmittance: expected a share above 0 and below 1, got "
                f"{self.least_transmittance}."
            )
        if self.most_thickness is not None and not self.most_thickness > 0:
            raise ConfigError(
                "march.most_thickness: expected an optical thickness above 0, got "
                f"{self.most_thickness}. 10 lets nearly no light through."
            )
        if not self.step < 1:
            raise ConfigError(
                f"march.step: expected a share of the box below 1, got {self.step}."
            )
        self.steps(1)

    def steps(self, num_cascades: int) -> Steps:
        """Return the lattice of samples.

        Args:
            num_cascades: Number of nested boxes; in each, steps may be twice as long as
                in the one before.
        """
        longest = self.step * 2 ** (num_cascades - 1)
        return Steps(shortest=self.step, longest=longest, slope=self.slope)

    def longest_steps(self, num_cascades: int) -> tuple[float, ...]:
        """Return the longest step in each box.

        Args:
            num_cascades: Number of nested boxes.
        """
        growth = 2 if self.slope > 0 else 1
        return tuple(self.step * growth**box for box in range(num_cascades))


class Seen(NamedTuple):
    """What rays see of a field, and what was found on the way."""

    rays: Composited
    """Colour, opacity and depth of each ray, without a background; depth in sides of
    the box."""
    samples: RaySamples
    """All samples that were taken."""
    densities: Float[Tensor, " m"]
    """Density at each of them; without gradients."""
    kept: VisibleSamples
    """Samples that light comes through to."""
    thickness: Float[Tensor, " k"]
    """Optical thickness of each of these; with gradients."""

    @property
    def num_kept(self) -> int:
        """Number of samples that light comes through to."""
        return len(self.thickness)


def look(
    field: RadianceField,
    rays: BoxRays,
    views: Float[Tensor, "r 3"],
    space: SceneSpace,
    occupancy: Occupancy,
    settings: MarchSettings,
    offsets: Float[Tensor, " r"],
) -> Seen:
    """Return what rays see of a field.

    The colour is only asked for where light comes through to.

    Args:
        field: The field.
        rays: In the frame of the box.
        views: Directions in the world, of unit length.
        space: Where the field has the points of the box's frame.
        occupancy: Where the field holds anything.
        settings: How samples are taken.
        offsets: Share of a step, or of a bin, at which each ray's first sample stands.
    """
    if settings.sampling == "hierarchical":
        samples = _sampled(field, rays, space, occupancy.cells, settings, offsets)
    else:
        samples = march(
            *rays[:4],
            offsets,
            occupancy.cells,
            settings.steps(space.cascades),
            densities=occupancy.floors if settings.most_thickness else None,
            most_thickness=settings.most_thickness or 0.0,
        )
    density, hidden = field.density(space.coords(samples.points))
    thickness = density * samples.lengths
    kept = visible_samples(
        thickness.detach(), samples.bounds, settings.least_transmittance
    )
    seen_from = field.encode_directions(views).index_select(0, kept.rays)
    colours = field.colour(hidden.index_select(0, kept.numbers), seen_from)
    thickness = thickness.index_select(0, kept.numbers)
    distances = samples.distances.index_select(0, kept.numbers)
    found = composite(thickness, colours, distances, kept.bounds)
    return Seen(found, samples, density.detach(), kept, thickness)


@torch.no_grad()
def _sampled(
    field: RadianceField,
    rays: BoxRays,
    space: SceneSpace,
    cells: OccupiedCells,
    settings: MarchSettings,
    offsets: Float[Tensor, " r"],
) -> RaySamples:
    """Return even samples, and more where the field is seen at these."""
    spacing = settings.spacing
    coarse = stratified(rays, cells, settings.coarse, offsets, spacing=spacing)
    if not settings.fine:
        return coarse
    density = field.density(space.coords(coarse.points)).density
    weights = ray_weights(density * coarse.lengths, coarse.bounds)
    return resampled(
        rays, cells, coarse, weights, settings.fine, offsets, spacing=spacing
    )
