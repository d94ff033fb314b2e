r"""Leading eigenpairs from products with several vectors at once.

Krylov spaces grow by blocks here: from random vectors :math:`X`, the eigenpairs of K
within :math:`\{X, KX, K^2X, \dots\}`. A product with a block costs less than one with
each of its vectors, as the field's gradients are read once; but of as many vectors in
larger blocks less comes out, as the powers of K do not reach so far. Where the leading
eigenvalues lie close, pairs need an eighth more vectors than single ones do, blocks of
4 a third more and blocks of 16 more than twice as many, which eats up what they save.

A block of b vectors sees b copies of an eigenvalue that repeats, as those of three
channels and of symmetric grids do; further ones come late, out of rounding, and smaller
eigenvalues may converge before. So what is found is held against new random vectors:
nothing larger may be left outside of it.

References:
    Golub, Underwood: The Block Lanczos Method for Computing Eigenvalues, 1977.
    Musco, Musco: Randomized Block Krylov Methods, arXiv 1504.05477.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tangrid.devices import require_memory
from tangrid.tangent.algebra.gram_matrix import GramMatrix, product

BLOCK = 2
"""Vectors per product."""

_BETWEEN_LOOKS = 1.05
"""Growth of the space between looks at its eigenpairs, which cost its cube."""
_PROBING = 12
"""Blocks that are grown from new vectors to see whether something was left out."""
_ROUNDINGS = 32.0
_CHUNK = 64
"""Vectors that are held side by side, once there are as many."""


@dataclass(frozen=True)
class LeadingPairs:
    """Hold leading eigenpairs, the largest first.

    Attributes:
        values: Eigenvalues.
        vectors: Eigenvectors, one per column.
        num_products: Vectors that were multiplied.
        converged: How many of them are as exact as was asked for, from the first on.
    """

    values: Float[Tensor, " k"]
    vectors: Float[Tensor, "n k"]
    num_products: int
    converged: int


def leading_pairs(
    kernel: GramMatrix,
    k: int,
    *,
    generator: torch.Generator,
    tolerance: float,
    max_products: int,
) -> LeadingPairs:
    """Return the k largest eigenvalues with their eigenvectors.

    Args:
        kernel: A kernel of points with themselves.
        k: How many.
        generator: Source of the first vectors.
        tolerance: Residual wanted, relative to each eigenvalue.
        max_products: Vectors to multiply at most.

    Raises:
        ResourceError: If the vectors would not fit into memory.
        NumericalError: If a product is not finite.
    """
    space, probed = _BlockSpace(kernel, generator), 0
    while True:
        found = _grown(space, k, tolerance, max_products - probed)
        if found.converged < k or space.is_full:
            break
        missed, count = _left_out(space, found, tolerance)
        probed += count
        if missed.shape[1] == 0:
            break
        if found.num_products + probed + BLOCK > max_products:
            found = replace(found, converged=0)
            break
        space.take(missed)
    return replace(found, num_products=found.num_products + probed)


def _grown(
    space: "_BlockSpace", k: int, tolerance: float, max_products: int
) -> LeadingPairs:
    """Return the pairs of a space grown until all have converged."""
    looks_at = k
    while True:
        space.grow()
        is_last = space.is_full or space.num_products + BLOCK > max_products
        if space.num_products < looks_at and not is_last:
            continue
        looks_at = max(looks_at, int(space.num_products * _BETWEEN_LOOKS))
        values, inner, residuals = space.pairs(k)
        goals = tolerance * values.abs() + space.rounding
        open_pairs = (residuals > goals).nonzero().flatten()
        converged = int(open_pairs[0]) if len(open_pairs) else len(values)
        if converged == k or is_last:
            break
    return LeadingPairs(
        values=values,
        vectors=space.basis @ inner,
        num_products=space.num_products,
        converged=converged,
    )


def _left_out(
    space: "_BlockSpace", found: LeadingPairs, tolerance: float
) -> tuple[Tensor, int]:
    """Return what has larger eigenvalues than the last pair, and products made."""
    outside = _BlockSpace(space.kernel, space.generator, known=found.vectors)
    least = float(found.values[-1])
    limit = least + 10.0 * tolerance * abs(least) + 2.0 * space.rounding
    while True:
        outside.grow()
        values, inner, _ = outside.pairs(BLOCK)
        is_last = outside.is_full or outside.num_products >= _PROBING * BLOCK
        if is_last or bool((values > limit).any()):
            return outside.basis @ inner[:, values > limit], outside.num_products


class _BlockSpace:
    """A Krylov space that grows by blocks, with K seen from within.

    What is known already stays outside of it.
    """

    def __init__(
        self,
        kernel: GramMatrix,
        generator: torch.Generator,
        known: Tensor | None = None,
    ) -> None:
        self.kernel, self.generator = kernel, generator
        self.num_products = 0
        self.known = [] if known is None else [known]
        rows = kernel.shape[0] - (0 if known is None else known.shape[1])
        self._chunks: list[Tensor] = []
        self.inner = torch.zeros(0, 0, dtype=torch.float64, device=kernel.device)
        self.coupling = self.inner
        self.size = rows
        drawn = self._outside(self._random(min(BLOCK, rows)))
        self.next = torch.linalg.qr(drawn)[0]

    @property
    def blocks(self) -> list[Tensor]:
        """The vectors of the space, many side by side: loops over few are slow."""
        blocks, left = [], self.inner.shape[0]
        for chunk in self._chunks:
            blocks.append(chunk[:left].T)
            left -= len(chunk)
        return blocks

    @property
    def basis(self) -> Tensor:
        return torch.cat(self.blocks, dim=1)

    def _hold(self, block: Tensor) -> None:
        room = sum(map(len, self._chunks))
        for number, vector in enumerate(block.T, start=self.inner.shape[0]):
            if number == room:
                size = self._next_size(number)
                self._chunks.append(block.new_empty(size, len(vector)))
                room += size
            # Counted from the end of the last one.
            self._chunks[-1][number - room] = vector

    @staticmethod
    def _next_size(held: int) -> int:
        """Return the vectors of the next chunk: few pairs need no room for many."""
        return min(_CHUNK, max(BLOCK, held))

    @property
    def is_full(self) -> bool:
        return self.next.shape[1] == 0

    @property
    def rounding(self) -> float:
        eps = torch.finfo(self.kernel.dtype).eps
        return _ROUNDINGS * eps * float(self.inner.diagonal().abs().max())

    def _random(self, count: int) -> Tensor:
        rows = self.kernel.shape[0]
        drawn = torch.randn(rows, count, generator=self.generator, dtype=torch.float64)
        return drawn.to(self.kernel.device) / rows**0.5

    def _outside(self, vectors: Tensor) -> Tensor:
        # Twice is enough: what one pass leaves is down to rounding after the other.
        for _ in range(2):
            for block in (*self.known, *self.blocks):
                vectors = vectors - block @ (block.T @ vectors)
        return vectors

    def take(self, vectors: Tensor) -> None:
        """Add vectors to the next block, which nothing in the space leads to."""
        room = self.size - self.inner.shape[0] - self.next.shape[1]
        vectors = vectors[:, :room]
        for _ in range(2):
            vectors = self._outside(vectors)
            vectors = vectors - self.next @ (self.next.T @ vectors)
            vectors = torch.linalg.qr(vectors)[0]
        self.next = torch.cat([self.next, vectors], dim=1)
        nothing = self.coupling.new_zeros(vectors.shape[1], self.coupling.shape[1])
        self.coupling = torch.cat([self.coupling, nothing])

    def grow(self) -> None:
        """Take the next block into the space."""
        block, before = self.next, self.inner.shape[0]
        rows, width = block.shape
        require_memory(
            8.0 * rows * (before + width + self._next_size(before)),
            f"{before + width} Lanczos vectors of {rows} rows",
            "Ask for fewer eigenvalues.",
        )
        image = product(self.kernel, block)
        self.num_products += width
        self._hold(block)
        inner = image.new_zeros(before + width, before + width)
        inner[:before, :before] = self.inner
        self.inner = inner
        columns = torch.cat([other.T @ image for other in self.blocks])
        inner[:, before:], inner[before:] = columns, columns.T
        self._take_next(self._outside(image))

    def _take_next(self, left: Tensor) -> None:
        free = self.size - self.inner.shape[0]
        vectors, sizes, _ = torch.linalg.svd(left, full_matrices=False)
        count = min(int((sizes > self.rounding).sum()), free)
        # Directions that are exhausted make room for others, coupled to nothing.
        drawn = self._random(max(min(BLOCK, free) - count, 0))
        vectors = torch.cat([vectors[:, :count], drawn], dim=1)
        # What was hardly above rounding is not orthogonal once it has length 1.
        self.next = torch.linalg.qr(self._outside(vectors))[0]
        self.coupling = self.next.T @ left

    def pairs(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return leading eigenvalues, eigenvectors within the space, and residuals."""
        values, inner = torch.linalg.eigh((self.inner + self.inner.T) / 2.0)
        values, inner = values.flip(0)[:k], inner.flip(1)[:, :k]
        width = self.coupling.shape[1]
        last = inner[-width:]
        return values, inner, torch.linalg.vector_norm(self.coupling @ last, dim=0)
