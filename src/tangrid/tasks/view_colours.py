r"""Solve for the colours of a scene whose density is known: least squares, no training.

.. math:: \min_c \|y - A c\|^2 + \mu \|c\|^2

over colours at voxels less the mean colour, with the rendering matrix A of
`tangrid.tasks.voxel_colours`; the ridge by generalised cross-validation, whose trace
comes from random signs. Cross-validation takes the errors of pixels for independent:
where the density is wrong they are not, and the ridge comes out too small. Photographs
end at white and black: pixels that were clipped there are no linear map of any colours.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import csc_matrix, csr_matrix
from torch import Tensor

from tangrid.errors import ConfigError, DataError, NumericalWarning
from tangrid.fields.radiance import RadianceField
from tangrid.fields.workers import Workers
from tangrid.linear.conjugate_gradients import Minimum, RidgeIteration
from tangrid.linear.design import Design
from tangrid.linear.ridge_path import RidgePath, RidgeTrial, gcv, ridge_path
from tangrid.linear.sparse_design import SparseBlock, SplitDesign
from tangrid.rendering.views import RadianceScene
from tangrid.seeding import generator
from tangrid.signals.view import View
from tangrid.tangent.dynamics.prediction import psnr_of
from tangrid.tasks.view_evaluation import evaluate_views
from tangrid.tasks.view_protocols import ViewProtocol
from tangrid.tasks.voxel_colours import (
    RenderingMatrix,
    VoxelColours,
    VoxelSettings,
    rendering_matrix,
)

_PROBES = 4
_ROUGH = 1e-4
"""Relative gradient that is small enough to compare ridges."""
_MOST_STEPS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class SolvedColours:
    """Hold a scene with colours that were solved for.

    Attributes:
        scene: The field and how it is looked at; render it as any other.
        protocol: How its views are judged.
        ridge: mu.
        path: Ridges that were tried; None if it was given.
        gradient: Length of A^T (y - A c) - mu c over that of A^T y.
        iterations: Of the last solution.
        num_rays: Rays that see anything.
        num_voxels: Unknowns of each channel that some ray sees; the others are 0, which
            is the mean colour.
        train_mse: Mean squared error of these rays, before values are clipped; pixels
            of pure background, which whole pictures have too, are not among them.
    """

    scene: RadianceScene
    protocol: ViewProtocol
    ridge: float
    path: RidgePath | None
    gradient: float
    iterations: int
    num_rays: int
    num_voxels: int
    train_mse: float

    @property
    def train_psnr(self) -> float:
        """The same in decibels."""
        return float(psnr_of(torch.tensor(self.train_mse)))

    def judge(self, views: Sequence[View], workers: Workers) -> dict[str, Any]:
        """Return the scores of views, as those of a trained field.

        Args:
            views: Photographs that were not solved with.
            workers: Who works.
        """
        return evaluate_views(self.scene, views, self.protocol, workers)


def solve_colours(
    scene: RadianceScene,
    views: Sequence[View],
    protocol: ViewProtocol,
    workers: Workers,
    *,
    settings: VoxelSettings | None = None,
    ridge: float | Literal["gcv"] = "gcv",
    tolerance: float = 1e-6,
    seed: int = 0,
) -> SolvedColours:
    """Return the colours at voxels that make pictures most like photographs.

    Args:
        scene: A field whose density counts, such as that of a fitted run.
        views: Photographs to solve with.
        protocol: Gives the background, and judges.
        workers: Who works.
        settings: Where colours stand.
        ridge: mu, in units of squared shares of light; ``gcv`` chooses it.
        tolerance: Wanted relative gradient.
        seed: Of the random signs.

    Raises:
        ConfigError: If the ridge is not above 0.
        DataError: If no ray sees anything.
    """
    _check_ridge(ridge)
    medium = scene.field
    assert isinstance(medium, RadianceField)
    field = VoxelColours(medium, settings or VoxelSettings())
    solved = RadianceScene(
        field=field, space=scene.space, occupancy=scene.occupancy, march=scene.march
    )
    system = rendering_matrix(solved, views, protocol.colour, workers)
    if not system.matrix.nnz:
        raise DataError(
            f"solve_colours: expected rays that see something, got {system.num_rays} "
            "of which none does. Is the density that of this scene?"
        )
    field.base.copy_(_mean_colour(system))
    columns, iteration = _iteration(system, field.base.cpu(), workers, seed)
    path, start = None, None
    if ridge == "gcv":
        path, start = _chosen(iteration)
    chosen = float(ridge) if path is None else path.ridge
    found = iteration.solve(chosen, tolerance, start=start, most=_MOST_STEPS)
    _tell_what_is_left(found, tolerance, chosen)
    table = torch.zeros(field.num_columns, 3, dtype=torch.float64)
    table[columns] = found.weights[:, :3]
    field.set_colours(table)
    errors = iteration.gradient(found.weights, chosen)[0][:, :3]
    return SolvedColours(
        scene=solved,
        protocol=protocol,
        ridge=chosen,
        path=path,
        gradient=found.gradient,
        iterations=found.iterations,
        num_rays=len(iteration.targets),
        num_voxels=len(columns),
        train_mse=float(errors.square().mean()),
    )


def _iteration(
    system: RenderingMatrix, base: Tensor, workers: Workers, seed: int
) -> tuple[Tensor, RidgeIteration]:
    """Return the columns that are seen, and what solves for them and for probes."""
    columns, matrix = _seen_columns(system.matrix)
    left = system.wanted - system.opacity[:, None] * base
    source = generator(seed, "colours")
    signs = torch.randint(0, 2, (len(left), _PROBES), generator=source)
    targets = torch.cat((left, 2.0 * signs - 1), dim=1)
    design = _design(matrix, len(columns), workers)
    return columns, RidgeIteration(design, targets, counted=3)


def _tell_what_is_left(found: Minimum, tolerance: float, ridge: float) -> None:
    if found.gradient > tolerance:
        warnings.warn(
            f"solve_colours: expected a relative gradient of {tolerance:.0e}, got "
            f"{found.gradient:.1e} after {found.iterations} steps with the ridge "
            f"{ridge:.1e}. Pictures may be right all the same; a larger ridge or fewer "
            "voxels take fewer steps.",
            NumericalWarning,
            stacklevel=3,
        )


def _check_ridge(ridge: float | Literal["gcv"]) -> None:
    if ridge != "gcv" and not 0 < ridge < float("inf"):
        raise ConfigError(
            f"solve_colours(ridge=...): expected a number above 0, or 'gcv', got "
            f"{ridge}. Voxels that no ray sees have no colour without."
        )


def _mean_colour(system: RenderingMatrix) -> Tensor:
    """Return the one colour that suits all rays best."""
    opacity = system.opacity.double()
    return ((opacity @ system.wanted.double()) / opacity.square().sum()).float()


def _seen_columns(matrix: csr_matrix) -> tuple[Tensor, csr_matrix]:
    """Return the columns that are not empty, and the matrix of these alone."""
    columns, places = np.unique(matrix.indices, return_inverse=True)
    found = csr_matrix(
        (matrix.data, places.astype(np.int32), matrix.indptr),
        shape=(len(matrix.indptr) - 1, len(columns)),
    )
    return torch.from_numpy(columns.astype(np.int64)), found


def _design(matrix: csr_matrix, num_columns: int, workers: Workers) -> SplitDesign:
    """Return the matrix in blocks of rows; no columns are solved for directly."""
    num_rows = len(matrix.indptr) - 1
    cuts = np.linspace(0, num_rows, workers.count + 1).astype(int)
    blocks = [matrix[a:b] for a, b in pairwise(cuts)]
    whole = Design([SparseBlock(it) for it in blocks], num_columns, workers)
    none = Design([SparseBlock(it[:, :0]) for it in blocks], 0, workers)
    return SplitDesign(
        whole=whole, coarse=none, fine=whole, coarse_gram=csc_matrix((0, 0))
    )


def _chosen(iteration: RidgeIteration) -> tuple[RidgePath, Tensor]:
    """Return the path of ridges, and weights that are near the solution."""
    signs = iteration.targets[:, 3:].double()
    rows, last = len(signs), [torch.zeros(0)]

    def evaluate(ridge: float) -> RidgeTrial:
        start = last[0] if len(last[0]) else None
        found = iteration.solve(ridge, _ROUGH, start=start, most=_MOST_STEPS)
        last[0] = found.weights
        left = iteration.gradient(found.weights, ridge)[0]
        trace = float((signs * (signs - left[:, 3:])).sum()) / signs.shape[1]
        mse = float(left[:, :3].square().mean())
        return RidgeTrial(ridge, gcv(mse, trace, rows), mse, trace, found.iterations)

    scale = float(iteration.design.whole.column_squares().mean())
    return ridge_path(evaluate, scale), last[0]
