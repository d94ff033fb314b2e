r"""A field linearised and fitted, that can be asked for any points.

What it says is :math:`f_0(x) + K_{xA}\, w` with the weights w of some points A.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tangrid.notation import Values
from tangrid.tangent.dynamics.ridge_smoothers import RidgeScore
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import TangentKernel
from tangrid.tangent.kernels.subject import (
    Function,
    Inputs,
    Selection,
    rows_of,
    subject_of,
    take_rows,
)

RegressionMethod = Literal["dense", "conjugate-gradients", "nystrom"]
"""How the equations are solved."""
Channels = Literal["full", "trace"]
"""Whether channels act on each other, or each has their mean kernel for itself."""
Start = Literal["outputs", "zero"]
"""What is fitted to: what the field says already, or nothing."""

_POINTS_AT_ONCE = 2**13


@dataclass(frozen=True, eq=False)
class Linearised:
    """Hold what is linearised, as it was: later training does not change it.

    Attributes:
        function: The field, a module or a function.
        parameters: Whose gradients make the kernel.
        outputs: Whether channels act on each other.
        start: What is fitted to.
        dtype: Of the kernel.
    """

    function: nn.Module | Function
    parameters: Selection
    outputs: Channels
    start: Start
    dtype: torch.dtype

    @classmethod
    def copy_of(
        cls,
        function: nn.Module | Function,
        parameters: Selection,
        outputs: Channels,
        start: Start,
        dtype: torch.dtype,
    ) -> "Linearised":
        """Return it with copies of the parameters.

        Args:
            function: The field, a module or a function.
            parameters: Whose gradients make the kernel.
            outputs: Whether channels act on each other.
            start: What is fitted to.
            dtype: Of the kernel.
        """
        if isinstance(function, nn.Module):
            function = copy.deepcopy(function)
        if isinstance(parameters, Mapping):
            parameters = {name: p.detach().clone() for name, p in parameters.items()}
        return cls(function, parameters, outputs, start, dtype)

    def kernel(self, x: Inputs, others: Inputs | None = None) -> TangentKernel:
        """Return the kernel of points with others.

        Args:
            x: Points of the rows.
            others: Points of the columns; the same by default.
        """
        return tangent_kernel(
            self.function,
            x,
            others,
            parameters=self.parameters,
            outputs=self.outputs,
            dtype=self.dtype,
        )

    @torch.no_grad()
    def initial(self, x: Inputs) -> Values:
        """Return what is fitted to at points, in float64.

        Args:
            x: The points.
        """
        subject = subject_of(self.function, self.parameters, self.dtype)
        tensors = x if isinstance(x, tuple) else (x,)
        converted = tuple(tensor.detach().to(self.dtype) for tensor in tensors)
        points: Inputs = converted if isinstance(x, tuple) else converted[0]
        places = range(0, rows_of(x), _POINTS_AT_ONCE)
        parts = [
            take_rows(points, slice(start, start + _POINTS_AT_ONCE)) for start in places
        ]
        values = [subject.function(subject.parameters, part) for part in parts]
        found = torch.cat(values).double()
        return found if self.start == "outputs" else torch.zeros_like(found)


@dataclass(frozen=True, eq=False, kw_only=True)
class FittedKernel:
    """Hold a field linearised and fitted: call it at any points.

    Ridges are added to the diagonal of the kernel; with ``trace`` of the mean kernel.

    Attributes:
        method: How it was fitted.
        ridge: The one that was chosen or given.
        relative_ridge: The same over the mean of the diagonal.
        path: Every ridge that was tried, the largest first.
        stopped: Why no smaller ridge was tried; empty if all were.
        score: Of the ridge chosen: estimated error elsewhere, and how well it is known.
        residual: Relative residual of the equations that were solved, computed with the
            kernel from the weights.
        leave_one_out: Error at each point of the fit to all others; None by conjugate
            gradients.
        train_mse: Mean squared error on the training points.
        rank: Of the preconditioner, or columns of the approximation; 0 if neither.
        trace_left: Share of the kernel's trace that the approximation leaves; 0 if
            there is none.
        num_products: Products with the kernel.
        model: What was linearised.
        support: Points that have weights.
        weights: What the kernel with these is multiplied by.
    """

    method: RegressionMethod
    ridge: float
    relative_ridge: float
    path: tuple[RidgeScore, ...]
    stopped: str
    score: RidgeScore
    residual: float
    leave_one_out: Values | None
    train_mse: float
    rank: int
    trace_left: float
    num_products: int
    model: Linearised
    support: Inputs
    weights: Float[Tensor, "m r"]

    @property
    def at_end(self) -> bool:
        """Whether the ridge is the first or last tried: a better one may lie beyond."""
        ends = (self.path[0].ridge, self.path[-1].ridge)
        return len(self.path) > 1 and self.score.ridge in ends

    @property
    def leave_one_out_mse(self) -> float | None:
        """Mean squared error of leaving each point out; None where it is not known."""
        if self.leave_one_out is None:
            return None
        return float(self.leave_one_out.square().mean())

    def __call__(self, x: Inputs, *, points_at_once: int = _POINTS_AT_ONCE) -> Values:
        """Return what the fit says at points.

        Args:
            x: Points, as the field takes them.
            points_at_once: How many are worked on together.

        Raises:
            ShapeError: If they cannot be taken.
        """
        found = []
        for start in range(0, max(rows_of(x), 1), points_at_once):
            piece = take_rows(x, slice(start, start + points_at_once))
            change = self.model.kernel(piece, self.support) @ self.weights
            initial = self.model.initial(piece)
            found.append(initial + change.reshape(initial.shape).double())
        return torch.cat(found)
