"""The multi-resolution hash grid of InstantNGP (Mueller et al. 2022).

Its levels may be weighted by a footprint, as in Barron et al. 2023, "Zip-NeRF".
"""

import dataclasses
import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.choices import check_choice
from tangrid.encodings.contract import ENCODINGS, SizeFamily
from tangrid.encodings.table_grid import (
    TableDtype,
    TableGrid,
    TableGridConfig,
    enlarged_log2_sizes,
)
from tangrid.errors import ConfigError
from tangrid.ops.grid_lookup import GridLayout, grid_layout
from tangrid.ops.grid_lookup.layout import Convention, Interpolation, Storage
from tangrid.runs.annotations import ADDED_LATER
from tangrid.signals.site import Site


@ENCODINGS.register("hash-grid")
@dataclass(frozen=True, kw_only=True)
class HashGridConfig(TableGridConfig):
    """Multi-resolution grid whose fine levels share hashed table rows.

    Example:
        >>> from tangrid.seeding import generator
        >>> site = Site(num_dims=2, num_channels=3)
        >>> HashGridConfig().build(site, generator(0)).num_features
        32
    """

    log2_table_size: int = 19
    """Logarithm of the most table rows a level may have (T)."""
    storage: Storage = "hashed"
    """``hashed`` is dense where a level fits its table; ``tiled`` repeats a block."""
    convention: Convention = "tiny-cuda-nn"
    """Where the vertices lie."""
    interpolation: Interpolation = "linear"
    """How the corners of a cell are weighted; ``quintic`` has continuous curvature."""
    footprint: float | None = None
    """Standard deviation of what a point stands for, in sides of the box, such as half
    a pixel; levels finer than it fade out (Zip-NeRF). None keeps all of them."""

    table_dtype: TableDtype | None = field(default=None, metadata=ADDED_LATER)
    """As what features are read; None as they are kept and trained, in float32. float16
    halves what a GPU moves."""

    def __post_init__(self) -> None:
        """Refuse a grid without features or nodes, or a footprint that is none.

        Raises:
            ConfigError: If a setting is out of range.
        """
        super().__post_init__()
        check_choice("HashGridConfig.storage", self.storage, Storage)
        check_choice("HashGridConfig.convention", self.convention, Convention)
        check_choice("HashGridConfig.interpolation", self.interpolation, Interpolation)
        if self.footprint is not None and not 0 < self.footprint < math.inf:
            raise ConfigError(
                "HashGridConfig.footprint: expected a size above 0 or none, got "
                f"{self.footprint}."
            )

    def families(self) -> tuple[SizeFamily, ...]:
        """Return the ways to grow of every grid; tiles have the coarsest level's size.

        So only that can grow where ``storage`` is ``tiled``.
        """
        if self.storage == "tiled":
            return (self.coarsest_family(),)
        return super().families()

    def level_factors(self, layout: GridLayout) -> Float[Tensor, " l"] | None:
        r"""Return the weight of each level, :math:`\mathrm{erf}(1/\sqrt{8} \sigma n)`.

        It is the share of a Gaussian of the footprint's width sigma that lies within
        one cell of a level with n cells per side.

        Args:
            layout: Where the nodes are.
        """
        if self.footprint is None:
            return None
        cells = torch.tensor([level.scale for level in layout.levels])
        return torch.erf(1 / (8**0.5 * self.footprint * cells))

    def layout(self, num_dims: int) -> GridLayout:
        """Return where the nodes are.

        Args:
            num_dims: Number of coordinates.
        """
        return grid_layout(
            num_dims=num_dims,
            num_levels=self.num_levels,
            base_resolution=self.base_resolution,
            growth=self.growth,
            log2_table_size=self.log2_table_size,
            storage=self.storage,
            convention=self.convention,
            interpolation=self.interpolation,
        )

    def larger_tables(self) -> tuple["HashGridConfig", ...]:
        """Return these settings with ever larger tables, themselves first."""
        return tuple(
            dataclasses.replace(self, log2_table_size=size)
            for size in enlarged_log2_sizes(self.log2_table_size)
        )

    def build(self, site: Site, generator: torch.Generator) -> TableGrid:
        """Return the grid with small random features.

        Args:
            site: Gives the number of coordinates.
            generator: Source of the initial features.
        """
        layout = self.layout(site.num_dims)
        factors = self.level_factors(layout)
        return TableGrid(
            layout, self.channels_per_level, generator, factors, self.table_dtype
        )
