r"""Colours that stand at voxels, in a density that is fixed: pixels are linear in them.

A sample at x with the share w of its ray's light (`ray_weights`) shows
:math:`\sum_k \phi_k(x)\, b(v) \cdot c_k`, with the interpolation weights of the voxels
around it and, where colours depend on the direction v, spherical harmonics b. So a
pixel less its background is a row of a sparse matrix times the table of all c.

References:
    Karnewar et al. 2022, "ReLU Fields"; Fridovich-Keil et al. 2022, "Plenoxels", whose
    colours these are, there trained together with the density.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix, vstack
from torch import Tensor, nn

from tangrid.devices import require_memory
from tangrid.encodings import DenseGridConfig
from tangrid.encodings.spherical_harmonics import spherical_harmonics
from tangrid.errors import ConfigError
from tangrid.fields.radiance import Density, RadianceField
from tangrid.fields.workers import Workers
from tangrid.notation import Coords, Features
from tangrid.ops.composite import ray_weights
from tangrid.rendering.scene_space import BoxRays
from tangrid.rendering.views import RadianceScene
from tangrid.rendering.volume import look
from tangrid.seeding import generator
from tangrid.signals.site import Site
from tangrid.signals.view import View

_MOST_DEGREE = 2
_LEAST_RESOLUTION = 2
_RAYS_AT_ONCE = 2048
_VIEWS_LOOKED_AT = 4
"""From which it is told how much memory all need."""


@dataclass(frozen=True, kw_only=True)
class VoxelSettings:
    """Where colours stand.

    Example:
        >>> VoxelSettings(resolution=64, degree=1).num_harmonics
        4
    """

    resolution: int = 128
    """Voxels along each side of the box, the first and the last on its faces."""
    levels: int = 1
    """Grids whose sum it is, each of half the resolution of the next: what no ray has
    seen takes on what coarser voxels around it say."""
    degree: int = 0
    """Degree of spherical harmonics in the direction; 0 for colours without one."""

    def __post_init__(self) -> None:
        """Refuse what is no grid.

        Raises:
            ConfigError: If a number is out of range.
        """
        if self.levels < 1 or self.coarsest < _LEAST_RESOLUTION:
            raise ConfigError(
                "VoxelSettings: expected levels >= 1 and a coarsest resolution of at "
                f"least {_LEAST_RESOLUTION}, got {self.levels} of them up to "
                f"{self.resolution}."
            )
        factor = 2 ** (self.levels - 1)
        if self.resolution % factor:
            raise ConfigError(
                f"VoxelSettings.resolution: expected a multiple of {factor}, by which "
                f"{self.levels} grids of doubling resolution differ, got "
                f"{self.resolution}. Take {-(-self.resolution // factor) * factor}."
            )
        if not 0 <= self.degree <= _MOST_DEGREE:
            raise ConfigError(
                f"VoxelSettings.degree: expected 0 to {_MOST_DEGREE}, got "
                f"{self.degree}."
            )

    @property
    def coarsest(self) -> int:
        """Resolution of the coarsest grid."""
        return self.resolution // 2 ** (self.levels - 1) if self.levels >= 1 else 0

    @property
    def num_harmonics(self) -> int:
        """Colours at each voxel."""
        return (self.degree + 1) ** 2


class VoxelColours(RadianceField):
    """Have the density of another field, and colours that stand at voxels.

    Colours are not kept between 0 and 1: that would not be linear. Pictures are.

    Args:
        medium: The field whose density it has; it is not trained.
        settings: Where colours stand; all are 0 at first.
    """

    num_hidden = 3

    def __init__(self, medium: RadianceField, settings: VoxelSettings) -> None:
        super().__init__()
        self.medium = medium
        self.settings = settings
        config = DenseGridConfig(
            num_levels=settings.levels,
            channels_per_level=3 * settings.num_harmonics,
            base_resolution=settings.coarsest,
            growth=2.0,
        )
        site = Site(num_dims=3, num_channels=3)
        self.grid = config.build(site, generator(0, "voxels")).to(medium.device)
        self.base = nn.Buffer(torch.zeros(3, device=medium.device))
        with torch.no_grad():
            self.grid.table.zero_()

    def density(self, coords: Coords) -> Density:
        """Return the fixed density, and the places themselves.

        Args:
            coords: Points in the unit box.
        """
        return Density(self.medium.density(coords).density.detach(), coords)

    def encode_directions(self, directions: Float[Tensor, "r 3"]) -> Features:
        """Return spherical harmonics of directions, the constant one as 1.

        Args:
            directions: Unit vectors away from the camera.
        """
        found = spherical_harmonics(directions, self.settings.degree + 1)
        return found / found[:, :1]

    def colour(self, hidden: Features, views: Features) -> Float[Tensor, "n 3"]:
        """Return the colours between voxels.

        Args:
            hidden: The places.
            views: Harmonics of the directions that they are seen in.
        """
        shape = (len(hidden), self.settings.levels, self.settings.num_harmonics, 3)
        colours = self.grid(hidden).reshape(shape).sum(1)
        return self.base + (colours * views[:, :, None]).sum(1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the table of colours as group ``grid``."""
        return self.grid.parameter_groups()

    @property
    def num_columns(self) -> int:
        """Unknowns of each channel."""
        return len(self.grid.table) * self.settings.num_harmonics

    @torch.no_grad()
    def set_colours(self, columns: Float[Tensor, "p 3"]) -> None:
        """Take on colours.

        Args:
            columns: One row for each column of the rendering matrix.
        """
        rows = columns.reshape(len(self.grid.table), -1)
        self.grid.table.copy_(rows.to(self.grid.table))


