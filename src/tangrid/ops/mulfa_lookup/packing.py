"""Between tensors and the arrays that the numba loops work on."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from tangrid.ops.grid_lookup.layout import GridLayout
from tangrid.ops.mulfa_lookup import numba_cpu
from tangrid.ops.mulfa_lookup.filters import (
    NORMALISERS,
    FilterKernel,
    KernelSettings,
)
from tangrid.ops.mulfa_lookup.lanes import WIDTH
from tangrid.ops.mulfa_lookup.memory import Filters, Plan


def forward(
    coords: Tensor,
    table: Tensor,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    *,
    serial: bool,
) -> Tensor:
    """Return what numba reads.

    Args:
        coords: Points in the unit box.
        table: Features of all levels' nodes.
        kernel: Parameters of all levels.
        layout: Where the nodes are.
        settings: The kernel's settings.
        serial: Whether to stay on the calling thread.
    """
    out = coords.new_empty(len(coords), len(layout.levels) * table.shape[1])
    plan, waves = _plan(coords, kernel, layout, settings)
    read = numba_cpu.forward_serial if serial else numba_cpu.forward_parallel
    read(_array(coords), _array(table), _packed(kernel), plan, waves, out.numpy())
    return out


def vjp(
    grad_out: Tensor,
    coords: Tensor,
    table: Tensor,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    *,
    serial: bool,
    grad_into: Tensor | None,
    needs: tuple[bool, ...],
) -> tuple[Tensor, ...]:
    """Return gradients of coordinates, table and kernel; empty where not needed.

    Args:
        grad_out: Gradient of the features.
        coords: Points in the unit box.
        table: Features of all levels' nodes.
        kernel: Parameters of all levels.
        layout: Where the nodes are.
        settings: The kernel's settings.
        serial: Whether to stay on the calling thread.
        grad_into: Buffer that takes the table's gradient.
        needs: Which of coordinates, table and kernel need a gradient.
    """
    grad_coords = coords.new_empty(0, 0, 0)
    if needs[0]:
        grad_coords = coords.new_empty(len(layout.levels), *coords.shape)
    grad_table = table.new_empty(0, table.shape[1])
    if needs[1]:
        grad_table = torch.zeros_like(table) if grad_into is None else grad_into
    packed = _packed(kernel)
    sizes = [(0 if not any(needs[2:]) else len(a), a.shape[1]) for a in packed]
    gradients = Filters(*(np.zeros(size) for size in sizes))
    plan, waves = _plan(coords, kernel, layout, settings)
    pull = numba_cpu.vjp_serial if serial else numba_cpu.vjp_parallel
    pull(
        _array(coords),
        _array(table),
        packed,
        plan,
        waves,
        _array(grad_out),
        grad_table.numpy(),
        gradients,
        grad_coords.numpy(),
    )
    kernel_grads = _unpacked(gradients, kernel) if any(needs[2:]) else kernel
    return (grad_coords.sum(0), grad_table, *kernel_grads)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


def _packed(kernel: FilterKernel) -> Filters:
    """Pad the gates to whole lanes and put them last."""
    gates = kernel.mix.shape[-1]
    missing = -gates % WIDTH

    def flat(tensor: Tensor) -> np.ndarray:
        return _array(pad(tensor, (0, missing)).flatten(1))

    # Gates stand in the last but one axis too.
    hidden = pad(kernel.hidden, (0, 0, 0, missing))
    hidden_turned = pad(kernel.hidden.mT, (0, 0, 0, missing))
    return Filters(
        projection=flat(kernel.projection.mT),
        hidden=flat(hidden_turned),
        hidden_turned=flat(hidden),
        biases=flat(kernel.biases),
        frequencies=flat(kernel.frequencies),
        phases=flat(kernel.phases),
        mix=flat(kernel.mix),
        offset=_array(kernel.offset),
    )


def _unpacked(gradients: Filters, kernel: FilterKernel) -> FilterKernel:
    """Give gradients the shapes of the parameters."""
    gates = kernel.mix.shape[-1]
    padded = gates + -gates % WIDTH

    def shaped(array: np.ndarray, *shape: int) -> Tensor:
        tensor = torch.from_numpy(array).reshape(len(array), *shape, padded)
        return tensor[..., :gates]

    levels, layers, dims, _ = kernel.frequencies.shape
    hidden = shaped(gradients.hidden, layers - 1, padded)[..., :gates, :]
    grads = FilterKernel(
        projection=shaped(gradients.projection, kernel.projection.shape[2]).mT,
        hidden=hidden.mT,
        biases=shaped(gradients.biases, layers),
        frequencies=shaped(gradients.frequencies, layers, dims),
        phases=shaped(gradients.phases, layers),
        mix=shaped(gradients.mix, kernel.mix.shape[1]),
        offset=torch.from_numpy(gradients.offset),
    )
    return FilterKernel(
        *(
            grad.to(tensor.dtype).contiguous()
            for grad, tensor in zip(grads, kernel, strict=True)
        )
    )


def _plan(
    coords: Tensor, kernel: FilterKernel, layout: GridLayout, settings: KernelSettings
) -> tuple[Plan, np.ndarray]:
    """Lay out the tables of waves: by node, or by point where there are fewer."""
    layers, gates = kernel.biases.shape[1:]
    padded = gates + -gates % WIDTH
    # A cell may lie one past the end of its level.
    nodes = np.array([level.resolution + 1 for level in layout.levels])
    by_point = nodes > 2 * len(coords)
    rows = np.where(by_point, 2 * len(coords), nodes)
    sizes = rows * (layout.num_dims * layers * 2 * padded)
    starts = np.cumsum(sizes) - sizes
    plan = Plan(
        scales=layout.scales,
        addresses=layout.addresses,
        waves=np.stack((starts, rows, by_point), axis=1).astype(np.int64),
        interpolation=layout.interpolation_code,
        normaliser=NORMALISERS.index(settings.normaliser),
        epsilon=float(settings.epsilon),
        grid_units=settings.units == "grid",
        num_frequencies=settings.num_frequencies,
        layers=layers,
        gates=padded,
    )
    return plan, np.empty(sizes.sum(), np.float32)
