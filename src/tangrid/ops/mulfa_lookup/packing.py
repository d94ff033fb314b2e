"""The kernel's parameters as rows of whole lanes, and gradients back from there."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.lanes import (
    WIDTH,
)
from tangrid.ops.mulfa_lookup.filters import FilterKernel
from tangrid.ops.mulfa_lookup.memory import Filters


def whole_lanes(count: int) -> int:
    """Return a number of gates rounded up to whole lanes.

    Args:
        count: Number of gates.
    """
    return count + -count % WIDTH


def packed(kernel: FilterKernel, layout: GridLayout) -> Filters:
    """Return the parameters with gates last, padded and one row per level.

    Args:
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: The grid.
    """
    missing = -kernel.mix.shape[-1] % WIDTH
    inputs = kernel.projection.shape[2]
    # Gates stand in the last but one axis too.
    hidden = pad(kernel.hidden, (0, 0, 0, missing))
    hidden_turned = pad(kernel.hidden.mT, (0, 0, 0, missing))
    return Filters(
        projection=_rows(pad(kernel.projection.mT, (0, 0, 0, -inputs % 4))),
        hidden=_rows(hidden_turned),
        hidden_turned=_rows(hidden),
        biases=_rows(kernel.biases),
        frequencies=_rows(kernel.frequencies),
        phases=_rows(kernel.phases),
        mix=_rows(kernel.mix),
        offset=_rows(kernel.offset.repeat_interleave(_corners(layout), dim=1)),
    )


def unpacked(
    grads: Filters, kernel: FilterKernel, layout: GridLayout
) -> tuple[Tensor, ...]:
    """Return gradients in the shapes, the order and the dtypes of the parameters.

    Args:
        grads: Gradients as the loops leave them.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: The grid.
    """
    gates, inputs = kernel.projection.shape[1:]
    padded = whole_lanes(gates)
    _, layers, dims, _ = kernel.frequencies.shape

    def shaped(rows: np.ndarray, *shape: int) -> Tensor:
        tensor = torch.from_numpy(rows).view(len(rows), *shape, padded)
        return tensor[..., :gates]

    by_corner = (kernel.mix.shape[1], _corners(layout))
    offset = torch.from_numpy(grads.offset)[:, : math.prod(by_corner)]
    found = FilterKernel(
        projection=shaped(grads.projection, -1)[:, :inputs].mT,
        hidden=shaped(grads.hidden, layers - 1, padded)[:, :, :gates].mT,
        biases=shaped(grads.biases, layers),
        frequencies=shaped(grads.frequencies, layers, dims),
        phases=shaped(grads.phases, layers),
        mix=shaped(grads.mix, by_corner[0]),
        offset=offset.unflatten(1, by_corner).sum(2),
    )
    pairs = zip(found, kernel, strict=True)
    return tuple(grad.to(tensor.dtype).contiguous() for grad, tensor in pairs)


def _rows(tensor: Tensor) -> np.ndarray:
    """Return a padded row per level."""
    padded = pad(tensor.detach(), (0, -tensor.shape[-1] % WIDTH))
    return padded.flatten(1).contiguous().numpy()


def _corners(layout: GridLayout) -> int:
    return 1 if layout.interpolation == "nearest" else 2**layout.num_dims
