r"""Krylov spaces of a kernel, by the Lanczos process with full reorthogonalisation.

From a start vector b, m products give an orthonormal basis with
:math:`K V_m = V_m T_m + \beta_m v_{m+1} e_m^\top`, T tridiagonal. Then
:math:`f(K)\,b \approx \|b\|\, V_m f(T_m)\, e_1` for every function f at once, and
:math:`b^\top f(K)\, b` is a Gauss quadrature on the eigenvalues of T.

References:
    Golub, Meurant: Matrices, Moments and Quadrature with Applications, 2010.
    Golub: Some Modified Matrix Eigenvalue Problems, SIAM Review 15, 1973 (Gauss-Radau).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.tangent.algebra.gram_matrix import GramMatrix, columns_of, product

SpectralFunction = Callable[[Float[Tensor, " m"]], Tensor]
"""A function of eigenvalues, [m]; several at once as [t, m]."""

_ROUNDINGS = 32.0
"""How many roundings of the largest product a vector may be, and still be nothing."""
_SMALL = 1e-6


@dataclass(frozen=True)
class KrylovSpace:
    """Hold what the Lanczos process found from one start vector.

    Attributes:
        basis: Orthonormal vectors, one per column.
        diagonal: Diagonal of T.
        couplings: Off-diagonal of T, and as last entry the coupling to the vector that
            would come next; 0 there if the space holds all that the start can reach.
        start_norm: Length of the start vector.
    """

    basis: Float[Tensor, "n m"]
    diagonal: Float[Tensor, " m"]
    couplings: Float[Tensor, " m"]
    start_norm: float

    def __len__(self) -> int:
        """Return the dimension of the space."""
        return len(self.diagonal)

    @property
    def next_coupling(self) -> float:
        """Coupling to the vector that would come next."""
        return float(self.couplings[-1]) if len(self) else 0.0

    @property
    def is_exhausted(self) -> bool:
        """Whether no further product would add anything."""
        return self.next_coupling == 0.0

    def truncated(self, dimension: int) -> "KrylovSpace":
        """Return the space after fewer products.

        Args:
            dimension: Its dimension.
        """
        return KrylovSpace(
            self.basis[:, :dimension],
            self.diagonal[:dimension],
            self.couplings[:dimension],
            self.start_norm,
        )

    @cached_property
    def ritz(self) -> tuple[Float[Tensor, " m"], Float[Tensor, "m m"]]:
        """Eigenvalues of T in ascending order, and its eigenvectors."""
        return _eigh_tridiagonal(self.diagonal, self.couplings[:-1])

    def coefficients(self, function: SpectralFunction) -> Float[Tensor, "m t"]:
        """Return f(K) b in the basis, for one function or several.

        Args:
            function: What to apply.
        """
        values, vectors = self.ritz
        factors = torch.atleast_2d(function(values))
        return self.start_norm * (vectors @ (factors * vectors[0]).T)

    def last_coefficients(self, function: SpectralFunction) -> Float[Tensor, " t"]:
        """Return the last entry of `coefficients`, which tells what is still missing.

        Args:
            function: What to apply.
        """
        values, vectors = self.ritz
        factors = torch.atleast_2d(function(values))
        return self.start_norm * (factors @ (vectors[-1] * vectors[0]))

    def apply(self, function: SpectralFunction) -> Float[Tensor, "n t"]:
        """Return f(K) b, one column per function.

        Args:
            function: What to apply.
        """
        return self.basis @ self.coefficients(function)

    @property
    def gauss(self) -> tuple[Float[Tensor, " m"], Float[Tensor, " m"]]:
        """Nodes and weights with sum of w f(node) close to b^T f(K) b."""
        values, vectors = self.ritz
        return values, self.start_norm**2 * vectors[0].square()

    def radau(self, node: float = 0.0) -> tuple[Tensor, Tensor]:
        r"""Return nodes and weights as `gauss` does, with one more node, given.

        Where that place is below all eigenvalues, Gauss and Gauss-Radau enclose the
        value of every f whose derivatives alternate in sign: :math:`1/(x+\mu)`,
        :math:`\log(x+\mu)`, :math:`e^{-tx}`.

        Args:
            node: The place.
        """
        if self.is_exhausted:
            return self.gauss
        values, vectors = self.ritz
        coupling = self.couplings[-1]
        # The last diagonal entry that makes the node an eigenvalue.
        shifted = values - node
        tiny = torch.finfo(values.dtype).tiny
        shifted = torch.where(shifted.abs() < tiny, tiny, shifted)
        last = node + coupling.square() * (vectors[-1].square() / shifted).sum()
        nodes, found = _eigh_tridiagonal(
            torch.cat([self.diagonal, last[None]]), self.couplings
        )
        return nodes, self.start_norm**2 * found[0].square()


def _eigh_tridiagonal(
    diagonal: Float[Tensor, " m"], off_diagonal: Tensor
) -> tuple[Tensor, Tensor]:
    matrix = torch.diag(diagonal)
    if len(off_diagonal):
        matrix += torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


class LanczosProcess:
    """Grow one Krylov space per start vector, all with the same products.

    Args:
        kernel: A kernel of points with themselves.
        starts: Start vectors, one per column.
    """

    def __init__(self, kernel: GramMatrix, starts: Tensor) -> None:
        starts = columns_of(kernel, starts, "lanczos(starts=...)")
        self.kernel = kernel
        self.num_steps = 0
        size, count = starts.shape
        self._norms = torch.linalg.vector_norm(starts, dim=0)
        self._basis = starts.new_empty(count, 0, size)
        self._alphas = starts.new_zeros(count, 0)
        self._betas = starts.new_zeros(count, 0)
        self._lengths = [0] * count
        self._active = self._norms > 0
        self._scales = torch.zeros_like(self._norms)
        self._next = torch.where(self._active, starts / self._norms, 0.0).T.contiguous()

    @property
    def is_exhausted(self) -> bool:
        """Whether all spaces hold what their start vectors can reach."""
        return not bool(self._active.any())

    def advance(self, num_steps: int) -> None:
        """Make up to so many more products, each with all start vectors.

        Args:
            num_steps: How many.

        Raises:
            ResourceError: If the vectors would not fit into memory.
            NumericalError: If a product is not finite.
        """
        before, size = self._basis.shape[1], self.kernel.shape[0]
        wanted = min(self.num_steps + num_steps, size)
        if wanted > before and not self.is_exhausted:
            self._reserve(wanted - before)
        while self.num_steps < wanted and not self.is_exhausted:
            self._step()

    def _reserve(self, extra: int) -> None:
        count, before, size = self._basis.shape
        require_memory(
            8.0 * count * (before + 2 * extra) * size,
            f"{before + extra} Lanczos vectors of {size} rows for {count} columns",
            "Ask for fewer steps or give fewer columns at once.",
        )
        more = self._basis.new_empty(count, extra, size)
        self._basis = torch.cat([self._basis, more], dim=1)
        zeros = self._alphas.new_zeros(count, extra)
        self._alphas = torch.cat([self._alphas, zeros], dim=1)
        self._betas = torch.cat([self._betas, zeros], dim=1)

    def _step(self) -> None:
        at, chosen = self.num_steps, self._active
        self._basis[:, at] = self._next
        image = product(self.kernel, self._next[chosen].T).T
        numbers = chosen.nonzero().flatten()
        alphas = (self._next[chosen] * image).sum(1)
        for row, column in enumerate(numbers.tolist()):
            basis = self._basis[column, : at + 1]
            # Twice is enough: what one pass leaves is down to rounding after the other.
            for _ in range(2):
                image[row] -= basis.T @ (basis @ image[row])
        betas = torch.linalg.vector_norm(image, dim=1)
        scales = torch.maximum(self._scales[chosen], alphas.abs() + betas)
        eps = torch.finfo(self.kernel.dtype).eps
        ends = betas <= _ROUNDINGS * eps * scales
        if at + 1 == self.kernel.shape[0]:
            ends = torch.ones_like(ends)
        betas = torch.where(ends, 0.0, betas)
        self._alphas[chosen, at] = alphas
        self._betas[chosen, at] = betas
        self._scales[chosen] = scales
        self._next = self._following(image, betas, numbers)
        self.num_steps = at + 1
        for column in numbers.tolist():
            self._lengths[column] = at + 1
        self._active = chosen.clone()
        self._active[numbers[ends]] = False

    def _following(self, image: Tensor, betas: Tensor, numbers: Tensor) -> Tensor:
        """Return the next basis vectors; 0 where there is none."""
        following = torch.zeros_like(self._next)
        for row, column in enumerate(numbers.tolist()):
            if not betas[row]:
                continue
            vector = image[row] / betas[row]
            if betas[row] < _SMALL * self._scales[column]:
                # What is hardly above rounding is not orthogonal once it has length 1.
                basis = self._basis[column, : self.num_steps + 1]
                vector = vector - basis.T @ (basis @ vector)
                vector = vector / torch.linalg.vector_norm(vector)
            following[column] = vector
        return following

    def spaces(self) -> tuple[KrylovSpace, ...]:
        """Return the spaces found so far, one per start vector."""
        return tuple(
            KrylovSpace(
                self._basis[column, :length].T,
                self._alphas[column, :length],
                self._betas[column, :length],
                float(self._norms[column]),
            )
            for column, length in enumerate(self._lengths)
        )


def lanczos(
    kernel: GramMatrix, starts: Tensor, num_steps: int
) -> tuple[KrylovSpace, ...]:
    """Return the Krylov spaces of several start vectors.

    Args:
        kernel: A kernel of points with themselves.
        starts: Start vectors, [rows, r].
        num_steps: Products with each; fewer are made where a space is exhausted.

    Raises:
        ShapeError: If the start vectors do not fit.
        ResourceError: If the vectors would not fit into memory.
        NumericalError: If a product is not finite.

    Example:
        >>> from tangrid.tangent.kernels.kernel import DenseKernel
        >>> kernel = DenseKernel(torch.diag(torch.tensor([1.0, 2.0, 4.0]).double()))
        >>> (space,) = lanczos(kernel, torch.ones(3, 1).double(), 3)
        >>> space.ritz[0].round(decimals=6).tolist()
        [1.0, 2.0, 4.0]
    """
    process = LanczosProcess(kernel, starts)
    process.advance(num_steps)
    return process.spaces()
