"""Grid lookup in plain PyTorch: the truth that every other implementation matches.

A level reads its table at the 2^d corners of the cell around each point,
``z = sum_c weights_c table[rows_c]``; the levels' features are concatenated.
"""

import torch
from torch import Tensor

from tangrid.notation import Coords, Features, Rows, Table
from tangrid.ops.grid_lookup import hashing
from tangrid.ops.grid_lookup.layout import GridLayout, GridLevel, Interpolation

_UINT32 = 0xFFFFFFFF
_FARTHEST = 2.0**62


def scaled_position(coords: Coords, level: GridLevel) -> Coords:
    """Return coordinates in units of a level's cells.

    float32 is computed in float64 and rounded once, which is what a fused multiply-add
    gives and what tiny-cuda-nn's addressing rests on. Finite coordinates have positions
    that 64-bit integers can count.

    Args:
        coords: Points in the unit box.
        level: The level whose cells are meant.
    """
    position = coords.double() * level.scale + level.shift
    farthest = min(_FARTHEST, torch.finfo(coords.dtype).max)
    counted = position.clamp(-farthest, farthest)
    # What is no number must not become one.
    return torch.where(coords.isfinite(), counted, position).to(coords.dtype)


def cell_of(position: Coords, level: GridLevel) -> Tensor:
    """Return the integer cell that holds each scaled position.

    Args:
        position: Points in units of cells.
        level: The level whose last cell bounds the result.
    """
    cell = position.detach().floor().long()
    if level.last_cell is not None:
        cell = cell.clamp(0, level.last_cell)
    return cell


def corner_offsets(num_dims: int, device: torch.device) -> Tensor:
    """Return the 2^d corners of the unit cell, axis 0 varying fastest.

    Args:
        num_dims: Number of coordinates d.
        device: Where the result lives.
    """
    corners = torch.arange(2**num_dims, device=device)
    axes = torch.arange(num_dims, device=device)
    return (corners[:, None] >> axes) & 1


def node_rows(nodes: Tensor, level: GridLevel) -> Tensor:
    """Return the table row of each vertex.

    Args:
        nodes: Integer vertex coordinates, [..., d].
        level: The level that holds them.
    """
    strides = level.strides(nodes.shape[-1])
    if level.storage != "hashed":
        index = torch.zeros_like(nodes[..., 0])
        for axis, stride in enumerate(strides):
            index = index + (((nodes[..., axis] & _UINT32) * stride) & _UINT32)
    elif level.hash_function == "base-convert":
        index = hashing.hash_by_base(nodes)
    elif level.hash_function == "rng":
        index = hashing.hash_by_random_numbers(nodes)
    else:
        index = hashing.hash_by_products(nodes, strides)
    return (index & _UINT32) % level.size + level.offset


def fraction_weights(fraction: Coords, interpolation: Interpolation) -> Coords:
    """Return the upper vertex's weight along each axis, t'(t).

    Args:
        fraction: Position inside the cell, 0 to 1.
        interpolation: ``linear`` t, ``smoothstep`` t^2 (3 - 2t), ``quintic``
            t^3 (t (6t - 15) + 10).
    """
    if interpolation == "smoothstep":
        return fraction * fraction * (3 - 2 * fraction)
    if interpolation == "quintic":
        inner = fraction * (fraction * 6 - 15) + 10
        return fraction * fraction * fraction * inner
    return fraction


def corner_nodes(coords: Coords, layout: GridLayout, level: GridLevel) -> Tensor:
    """Return the vertices that a level reads for each point, [n, k, d].

    Args:
        coords: Points in the unit box.
        layout: The grid.
        level: One of its levels.
    """
    cell = cell_of(scaled_position(coords, level), level)
    if layout.interpolation == "nearest":
        return cell[:, None, :]
    return cell[:, None, :] + corner_offsets(layout.num_dims, coords.device)


def corner_rows(coords: Coords, layout: GridLayout, level: GridLevel) -> Rows:
    """Return the table rows that a level reads for each point.

    Args:
        coords: Points in the unit box.
        layout: The grid.
        level: One of its levels.
    """
    return node_rows(corner_nodes(coords, layout, level), level)


def corner_weights(coords: Coords, layout: GridLayout, level: GridLevel) -> Tensor:
    """Return the interpolation weights of a level's corners, [n, k]; they sum to 1.

    Args:
        coords: Points in the unit box.
        layout: The grid.
        level: One of its levels.
    """
    if layout.interpolation == "nearest":
        return torch.ones_like(coords[:, :1])
    position = scaled_position(coords, level)
    fraction = position - cell_of(position, level).to(position.dtype)
    upper = fraction_weights(fraction, layout.interpolation)
    weights = torch.ones_like(coords[:, :1])
    # Axis 0 varies fastest over the corners, so it is multiplied in first.
    for axis in range(layout.num_dims):
        pair = torch.stack((1 - upper[:, axis], upper[:, axis]), dim=1)
        weights = (pair[:, :, None] * weights[:, None, :]).flatten(1)
    return weights


def grid_lookup(coords: Coords, table: Table, layout: GridLayout) -> Features:
    """Read a multi-resolution grid.

    Args:
        coords: Points in the unit box.
        table: Features of all levels' vertices, at most of the coordinates' precision.
        layout: Where the vertices are.

    Returns:
        Features of each point, level by level, in the table's dtype.
    """
    # Before rows are taken, so that gradients of a row are summed in that precision.
    values = table.to(coords.dtype)
    features = []
    for level in layout.levels:
        rows = corner_rows(coords, layout, level)
        weights = corner_weights(coords, layout, level)
        features.append((weights[:, :, None] * values[rows]).sum(1))
    return torch.cat(features, dim=1).to(table.dtype)
