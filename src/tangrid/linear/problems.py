"""A field, points and wanted values as a least-squares problem, by kind of field."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tangrid.devices import torch_threads
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.linear.conjugate_gradients import RidgeIteration, Watch, share_of
from tangrid.linear.field_design import FieldBlock, field_design
from tangrid.linear.normal_equations import normal_equations
from tangrid.linear.recognition import fixed_features, summed_grid, trained_names
from tangrid.linear.sparse_design import sparse_design, table_names
from tangrid.notation import Coords, Features, Values
from tangrid.seeding import generator

_COLUMNS_AT_ONCE = 4
"""Right-hand sides that products take at the price of fewer."""
_LEAST_PROBES = 4
"""Vectors of random signs whose mean is the trace: of one alone it scatters twice as
much."""
_LOOSE = 1e-5
"""Gradient over A^T y at which scores of ridges have settled to a thousandth."""


@dataclass(frozen=True)
class Fitted:
    """The weights for one ridge, and what they come to.

    Attributes:
        weights: One column per channel, in float64.
        gradient: Length of A^T (y - A w) - mu w over that of A^T y.
        mse: Mean squared error at the points.
        effective_parameters: Trace of the smoother: of one channel, or of all together
            where they are coupled.
        iterations: Steps of the solver.
    """

    weights: Tensor
    gradient: float
    mse: float
    effective_parameters: float
    iterations: int


class Problem(ABC):
    """Least squares with a ridge, for one field at one set of points.

    Attributes:
        num_points: Rows of the design matrix: points, or values where channels are
            coupled.
        scale: Mean squared length of a column.
    """

    num_points: int
    scale: float

    @abstractmethod
    def solve(
        self,
        ridge: float,
        tolerance: float | None = None,
        *,
        most: int = 1000,
        watch: Watch | None = None,
    ) -> Fitted:
        """Return the weights for a ridge.

        Args:
            ridge: mu.
            tolerance: Wanted gradient; None for one at which scores have settled.
            most: Iterations to take at most.
            watch: Is told how it goes.
        """

    @abstractmethod
    def gradient(self, weights: Tensor, ridge: float) -> float:
        """Return the length of A^T (y - A w) - mu w over that of A^T y, in float64.

        Args:
            weights: One column per channel, in float64.
            ridge: mu.
        """

    @abstractmethod
    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained, in the order of the weights' rows."""

    def store(self, weights: Tensor) -> None:
        """Make weights those of the field, rounded to what it keeps.

        Args:
            weights: One column per channel.
        """
        self._write(weights, self.parameters())

    @staticmethod
    def _write(weights: Tensor, parameters: list[nn.Parameter]) -> None:
        with torch.no_grad():
            done = 0
            for parameter in parameters:
                rows = parameter.numel() // weights.shape[1]
                parameter.copy_(weights[done : done + rows].view(parameter.shape))
                done += rows

    def stored(self) -> Tensor:
        """Return the weights as the field has them, in float64."""
        columns = [p.detach().double().flatten() for p in self.parameters()]
        return torch.cat(columns).view(-1, self._num_columns())

    @abstractmethod
    def _num_columns(self) -> int: ...


class IterativeProblem(Problem):
    """A sum of grid reads, or any other linear field, by iteration.

    Right-hand sides are the channels of a grid, which do not know of each other, and
    the values of all channels in one for other fields; probes are carried along.

    Args:
        field: The field.
        coords: Points in the unit box.
        values: Wanted values.
        workers: Who works.
        seed: Source of the probes.
    """

    def __init__(
        self, field: Field, coords: Coords, values: Values, workers: Workers, seed: int
    ) -> None:
        self._field = field
        self._encoding = encoding = summed_grid(field)
        if encoding is None:
            self._block = FieldBlock(field, trained_names(field), coords)
            design = field_design(self._block, workers)
            values = (values - self._block.offset()).reshape(-1, 1)
        else:
            self._names = table_names(encoding, coords)
            design = sparse_design(encoding, coords, workers)
        self._values = values
        self.num_points, channels = values.shape
        count = _LEAST_PROBES + -channels % _COLUMNS_AT_ONCE
        draw = generator(seed, "probes")
        signs = torch.randint(0, 2, (self.num_points, count), generator=draw)
        self._probes = 2.0 * signs - 1.0
        columns = torch.cat((values.float(), self._probes), dim=1)
        self._iteration = RidgeIteration(design, columns, channels)
        self.scale = float(design.whole.column_squares().mean())
        self._start: Tensor | None = None

    def solve(
        self,
        ridge: float,
        tolerance: float | None = None,
        *,
        most: int = 1000,
        watch: Watch | None = None,
    ) -> Fitted:
        """Return the weights for a ridge, starting from those of the last one.

        Args:
            ridge: mu.
            tolerance: Wanted gradient; None for one at which scores have settled.
            most: Iterations to take at most.
            watch: Is told how it goes.
        """
        found = self._iteration.solve(
            ridge,
            _LOOSE if tolerance is None else tolerance,
            start=self._start,
            most=most,
            watch=watch,
        )
        self._start = found.weights
        channels = self._values.shape[1]
        left = self._iteration.targets.double() - self._iteration.design.whole.apply(
            found.weights
        )
        probes = self._probes.double()
        smoothed = probes - left[:, channels:]
        return Fitted(
            weights=found.weights[:, :channels],
            gradient=found.gradient,
            mse=float(left[:, :channels].square().mean()),
            effective_parameters=float((probes * smoothed).sum(0).mean()),
            iterations=found.iterations,
        )

    def gradient(self, weights: Tensor, ridge: float) -> float:
        """Return the length of A^T (y - A w) - mu w over that of A^T y, in float64.

        Args:
            weights: One column per channel, in float64.
            ridge: mu.
        """
        channels = self._values.shape[1]
        design = self._iteration.design.whole
        left = self._values.double() - design.apply(weights)
        return self._iteration.relative(
            design.transpose(left) - ridge * weights[:, :channels]
        )

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained, in the order of the weights' rows."""
        if self._encoding is None:
            own = dict(self._field.named_parameters())
            return [own[name] for name in trained_names(self._field)]
        own = dict(self._encoding.named_parameters())
        return [own[name] for name in self._names]

    def _num_columns(self) -> int:
        return self._values.shape[1]


