r"""The largest or smallest eigenvalues of a kernel, with how far each may be off.

Up to `DENSE_LIMIT` rows all eigenvalues come from the dense matrix; beyond, and for a
few leading ones of a large matrix, from Lanczos methods: leading ones by small blocks,
since a product with several vectors costs less than one with each, trailing ones by
ARPACK (through SciPy), which restarts as often as they need. Where leading ones do not
converge and the dense matrix would fit, it is made after all. For a pair with
residual :math:`\rho = \|Kv - \theta v\|`, the kernel has an eigenvalue
within :math:`\rho` of :math:`\theta`.

Smallest eigenvalues of an ill-conditioned kernel cannot be had from products alone:
they lie too close to each other, next to a large spectrum. What is found then is only
an upper bound, and it is refused rather than returned.

References:
    Lehoucq, Sorensen, Yang: ARPACK Users' Guide, 1998.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from tangrid.errors import ConfigError, NumericalError
from tangrid.seeding import generator as seeded
from tangrid.tangent.algebra.block_lanczos import leading_pairs
from tangrid.tangent.algebra.eigensystem import resolution
from tangrid.tangent.algebra.gram_matrix import GramMatrix, finite_matrix, product
from tangrid.tangent.algebra.krylov import lanczos

DENSE_LIMIT = 8192
"""Rows up to which all eigenvalues are computed, from the dense matrix."""

_LANCZOS_FROM = 2048
_FEW = 16
"""A few means fewer than one in so many; then Lanczos is faster than all at once."""
_STEPS_FOR_A_BOUND = 50


@dataclass(frozen=True)
class ExtremeEigenvalues:
    """Hold eigenvalues from one end of the spectrum, the outermost first.

    Attributes:
        values: The eigenvalues.
        vectors: Their eigenvectors, one per column; None if they were not asked for.
        residuals: How far each may be off.
        resolution: Size of rounding, n eps times the largest eigenvalue.
        method: ``dense``, also where Lanczos failed before, or ``lanczos``.
        num_products: Products with single vectors that were made.
    """

    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "n k"] | None
    residuals: Float[Tensor, " k"]
    resolution: float
    method: str
    num_products: int

    @property
    def is_resolved(self) -> Bool[Tensor, " k"]:
        """Which of them can be told from 0."""
        return self.values - self.residuals > self.resolution


def extreme_eigenvalues(
    kernel: GramMatrix,
    k: int,
    *,
    largest: bool = True,
    with_vectors: bool = False,
    tolerance: float = 1e-8,
    max_products: int = 2000,
    generator: torch.Generator | None = None,
) -> ExtremeEigenvalues:
    """Return the k largest or smallest eigenvalues.

    Args:
        kernel: A kernel of points with themselves.
        k: How many.
        largest: Which end of the spectrum.
        with_vectors: Whether eigenvectors are wanted too.
        tolerance: Residual wanted from Lanczos, relative to each eigenvalue.
        max_products: Products with the kernel after which Lanczos gives up.
        generator: Source of its start vector; seed 0 by default.

    Returns:
        The eigenvalues with their residuals; look at ``is_resolved`` where they may be
        0.

    Raises:
        ConfigError: If ``k`` is not between 1 and the number of rows.
        ShapeError: If the kernel is one between different points.
        NumericalError: If Lanczos does not converge and there are too many rows for the
            dense matrix, or a number is not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([1.0, 4.0, 2.0]).double()))
        >>> extreme_eigenvalues(kernel, 2).values.tolist()
        [4.0, 2.0]
    """
    kernel.check_symmetric("kernel.eigenvalues")
    rows = kernel.shape[0]
    if not 1 <= k <= rows:
        raise ConfigError(
            f"kernel.eigenvalues(k={k}): expected 1 to {rows}, the number of rows."
        )
    few = largest and rows > _LANCZOS_FROM and k * _FEW <= rows
    if kernel.has_eigensystem or (rows <= DENSE_LIMIT and not few):
        return _dense(kernel, k, largest=largest, with_vectors=with_vectors)
    if k == rows:
        raise _too_many(rows)
    start = seeded(0, "lanczos") if generator is None else generator
    search = _leading if largest else _trailing
    try:
        values, vectors, count = search(kernel, k, tolerance, max_products, start)
    except _NotConvergedError:
        if rows > DENSE_LIMIT:
            raise
        return _dense(kernel, k, largest=largest, with_vectors=with_vectors)
    images = product(kernel, vectors)
    residuals = torch.linalg.vector_norm(images - vectors * values, dim=0)
    top = float(values[0]) if largest else _largest(kernel, start)
    found = ExtremeEigenvalues(
        values=values,
        vectors=vectors if with_vectors else None,
        residuals=residuals,
        resolution=rows * torch.finfo(kernel.dtype).eps * top,
        method="lanczos",
        num_products=count + k,
    )
    rough = residuals > torch.clamp(1e3 * tolerance * values.abs(), found.resolution)
    if rough.any() and rows <= DENSE_LIMIT:
        return _dense(kernel, k, largest=largest, with_vectors=with_vectors)
    if rough.any():
        raise _not_converged(kernel, int(rough.sum()), k, count, largest, start)
    return found


def all_eigenvalues(kernel: GramMatrix) -> Float[Tensor, " n"]:
    """Return all eigenvalues, the largest first.

    Args:
        kernel: A kernel of points with themselves.

    Raises:
        ShapeError: If the kernel is one between different points.
        NumericalError: If there are too many, or a number is not finite.
    """
    kernel.check_symmetric("kernel.eigenvalues")
    if kernel.has_eigensystem:
        return kernel.eigensystem.values
    if kernel.shape[0] > DENSE_LIMIT:
        raise _too_many(kernel.shape[0])
    return _dense(kernel, kernel.shape[0], largest=True, with_vectors=False).values


def _dense(
    kernel: GramMatrix, k: int, *, largest: bool, with_vectors: bool
) -> ExtremeEigenvalues:
    vectors = None
    if with_vectors or kernel.has_eigensystem:
        values, vectors = kernel.eigensystem.values, kernel.eigensystem.vectors
    else:
        values = torch.linalg.eigvalsh(finite_matrix(kernel)).flip(0)
    smallest_unit = resolution(values)
    if not largest:
        values = values.flip(0)
        vectors = None if vectors is None else vectors.flip(1)
    return ExtremeEigenvalues(
        values=values[:k],
        vectors=vectors[:, :k] if with_vectors and vectors is not None else None,
        residuals=torch.full_like(values[:k], smallest_unit),
        resolution=smallest_unit,
        method="dense",
        num_products=0,
    )


class _NotConvergedError(NumericalError):
    """Lanczos gave up."""


class _Products(LinearOperator):
    """A kernel as SciPy sees it, with its products counted."""

    def __init__(self, kernel: GramMatrix) -> None:
        super().__init__(np.float64, kernel.shape)  # pyright: ignore (stub of __new__)
        self.kernel, self.count = kernel, 0

    def _matmat(self, X: np.ndarray) -> np.ndarray:
        vectors = torch.from_numpy(np.ascontiguousarray(X))
        self.count += vectors.shape[1]
        return product(self.kernel, vectors.to(self.kernel.device)).cpu().numpy()


def _leading(
    kernel: GramMatrix,
    k: int,
    tolerance: float,
    max_products: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, int]:
    """Return eigenvalues, eigenvectors and the number of products that they took."""
    found = leading_pairs(
        kernel,
        k,
        generator=generator,
        tolerance=tolerance,
        max_products=max_products,
    )
    if found.converged < k:
        missing, count = k - found.converged, found.num_products
        raise _not_converged(kernel, missing, k, count, True, generator)
    return found.values, found.vectors, found.num_products


def _trailing(
    kernel: GramMatrix,
    k: int,
    tolerance: float,
    max_products: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, int]:
    """Return eigenvalues, eigenvectors and the number of products that they took."""
    rows, products = kernel.shape[0], _Products(kernel)
    subspace = min(rows, max(2 * k + 1, 20))
    restarts = max(1, (max_products - subspace) // max(subspace - k, 1))
    start = torch.randn(rows, generator=generator, dtype=torch.float64).numpy()
    try:
        values, vectors = eigsh(
            products,
            k,
            which="SA",
            v0=start,
            ncv=subspace,
            maxiter=restarts,
            tol=tolerance,  # pyright: ignore (the stub says int)
        )
    except ArpackNoConvergence as error:
        missing, count = k - len(error.eigenvalues), products.count
        raise _not_converged(kernel, missing, k, count, False, generator) from error
    order = np.argsort(values)
    return (
        torch.from_numpy(values[order].copy()).to(kernel.device),
        torch.from_numpy(np.ascontiguousarray(vectors[:, order])).to(kernel.device),
        products.count,
    )


def _ends(kernel: GramMatrix, generator: torch.Generator) -> tuple[float, float]:
    """Return a bound from above on the smallest and from below on the largest."""
    start = torch.randn(kernel.shape[0], 1, generator=generator, dtype=torch.float64)
    (space,) = lanczos(kernel, start.to(kernel.device), _STEPS_FOR_A_BOUND)
    return float(space.ritz[0][0]), float(space.ritz[0][-1])


def _largest(kernel: GramMatrix, generator: torch.Generator) -> float:
    return _ends(kernel, generator)[1]


def _not_converged(
    kernel: GramMatrix,
    missing: int,
    k: int,
    count: int,
    largest: bool,
    generator: torch.Generator,
) -> _NotConvergedError:
    least, most = _ends(kernel, generator)
    bound = (
        f"The largest is at least {most:.4g}."
        if largest
        else f"The smallest is at most {least:.4g}, which is no estimate of it."
    )
    return _NotConvergedError(
        f"kernel.eigenvalues(k={k}, largest={largest}): expected convergence, got "
        f"{missing} of {k} eigenvalues open after {count} products. {bound} Allow "
        f"more with extreme_eigenvalues(max_products=...), take at most {DENSE_LIMIT} "
        "rows, where all are computed at once, or work with a ridge."
    )


def _too_many(rows: int) -> NumericalError:
    return NumericalError(
        f"kernel.eigenvalues(): expected at most {DENSE_LIMIT} rows for all "
        f"eigenvalues, got {rows}, whose matrix alone takes {8e-9 * rows**2:.1f} GB. "
        "Ask for the k largest, or see spectral_density for how they are spread."
    )
