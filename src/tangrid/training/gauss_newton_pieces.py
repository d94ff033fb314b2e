r"""One piece of a batch with its residuals and products with its Jacobian.

A field whose encoding is linear in one table, or has nothing to train, and whose
decoder is a chain of layers is linearised by hand: its products are reads of the grid
and a few matrix products. Any other field is differentiated twice in reverse:
:math:`J^\top u` is linear in u, and its derivative along u, transposed, is J.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tangrid.encodings import Encoding
from tangrid.encodings.table_grid import TableGrid
from tangrid.fields import EncodedField, Field
from tangrid.fields.siren import Siren
from tangrid.tasks.contract import PointBatch
from tangrid.training.gauss_newton_chain import (
    Chain,
    LinearisedChain,
    decoder_chain,
    siren_chain,
)


class Piece(ABC):
    """A few points, and a field's linear model around its present parameters.

    Args:
        batch: The points and what the field should give there.

    Attributes:
        residuals: Targets less values where it was linearised last, [n, c].
    """

    residuals: Tensor

    def __init__(self, batch: PointBatch) -> None:
        self.coords = batch.coords
        self.targets = batch.targets

    @abstractmethod
    def linearise(self) -> None:
        """Find the residuals and what products need, at the present parameters."""

    @abstractmethod
    def push(self, tangents: Sequence[Tensor]) -> Tensor:
        """Return J v, [n, c].

        Args:
            tangents: Change of each trained parameter.
        """

    @abstractmethod
    def pull(self, cotangents: Tensor, totals: Sequence[Tensor]) -> None:
        """Add J^T u to totals.

        Args:
            cotangents: Weight u of each value, [n, c].
            totals: What is added to, one tensor per trained parameter.
        """


class TracedPiece(Piece):
    """A piece of any field, by derivatives in reverse.

    Args:
        batch: The points.
        field: What is trained.
        parameters: What of it is trained.
    """

    def __init__(
        self, batch: PointBatch, field: Field, parameters: Sequence[Tensor]
    ) -> None:
        super().__init__(batch)
        self._field = field
        self._parameters = list(parameters)

    def linearise(self) -> None:
        """Find the residuals."""
        with torch.no_grad():
            self.residuals = self.targets - self._field.forward(self.coords)

    def push(self, tangents: Sequence[Tensor]) -> Tensor:
        """Return J v as the derivative of v J^T u in u.

        Args:
            tangents: Change of each trained parameter.
        """
        with torch.enable_grad():
            values = self._field.forward(self.coords)
            weights = torch.zeros_like(values, requires_grad=True)
            pulled = torch.autograd.grad(
                values,
                self._parameters,
                weights,
                create_graph=True,
                materialize_grads=True,
            )
            moved = [
                (gradient, tangent)
                for gradient, tangent in zip(pulled, tangents, strict=True)
                if gradient.requires_grad
            ]
            found = torch.autograd.grad(
                [gradient for gradient, _ in moved],
                weights,
                [tangent for _, tangent in moved],
            )
        return found[0]

    def pull(self, cotangents: Tensor, totals: Sequence[Tensor]) -> None:
        """Add J^T u to totals, in one backward pass.

        Args:
            cotangents: Weight u of each value, [n, c].
            totals: What is added to, one tensor per trained parameter.
        """
        with torch.enable_grad():
            values = self._field.forward(self.coords)
        found = torch.autograd.grad(
            values, self._parameters, cotangents, allow_unused=True
        )
        for total, gradient in zip(totals, found, strict=True):
            if gradient is not None:
                total.add_(gradient)


@dataclass(frozen=True)
class FieldParts:
    """A field in the parts that are linearised by hand.

    Attributes:
        grid: Encoding that is linear in its table, which is trained; or None.
        features: Coordinates to what the chain is given.
        chain: What follows.
    """

    grid: TableGrid | None
    features: Callable[[Tensor], Tensor]
    chain: Chain


def field_parts(field: Field, parameters: Sequence[Tensor]) -> FieldParts | None:
    """Return a field in parts, if it has them and all of them are trained.

    Args:
        field: What is trained.
        parameters: What of it is trained.
    """
    parts = None
    if isinstance(field, Siren) and type(field).forward is Siren.forward:
        parts = FieldParts(None, lambda coords: 2 * coords - 1, siren_chain(field))
    elif type(field) is EncodedField:
        chain, encoding = decoder_chain(field.decoder), field.encoding
        grid = _linear_grid(encoding)
        if chain is not None and (grid or not list(encoding.parameters())):
            parts = FieldParts(grid, encoding.forward, chain)
    if parts is None:
        return None
    own = [*([parts.grid.table] if parts.grid else []), *parts.chain.parameters]
    is_whole = [id(p) for p in own] == [id(p) for p in parameters]
    return parts if is_whole else None


def _linear_grid(encoding: Encoding) -> TableGrid | None:
    """Return a grid that does nothing but interpolate; None for anything else."""
    if isinstance(encoding, TableGrid) and type(encoding).forward is TableGrid.forward:
        return encoding
    return None


class LayeredPiece(Piece):
    """A piece of a field that is linearised by hand.

    Args:
        batch: The points.
        parts: The field.
        probe: A table of zeros, if the field has a grid, that requires a gradient.
        buffer: What the gradient of the table is added to, if it has one; the first of
            the totals that `pull` is given.
    """

    _kept: LinearisedChain
    _jacobian: Tensor

    def __init__(
        self,
        batch: PointBatch,
        parts: FieldParts,
        probe: Tensor | None,
        buffer: Tensor | None,
    ) -> None:
        super().__init__(batch)
        self._parts = parts
        self._probe = probe
        if parts.grid is None or probe is None or buffer is None:
            with torch.no_grad():
                self._fixed = parts.features(self.coords)
            return
        # A lookup remembers rows and weights alone, which no table changes.
        with torch.enable_grad():
            self._read = parts.grid.interpolated(self.coords, probe, buffer)

    def linearise(self) -> None:
        """Find the residuals, inputs and slopes of all layers."""
        parts = self._parts
        with torch.no_grad():
            features = parts.features(self.coords) if parts.grid else self._fixed
            values, self._kept = parts.chain.linearise(features)
            self.residuals = self.targets - values

    def push(self, tangents: Sequence[Tensor]) -> Tensor:
        """Return J v, layer by layer.

        Args:
            tangents: Change of each trained parameter.
        """
        grid = self._parts.grid
        with torch.no_grad():
            if grid is None:
                return self._kept.push(tangents, None)
            change = grid.interpolated(self.coords, tangents[0])
            return self._kept.push(tangents[1:], change)

    def pull(self, cotangents: Tensor, totals: Sequence[Tensor]) -> None:
        """Add J^T u to totals, layer by layer.

        Args:
            cotangents: Weight u of each value, [n, c].
            totals: What is added to, one tensor per trained parameter.
        """
        with torch.no_grad():
            if self._parts.grid is None:
                self._kept.pull(cotangents, totals)
                return
            below = self._kept.pull(cotangents, totals[1:])
            self._scatter(self._kept.to_inputs(below), totals[0])

    def keep_jacobian(self) -> None:
        """Find the derivatives of values in features, for products of the table."""
        with torch.no_grad():
            self._jacobian = self._kept.input_jacobian()

    def push_table(self, tangents: Sequence[Tensor]) -> Tensor:
        """Return J v for a change of the table alone.

        Args:
            tangents: Change of the table.
        """
        grid = self._parts.grid
        assert grid is not None
        with torch.no_grad():
            change = grid.interpolated(self.coords, tangents[0])
            return (self._jacobian * change).sum(2).T

    def pull_table(self, cotangents: Tensor, totals: Sequence[Tensor]) -> None:
        """Add J^T u to the table's total.

        Args:
            cotangents: Weight u of each value, [n, c].
            totals: The table's total.
        """
        with torch.no_grad():
            weights = cotangents.T[:, :, None]
            self._scatter((self._jacobian * weights).sum(0), totals[0])

    def _scatter(self, cotangents: Tensor, total: Tensor) -> None:
        """Add a gradient of the features to the table's total."""
        assert self._probe is not None
        (found,) = torch.autograd.grad(
            self._read, self._probe, cotangents, retain_graph=True, allow_unused=True
        )
        # Fast lookups have added it to the buffer already.
        if found is not None:
            total.add_(found)
