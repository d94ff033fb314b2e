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

from tangrid.errors import ImplementationError
from tangrid.tangent.kernels.jacobian import jacobian_diagonal, jacobian_kernel
from tangrid.tangent.kernels.kernel import Outputs, TangentKernel
from tangrid.tangent.kernels.subject import Inputs, Subject, rows_of, take_rows

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
        self.points_at_once = points_at_once
        self._num_channels = subject.num_channels(inputs)
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
        return jacobian_diagonal(self._subject, self._inputs, self.outputs)

    def columns(self, points: Int64[Tensor, " k"]) -> Float[Tensor, "rows columns"]:
        """Return the columns of some points, by as many products.

        Args:
            points: Numbers of points of the second side.
        """
        chosen = take_rows(self._others, points)
        kernel = MatrixFreeKernel(
            self._subject, self._inputs, chosen, self.outputs, self.points_at_once
        )
        identity = torch.eye(kernel.shape[1], dtype=self.dtype, device=self.device)
        return kernel @ identity

    def _multiply(self, stacked: Float[Tensor, "columns r"]) -> Float[Tensor, "rows r"]:
        result = stacked.new_zeros(self.shape[0], stacked.shape[1])
        for number, column in enumerate(stacked.detach().unbind(1)):
            for channels in self._channels:
                result[:, number] += self._product(column, channels)
        return result

    @property
    def _channels(self) -> list[slice]:
        """The channels of each product: all at once, or one by one if they add up."""
        if self.outputs == "full":
            return [slice(None)]
        if self.outputs == "trace":
            return [slice(c, c + 1) for c in range(self._num_channels)]
        return [slice(self.outputs, self.outputs + 1)]

    def _product(
        self, vector: Float[Tensor, " columns"], channels: slice
    ) -> Float[Tensor, " rows"]:
        cotangents = vector.new_zeros(self.num_points[1], self._num_channels)
        cotangents[:, channels] = vector.view(self.num_points[1], -1)
        return self._push(self._pull(cotangents))[:, channels].flatten()

    def _pull(self, cotangents: Float[Tensor, "m c"]) -> _Tangent:
        """Return the gradient in the parameters, summed over all points."""
        total = {
            name: torch.zeros_like(p) for name, p in self._subject.parameters.items()
        }
        for start in range(0, len(cotangents), self.points_at_once):
            chosen = slice(start, start + self.points_at_once)
            pull = vjp(self._at(self._others, chosen), self._subject.parameters)[1]
            (gradient,) = pull(cotangents[chosen])
            for name, part in gradient.items():
                total[name] += part.detach()
        return total

    def _push(self, tangent: _Tangent) -> Float[Tensor, "n c"]:
        """Return how the outputs change along a direction of the parameters."""
        found = []
        for start in range(0, self.num_points[0], self.points_at_once):
            chosen = slice(start, start + self.points_at_once)
            at = self._at(self._inputs, chosen)
            change = _directional(at, self._subject.parameters, tangent)
            found.append(change.detach())
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
    except (NotImplementedError, RuntimeError):
        pass
    try:
        values, pull, *_ = vjp(function, at)
        # J^T u is linear in u, so its transpose times the direction is J times it.
        zeros = torch.zeros_like(values)
        return vjp(lambda cotangent: pull(cotangent)[0], zeros)[1](tangent)[0]
    except (NotImplementedError, RuntimeError) as error:
        raise ImplementationError(
            "tangent_kernel(implementation='matrix-free'): expected a function with "
            f"forward derivatives, or second ones in reverse, got: {error} Use "
            "implementation='jacobian'."
        ) from error
