"""Exact distances of simple shapes, and what can be counted on a mesh."""

import math

import numpy as np
import torch
from torch import Tensor

from tangrid.rendering.isosurface import Surface

TORUS_VOLUME = 2 * math.pi**2 * 0.28 * 0.12**2


def sphere(points: Tensor, *, centre=(0.5, 0.5, 0.5), radius=0.4) -> Tensor:
    return (points - torch.tensor(centre)).norm(dim=1) - radius


def torus(points: Tensor) -> Tensor:
    local = points - 0.5
    return torch.hypot(local[:, [0, 2]].norm(dim=1) - 0.28, local[:, 1]) - 0.12


def box(points: Tensor, *, half=0.25) -> Tensor:
    over = (points - 0.5).abs() - half
    return over.clamp(min=0).norm(dim=1) + over.amax(1).clamp(max=0)


def is_closed(surface: Surface) -> bool:
    """Whether every edge joins two triangles that run along it in opposite ways."""
    edges = edges_of(surface)
    there, count = np.unique(edges, axis=0, return_counts=True)
    back = np.unique(edges[:, ::-1], axis=0)
    return bool((count == 1).all()) and np.array_equal(there, back)


def euler_number(surface: Surface) -> int:
    edges = np.unique(np.sort(edges_of(surface), axis=1), axis=0)
    return len(surface.vertices) - len(edges) + len(surface.faces)


def volume(surface: Surface) -> float:
    a, b, c = np.moveaxis(surface.vertices[surface.faces].astype(float), 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def areas(surface: Surface) -> np.ndarray:
    a, b, c = np.moveaxis(surface.vertices[surface.faces].astype(float), 1, 0)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2


def edges_of(surface: Surface) -> np.ndarray:
    return np.concatenate([surface.faces[:, [i, (i + 1) % 3]] for i in range(3)])
