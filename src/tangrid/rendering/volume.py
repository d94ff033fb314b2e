"""What rays see of a radiance field: samples where it holds something, composited."""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from tangrid.errors import ConfigError
from tangrid.fields.radiance import RadianceField
from tangrid.ops.composite import Composited, composite, visible_samples
from tangrid.ops.ray_march import RaySamples, Steps, march
from tangrid.rendering.occupancy import Occupancy
from tangrid.rendering.scene_space import BoxRays, SceneSpace


@dataclass(frozen=True, kw_only=True)
class MarchSettings:
    """How far apart samples are, and when a ray ends."""

    step: float = 0.005
    """Length of the shortest step, in sides of the box."""
    slope: float = 0.0
    """Growth of the steps with the distance from the camera; 1/256 is usual for scenes
    that are larger than the box."""
    least_transmittance: float = 1e-3
    """Share of the light below which nothing more is looked at."""
    most_thickness: float = 10.0
    """Optical thickness after which a ray ends, by what cells are known to hold."""

    def __post_init__(self) -> None:
        """Refuse rays that never end.

        Raises:
            ConfigError: If a number is out of range.
        """
        if not 0 < self.least_transmittance < 1:
            raise ConfigError(
                "march.least_transmittance: expected a share above 0 and below 1, got "
                f"{self.least_transmittance}."
            )
        self.steps(1)

    def steps(self, num_cascades: int) -> Steps:
        """Return the lattice of samples.

        Args:
            num_cascades: Number of nested boxes; a step is never longer than a cell of
                the largest.
        """
        longest = self.step * 2 ** (num_cascades - 1)
        return Steps(shortest=self.step, longest=longest, slope=self.slope)


class Seen(NamedTuple):
    """What rays see of a field, and what was found on the way."""

    rays: Composited
    """Colour, opacity and depth of each ray, without a background; depth in sides of
    the box."""
    samples: RaySamples
    """All samples that were taken."""
    densities: Float[Tensor, " m"]
    """Density at each of them; without gradients."""
    num_kept: int
    """Samples that light comes through to."""


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
        offsets: Share of a step at which each ray's first sample stands.
    """
    samples = march(
        *rays[:4],
        offsets,
        occupancy.cells,
        settings.steps(space.cascades),
        densities=occupancy.floors,
        most_thickness=settings.most_thickness,
    )
    density, hidden = field.density(space.coords(samples.points))
    thickness = density * samples.lengths
    kept, of_rays, bounds = visible_samples(
        thickness.detach(), samples.bounds, settings.least_transmittance
    )
    seen_from = field.encode_directions(views).index_select(0, of_rays)
    colours = field.colour(hidden.index_select(0, kept), seen_from)
    found = composite(
        thickness.index_select(0, kept),
        colours,
        samples.distances.index_select(0, kept),
        bounds,
    )
    return Seen(found, samples, density.detach(), len(kept))