@dataclass(frozen=True, eq=False)
class RenderingMatrix:
    """Hold the pixels of views as a linear map of colours at voxels.

    Attributes:
        matrix: A row for each ray that sees anything, a column for each unknown.
        opacity: Share of the background that each of these hides.
        wanted: What their pixels are to be, less what comes through from behind.
        num_rays: Of all pixels.
    """

    matrix: csr_matrix
    opacity: Float[Tensor, " n"]
    wanted: Float[Tensor, "n 3"]
    num_rays: int


def rendering_matrix(
    scene: RadianceScene,
    views: Sequence[View],
    background: tuple[float, float, float],
    workers: Workers,
) -> RenderingMatrix:
    """Return what the centres of all pixels see of the voxels.

    Rays are looked along as for a picture: with the same samples, shares of light and
    background, so that the product with a table of colours is the picture.

    Args:
        scene: A field of `VoxelColours`, and how it is looked at.
        views: Photographs.
        background: Colour behind field and photographs.
        workers: Who works.

    Raises:
        ConfigError: If there are no views.
        ResourceError: If the matrix does not fit into the free memory.
    """
    field = scene.field
    assert isinstance(field, VoxelColours)
    if not views:
        raise ConfigError(
            "rendering_matrix(views=...): expected at least one photograph, got none. "
            "Give the scene's views."
        )
    _require_room(scene, field, views)

    def work(worker: int) -> list[tuple[int, list[tuple[csr_matrix, Tensor, Tensor]]]]:
        chosen = range(worker, len(views), workers.count)
        return [(i, _of_view(scene, field, views[i], background)) for i in chosen]

    numbered = [found for part in workers.run(work) for found in part]
    # In the order of the views, however many workers there are.
    numbered.sort(key=lambda found: found[0])
    parts = [piece for _, pieces in numbered for piece in pieces]
    return RenderingMatrix(
        matrix=csr_matrix(vstack([matrix for matrix, _, _ in parts])),
        opacity=torch.cat([opacity for _, opacity, _ in parts]),
        wanted=torch.cat([wanted for _, _, wanted in parts]),
        num_rays=sum(view.camera.width * view.camera.height for view in views),
    )