class FeatureProblem(Problem):
    """A matrix on fixed features, its bias taken as the weights of one feature more.

    Args:
        field: The field.
        coords: Points in the unit box.
        values: Wanted values.
        workers: How many threads PyTorch's own products may use.
        seed: Not needed: the trace is exact.
    """

    def __init__(
        self, field: Field, coords: Coords, values: Values, workers: Workers, seed: int
    ) -> None:
        del seed
        self._threads = workers.count
        parts = fixed_features(field)
        if parts is None:
            raise TypeError("expected fixed features under a matrix")
        encoding, decoder = parts
        self._layer = decoder.output
        has_bias = self._layer.bias is not None

        def features(points: Coords) -> Features:
            with torch.no_grad():
                found = encoding(points)
            ones = found.new_ones(len(found), int(has_bias))
            return torch.cat((found, ones), dim=1)

        # One product after the other, so that each may use all threads.
        with torch_threads(self._threads):
            self._system = normal_equations(features, coords, values)
        self._features, self._coords, self._values = features, coords, values
        self.num_points = len(values)
        self.scale = float(self._system.eigenvalues.mean())

    def solve(
        self,
        ridge: float,
        tolerance: float | None = None,
        *,
        most: int = 1000,
        watch: Watch | None = None,
    ) -> Fitted:
        """Return the weights for a ridge, which eigenvalues give at once.

        Args:
            ridge: mu.
            tolerance: Not needed.
            most: Not needed.
            watch: Is told of the one step.
        """
        del most
        system = self._system
        with torch_threads(self._threads):
            weights, mse = system.solve(ridge), system.mse(ridge)
        if watch is not None:
            watch(1, mse)
        return Fitted(
            weights=weights,
            # Computed from the points, as what is asked for at the end alone.
            gradient=0.0 if tolerance is None else self.gradient(weights, ridge),
            mse=mse,
            effective_parameters=system.effective_parameters(ridge),
            iterations=1,
        )

    def gradient(self, weights: Tensor, ridge: float) -> float:
        """Return the length of A^T (y - A w) - mu w over that of A^T y, in float64.

        Args:
            weights: One column per channel, in float64.
            ridge: mu.
        """
        found = -ridge * weights
        pieces = zip(self._coords.split(2**13), self._values.split(2**13), strict=True)
        with torch_threads(self._threads):
            for coords, values in pieces:
                own = self._features(coords).double()
                found += own.T @ (values.double() - own @ weights)
        return share_of(float(found.norm()), float(self._system.pulled.norm()))

    def parameters(self) -> list[nn.Parameter]:
        """Return the matrix and the bias."""
        return list(self._layer.parameters())

    def store(self, weights: Tensor) -> None:
        """Make weights those of the field, rounded to what it keeps.

        Args:
            weights: One column per channel.
        """
        size = self._layer.weight.shape[1]
        with torch.no_grad():
            self._layer.weight.copy_(weights[:size].T)
            if self._layer.bias is not None:
                self._layer.bias.copy_(weights[size])

    def stored(self) -> Tensor:
        """Return the weights as the field has them, in float64."""
        rows = [self._layer.weight.detach().double().T]
        if self._layer.bias is not None:
            rows.append(self._layer.bias.detach().double()[None])
        return torch.cat(rows)

    def _num_columns(self) -> int:
        return self._values.shape[1]
