r"""Products with a tangent kernel from derivatives of the function, tile by tile.

:math:`K v = J (J'^\top v)`: one pass backward over the points of the columns, one
forward over those of the rows. It serves any callable and any number of points; nothing
is kept but one gradient.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.func import jvp, vjp

from tangrid.tangent.jacobian import jacobian_kernel
from tangrid.tangent.kernel import Outputs, TangentKernel
from tangrid.tangent.subject import Inputs, Subject, rows_of, take_rows

POINTS_AT_ONCE = 2**14
"""Points of one tile: activations of a small network stay within tens of megabytes."""

_Tangent = dict[str, Tensor]


class MatrixFreeKernel(TangentKernel):
    """Multiply by the tangent kernel of a function without making it.

    Args:
        subject: The function.
        inputs: Points of the rows.
        others: Points of the columns; None for the same.
        outputs: Which channels.
        points_at_once: Points of one tile.
    """

    def __init__(
        self,
        subject: Subject,
        inputs: Inputs,
        others: Inputs | None,
        outputs: Outputs,
        points_at_once: int = POINTS_AT_ONCE,
    ) -> None:
        self._subject = subject
        self._inputs = inputs
        self._others = inputs if others is None else others
        self._tile = points_at_once
        self._num_channels = subject(take_rows(inputs, slice(0, 1))).shape[1]
        self.num_points = (rows_of(inputs), rows_of(self._others))
        self.num_outputs = self._num_channels if outputs == "full" else 1
        self.outputs: Outputs = outputs
        self.is_symmetric = others is None
        self.dtype, self.device = subject.dtype, subject.device

    def to_dense(self) -> Float[Tensor, "rows columns"]:
        """Return the whole matrix, by way of the Jacobian."""
        others = None if self.is_symmetric else self._others
        kernel = jacobian_kernel(self._subject, self._inputs, others, self.outputs)
        return kernel.to_dense()

    def diagonal(self) -> Float[Tensor, " rows"]:
        """Return the diagonal, from the Jacobian of a few points at a time.

        Raises:
            ShapeError: If rows and columns belong to different points.
        """
        self.check_symmetric("kernel.diagonal()")
        step = max(1, 2**24 // (self._subject.num_parameters * self._num_channels))
        found = []
        for start in range(0, self.num_points[0], step):
            rows = take_rows(self._inputs, slice(start, start + step))
            block = jacobian_kernel(self._subject, rows, None, self.outputs)
            found.append(block.diagonal())
        return torch.cat(found)

    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points, by as many products.

        Args:
            points: Numbers of points of the second side.
        """
        chosen = take_rows(self._others, points)
        kernel = MatrixFreeKernel(
            self._subject, self._inputs, chosen, self.outputs, self._tile
        )
        identity = torch.eye(kernel.shape[1], dtype=self.dtype, device=self.device)
        return kernel @ identity

    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        columns = [self._product(column) for column in stacked.unbind(1)]
        return torch.stack(columns, dim=1)

    def _product(self, vector: Float[Tensor, " columns"]) -> Float[Tensor, " rows"]:
        if self.outputs != "trace":
            return self._push(self._pull(self._cotangents(vector, None)), None)
        # The sum over channels is one product for each of them.
        channels = range(self._num_channels)
        terms = [
            self._push(self._pull(self._cotangents(vector, c)), c) for c in channels
        ]
        return torch.stack(terms).sum(0)

    def _cotangents(
        self, vector: Float[Tensor, " columns"], channel: int | None
    ) -> Float[Tensor, "m c"]:
        if self.outputs == "full":
            return vector.view(-1, self._num_channels)
        chosen = channel if isinstance(self.outputs, str) else self.outputs
        cotangents = vector.new_zeros(len(vector), self._num_channels)
        cotangents[:, chosen] = vector
        return cotangents

    def _pull(self, cotangents: Float[Tensor, "m c"]) -> _Tangent:
        """Return the gradient in the parameters, summed over all points."""
        total = {
            name: torch.zeros_like(p) for name, p in self._subject.parameters.items()
        }
        for start in range(0, len(cotangents), self._tile):
            chosen = slice(start, start + self._tile)
            pull = vjp(self._at(self._others, chosen), self._subject.parameters)[1]
            (gradient,) = pull(cotangents[chosen])
            for name, part in gradient.items():
                total[name] += part
        return total

    def _push(self, tangent: _Tangent, channel: int | None) -> Float[Tensor, " rows"]:
        """Return how the outputs change along a direction of the parameters."""
        chosen = channel if isinstance(self.outputs, str) else self.outputs
        found = []
        for start in range(0, self.num_points[0], self._tile):
            at = self._at(self._inputs, slice(start, start + self._tile))
            change = _directional(at, self._subject.parameters, tangent)
            found.append(change.flatten() if chosen is None else change[:, chosen])
        return torch.cat(found)

    def _at(self, inputs: Inputs, chosen: slice) -> Callable[[_Tangent], Tensor]:
        rows = take_rows(inputs, chosen)
        return lambda parameters: self._subject.function(parameters, rows)


def _directional(
    function: Callable[[_Tangent], Tensor], at: _Tangent, tangent: _Tangent
) -> Tensor:
    """Return J times a direction, by reverse passes where forward mode is missing."""
    try:
        return jvp(function, (at,), (tangent,))[1]
    except NotImplementedError:
        pass
    values, pull, *_ = vjp(function, at)
    # J^T u is linear in u, so its transpose applied to the direction is J times it.
    transposed = vjp(lambda cotangent: pull(cotangent)[0], torch.zeros_like(values))[1]
    return transposed(tangent)[0]
