"""MulFAGrid's lookup in plain PyTorch: the truth that the fast loops match.

A level reads ``z_f = sum_c weights_cf table[rows_c, f]`` over the corners c of a cell;
the weights come from the filter network's values at the corners' nodes.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tangrid.notation import Coords, Features, Table
from tangrid.ops.grid_lookup.layout import GridLayout, GridLevel
from tangrid.ops.grid_lookup.reference import (
    corner_nodes,
    corner_weights,
    node_rows,
    scaled_position,
)
from tangrid.ops.mulfa_lookup.filters import (
    RESIDUAL_BOUND,
    FilterKernel,
    KernelSettings,
)

Nodes = Int64[Tensor, "n k d"] | Float[Tensor, "n k d"]
"""Multi-indices on a lattice, or places in units of the index."""
RawKernel = Float[Tensor, "n k o"]


def fourier_features(
    coords: Coords, level: GridLevel, settings: KernelSettings
) -> Float[Tensor, "n z"]:
    """Return sines and cosines of ``2^j pi p`` by axis, frequency j, and function.

    Args:
        coords: Points in the unit box.
        level: The level whose cells are the unit, where units are ``grid``.
        settings: Number of frequencies and units.
    """
    position = scaled_position(coords, level) if settings.units == "grid" else coords
    return octave_waves(position, settings.num_frequencies)


def octave_waves(position: Coords, num_frequencies: int) -> Float[Tensor, "n z"]:
    """Return sines and cosines of ``2^j pi p`` by axis, frequency j, and function.

    Args:
        position: Points in the unit that the first octave has for half a period.
        num_frequencies: Number of octaves (m).
    """
    octaves = 2.0 ** torch.arange(num_frequencies, device=position.device)
    # A power of two and the period are exact in floating point; an angle is not.
    half_turns = torch.remainder(position[:, :, None] * octaves.to(position.dtype), 2)
    angles = half_turns * torch.pi
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def gates(nodes: Nodes, kernel: FilterKernel, layer: int) -> Tensor:
    """Return ``sin(Omega i + phase)`` of one layer at nodes, [n, k, g].

    Args:
        nodes: Multi-indices.
        kernel: Parameters of one level.
        layer: Which filter layer.
    """
    phase = nodes.double() @ kernel.frequencies[layer] + kernel.phases[layer].double()
    return phase.sin().to(kernel.phases.dtype)


def raw_kernel_layerwise(
    features: Float[Tensor, "n z"], nodes: Nodes, kernel: FilterKernel
) -> RawKernel:
    """Return phi, evaluated layer by layer as the paper writes it.

    Args:
        features: Fourier features of the points.
        nodes: The nodes that each point reads.
        kernel: Parameters of one level.
    """
    layers = range(len(kernel.biases))
    return filtered(features, [gates(nodes, kernel, n) for n in layers], kernel)


def filtered(
    features: Float[Tensor, "n z"],
    waves: Sequence[Float[Tensor, "n k g"]],
    kernel: FilterKernel,
) -> RawKernel:
    """Return phi from the gates of every layer at the nodes that each point reads.

    Args:
        features: Fourier features of the points.
        waves: What `gates` gave for each layer.
        kernel: Parameters of one level.
    """
    # Before the first gate a point's nodes have all in common.
    layer = (features @ kernel.projection.T + kernel.biases[0])[:, None, :]
    layer = layer * waves[0]
    for index, weight in enumerate(kernel.hidden, start=1):
        layer = layer @ weight.T + kernel.biases[index]
        layer = layer * waves[index]
    return layer @ kernel.mix.T + kernel.offset


def node_coefficients(nodes: Nodes, kernel: FilterKernel) -> tuple[Tensor, Tensor]:
    """Return ``a(i)`` [n, k, o, z] and ``c(i)`` [n, k, o] of the kernel at nodes.

    With the node fixed, every layer is affine in its input: ``phi(x, i) = a(i) .
    gamma(x) + c(i)``, however many layers there are.

    Args:
        nodes: Multi-indices.
        kernel: Parameters of one level.
    """
    rows, constant = kernel.mix, kernel.offset
    weights = (kernel.projection, *kernel.hidden)
    for layer in reversed(range(len(weights))):
        rows = rows * gates(nodes, kernel, layer)[:, :, None, :]
        constant = constant + rows @ kernel.biases[layer]
        rows = rows @ weights[layer]
    return rows, constant


def raw_kernel_affine(
    features: Float[Tensor, "n z"], nodes: Nodes, kernel: FilterKernel
) -> RawKernel:
    """Return phi by way of its coefficients at the nodes.

    Args:
        features: Fourier features of the points.
        nodes: The nodes that each point reads.
        kernel: Parameters of one level.
    """
    rows, constant = node_coefficients(nodes, kernel)
    return torch.einsum("nkoz,nz->nko", rows, features) + constant


def normalised_weights(
    raw: RawKernel, linear: Float[Tensor, "n k"], settings: KernelSettings
) -> RawKernel:
    """Return weights from raw kernel values phi and interpolation weights lambda.

    ``none`` phi; ``sum`` phi / S with S the sum over the cell's corners; ``signed_eps``
    phi S / (S^2 + e^2), e being epsilon times the sum of sizes; ``softmax`` exp(phi)
    normalised; ``lin_softmax`` lambda exp(phi) normalised; ``lin_residual`` lambda (1 +
    0.9 tanh phi) normalised; ``lin_add`` lambda (1 + phi); ``lin_centred`` lambda (1 +
    phi - m) with m the mean of phi over the cell, weighted by lambda.

    Args:
        raw: Kernel values at the corners.
        linear: Interpolation weights of the corners.
        settings: The normaliser, and epsilon.
    """
    linear = linear[:, :, None]
    match settings.normaliser:
        case "lin_add":
            return linear * (1 + raw)
        case "lin_centred":
            mean = (linear * raw).sum(1, keepdim=True)
            return linear * (1 + raw - mean)
        case "none":
            return raw
        case "sum":
            return raw / raw.sum(1, keepdim=True)
        case "signed_eps":
            # Detached: through it, training would inflate phi to escape the damping.
            size = raw.detach().abs().sum(1, keepdim=True)
            relative = raw / size.clamp_min(torch.finfo(raw.dtype).tiny)
            total = relative.sum(1, keepdim=True)
            return relative * total / (total * total + settings.epsilon**2)
        case "softmax":
            return raw.softmax(1)
        case "lin_softmax":
            # The largest value leaves the exponent, and with it overflow.
            positive = linear * (raw - raw.detach().amax(1, keepdim=True)).exp()
        case "lin_residual":
            positive = linear * (1 + RESIDUAL_BOUND * raw.tanh())
    return positive / positive.sum(1, keepdim=True)


def raw_kernel(
    coords: Coords,
    nodes: Nodes,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    index: int,
) -> RawKernel:
    """Return phi at the nodes that one level reads.

    Args:
        coords: Points in the unit box.
        nodes: The nodes around them.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: The grid.
        settings: The kernel's settings.
        index: Number of the level, one that the kernel has parameters for.
    """
    features = fourier_features(coords, layout.levels[index], settings)
    return raw_kernel_layerwise(features, nodes, kernel.level(index))


def kernel_weights(
    coords: Coords,
    nodes: Nodes,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
    index: int,
) -> RawKernel:
    """Return the weights of the nodes that one level reads.

    They are those of interpolation where the kernel has no parameters for the level.

    Args:
        coords: Points in the unit box.
        nodes: The nodes around them.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: The grid.
        settings: The kernel's settings.
        index: Number of the level.
    """
    linear = corner_weights(coords, layout, layout.levels[index])
    if index >= len(kernel.projection):
        return linear[:, :, None]
    raw = raw_kernel(coords, nodes, kernel, layout, settings, index)
    return normalised_weights(raw, linear, settings)


def mulfa_lookup(
    coords: Coords,
    table: Table,
    kernel: FilterKernel,
    layout: GridLayout,
    settings: KernelSettings,
) -> Features:
    """Read a multi-resolution grid with MulFAGrid's kernel function.

    Args:
        coords: Points in the unit box.
        table: Features of all levels' nodes, at most of the coordinates' precision.
        kernel: Parameters of all levels, or of the coarsest ones.
        layout: Where the nodes are.
        settings: The kernel's settings.

    Returns:
        Features of each point, level by level, in the table's dtype.
    """
    # Before rows are taken, so that gradients of a row are summed in that precision.
    values = table.to(coords.dtype)
    features = []
    for index, level in enumerate(layout.levels):
        nodes = corner_nodes(coords, layout, level)
        weights = kernel_weights(coords, nodes, kernel, layout, settings, index)
        features.append((weights * values[node_rows(nodes, level)]).sum(1))
    return torch.cat(features, dim=1).to(table.dtype)