@torch.no_grad()
def _require_room(
    scene: RadianceScene, field: VoxelColours, views: Sequence[View]
) -> None:
    """Refuse more pixels than memory holds rows of, by some rays of some views."""
    source = generator(0, "rays")
    looked = entries = 0
    for number in torch.randperm(len(views), generator=source)[:_VIEWS_LOOKED_AT]:
        rays, directions = _rays_of(scene, field, views[int(number)])
        order = torch.randperm(len(directions), generator=source)
        some = order[: _RAYS_AT_ONCE // _VIEWS_LOOKED_AT].to(directions.device)
        few = BoxRays(*(values[some] for values in rays))
        matrix, _ = _of_rays(scene, field, few, directions[some])
        looked, entries = looked + len(some), entries + matrix.nnz
    pixels = sum(view.camera.width * view.camera.height for view in views)
    # A number and its column; parts are still there while they are joined.
    require_memory(
        16 * entries * pixels // looked,
        f"rendering matrix of {pixels:,} pixels",
        "Take fewer or smaller photographs, or fewer voxels.",
    )


def _rays_of(
    scene: RadianceScene, field: VoxelColours, view: View
) -> tuple[BoxRays, Float[Tensor, "r 3"]]:
    origins, directions = (part.to(field.device) for part in view.camera.rays())
    return scene.space.rays(origins, directions), directions


@torch.no_grad()
def _of_view(
    scene: RadianceScene,
    field: VoxelColours,
    view: View,
    background: tuple[float, float, float],
) -> list[tuple[csr_matrix, Tensor, Tensor]]:
    rays, directions = _rays_of(scene, field, view)
    pixels = torch.from_numpy(view.pixels.astype(np.float32) / 255).flatten(0, 1)
    behind = torch.tensor(background)
    alpha = pixels[:, 3:] if view.has_alpha else torch.ones(len(pixels), 1)
    targets = pixels[:, :3] * alpha + (1 - alpha) * behind
    found = []
    for start in range(0, len(directions), _RAYS_AT_ONCE):
        part = slice(start, start + _RAYS_AT_ONCE)
        piece = BoxRays(*(values[part] for values in rays))
        matrix, opacity = _of_rays(scene, field, piece, directions[part])
        wanted = targets[part] - (1 - opacity)[:, None] * behind
        sees = torch.from_numpy(np.diff(matrix.indptr) > 0)
        found.append((matrix[sees.numpy()], opacity[sees], wanted[sees]))
    return found


def _of_rays(
    scene: RadianceScene,
    field: VoxelColours,
    rays: BoxRays,
    directions: Float[Tensor, "r 3"],
) -> tuple[csr_matrix, Tensor]:
    """Return rows of the matrix, and the opacity of their rays."""
    middle = torch.full_like(rays.nears, 0.5)
    seen = look(
        field,
        rays,
        directions,
        scene.space,
        scene.occupancy,
        scene.march,
        middle,
    )
    shares = ray_weights(seen.thickness, seen.kept.bounds)
    points = seen.samples.points.index_select(0, seen.kept.numbers)
    coords = scene.space.coords(points)
    lookups = field.grid.lookups(coords, field.grid.select(coords))
    rows = torch.cat([lookup.rows for lookup in lookups], dim=1)
    weights = torch.cat([lookup.weights for lookup in lookups], dim=1)
    harmonics = field.encode_directions(directions)[seen.kept.rays]
    count = harmonics.shape[1]
    columns = rows[:, :, None] * count + torch.arange(count, device=rows.device)
    numbers = (shares[:, None] * weights)[:, :, None] * harmonics[:, None, :]
    starts = seen.kept.bounds * (rows.shape[1] * count)
    matrix = csr_matrix(
        (
            numbers.flatten().cpu().numpy(),
            columns.flatten().cpu().numpy(),
            starts.cpu().numpy(),
        ),
        shape=(len(directions), field.num_columns),
    )
    # Neighbouring samples of a ray share voxels; those in empty space show none.
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix, seen.rays.opacity.cpu()
