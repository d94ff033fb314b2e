"""Dense grids in the place of coarser ones: the same field on nodes of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tangrid.encodings.contract import GridEncoding
from tangrid.errors import ConfigError
from tangrid.ops.grid_lookup import GridLayout
from tangrid.ops.grid_lookup.layout import GridLevel

Resampling = Callable[[Tensor], Tensor]
"""What belongs to the rows of one table, interpolated to those of another."""


class ResampledEncoding(GridEncoding, ABC):
    """A grid that can be given the nodes of another resolution."""

    @abstractmethod
    def resample_like(self, other: "ResampledEncoding") -> dict[str, Resampling]:
        """Take the nodes of another grid, with features interpolated from these.

        Parameters are replaced by new ones.

        Args:
            other: Built from the same settings with another resolution; its features
                do not matter and may be on 'meta'.

        Returns:
            By the name of each parameter, what makes what belongs to the new one, such
            as moments, of what belonged to the old one.
        """


def resampling(old: GridLayout, new: GridLayout) -> Resampling:
    """Return the interpolation of a table from one dense layout to another.

    It is linear along each axis, so that a grid that is read linearly keeps every value
    if it is linear along each axis, and keeps those at its nodes if they stay nodes.
    Whole numbers are rounded.

    Args:
        old: Where the nodes were, dense with vertices on the edges of the box.
        new: Where they will be, with as many levels.

    Raises:
        ConfigError: If one of them is not such a layout.

    Example:
        >>> from tangrid.ops.grid_lookup import grid_layout
        >>> old, new = (
        ...     grid_layout(num_dims=1, num_levels=1, base_resolution=size, growth=1.0,
        ...                 storage="dense", convention="align-corners",
        ...                 slot_multiple=1)
        ...     for size in (2, 5)
        ... )
        >>> resampling(old, new)(torch.tensor([[1.0], [3.0]])).flatten().tolist()
        [1.0, 1.5, 2.0, 2.5, 3.0]
    """
    levels = tuple(zip(old.levels, new.levels, strict=True))
    for level in (level for pair in levels for level in pair):
        if level.storage != "dense" or level.shift != 0:
            raise ConfigError(
                "resampling: expected dense grids with vertices on the box's edges "
                f"that are read between them, got a {level.storage} level of "
                f"{level.resolution} vertices. Use convention='align-corners' and "
                "another interpolation than 'nearest'."
            )

    def resample(table: Tensor) -> Tensor:
        exact = table if table.is_floating_point() else table.double()
        values = torch.cat(
            [_resampled(exact, *pair, old.num_dims) for pair in levels], dim=0
        )
        return values if table.is_floating_point() else values.round().to(table.dtype)

    return resample


def replace_parameters(module: nn.Module, maps: Mapping[str, Resampling]) -> None:
    """Put resampled parameters in the place of a module's own.

    Args:
        module: What has them.
        maps: What makes the new ones, by name.
    """
    for name, resample in maps.items():
        old = module.get_parameter(name)
        new = resample(old.detach())
        setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad))


def _resampled(table: Tensor, old: GridLevel, new: GridLevel, num_dims: int) -> Tensor:
    """Return the rows of one level, those that no node has being 0."""
    rows = table[old.offset : old.offset + old.resolution**num_dims]
    values = rows.unflatten(0, (old.resolution,) * num_dims)
    for axis in range(num_dims):
        lines = values.movedim(axis, -1)
        finer = nn.functional.interpolate(
            lines.reshape(1, -1, old.resolution),
            size=new.resolution,
            mode="linear",
            align_corners=True,
        )
        values = finer.view(*lines.shape[:-1], new.resolution).movedim(-1, axis)
    found = values.reshape(-1, table.shape[1])
    return nn.functional.pad(found, (0, 0, 0, new.size - len(found)))
