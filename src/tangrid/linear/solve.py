"""Solve for everything that a field trains, at once and to the optimum."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from tangrid.errors import ConfigError, NumericalError, NumericalWarning, ShapeError
from tangrid.fields import Field
from tangrid.fields.workers import Workers, predict
from tangrid.linear.problems import FeatureProblem, Fitted, IterativeProblem, Problem
from tangrid.linear.recognition import check_linear, fixed_features, trained_names
from tangrid.linear.ridge_path import RidgePath, RidgeTrial, gcv, ridge_path
from tangrid.notation import Coords, Values
from tangrid.seeding import generator

RidgeRule = Literal["gcv", "holdout"]
TOLERANCE = 1e-6
"""Length of A^T (y - A w) - mu w over that of A^T y at which a solution is exact."""
_POINTS_TO_TRY = 256
_HELD_OUT = 10
"""One point in so many judges ridges by the rule ``holdout``."""
_STEPS_OF_A_PATH = 12


@dataclass(frozen=True)
class Stage:
    """How far a solution is.

    Attributes:
        iterations: Steps of the solver so far, those for other ridges included.
        fraction: About how much is done, 0 to 1.
        loss: Mean squared error at the points now.
        ridge: The ridge that it is solved for now.
    """

    iterations: int
    fraction: float
    loss: float
    ridge: float


@dataclass(frozen=True)
class Solution:
    """What was solved, how exactly, and how the ridge was chosen.

    Attributes:
        ridge: mu.
        rule: ``gcv``, ``holdout``, or ``given``.
        normal_residual: Length of A^T (y - A w) - mu w over that of A^T y, of the
            weights as they were computed, in float64.
        stored_residual: The same of the weights as the field keeps them.
        mse: Mean squared error at the points.
        effective_parameters: Trace of the smoother: of one channel, or of all together
            where they are coupled.
        iterations: Steps of the solver for this ridge.
        all_iterations: Steps for all ridges.
        seconds: Wall time.
        path: The ridges that were tried; none where one was given.
        is_inside: Whether the path had worse ridges on either side of the best.
        converged: Whether the normal residual is as small as was asked for.
    """

    ridge: float
    rule: str
    normal_residual: float
    stored_residual: float
    mse: float
    effective_parameters: float
    iterations: int
    all_iterations: int
    seconds: float
    path: tuple[RidgeTrial, ...] = ()
    is_inside: bool = True
    converged: bool = True


def least_squares(
    field: Field,
    coords: Coords,
    values: Values,
    *,
    ridge: float | RidgeRule = "gcv",
    tolerance: float = TOLERANCE,
    max_iterations: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    watch: Callable[[Stage], None] | None = None,
) -> Solution:
    r"""Give a field the parameters that minimise its squared error, and a ridge's.

    With the design matrix A, whose row i is how point i's value depends on what is
    trained, it minimises :math:`|y - A w|^2 + \mu |w|^2`, summed over channels.

    Args:
        field: A field that is linear in what is trained; changed in place.
        coords: Points in the unit box.
        values: Wanted values there.
        ridge: mu, or how it is chosen: ``gcv`` by generalised cross-validation,
            ``holdout`` by the error at a tenth of the points, which then join in.
        tolerance: Wanted length of the gradient over that of A^T y.
        max_iterations: Steps of the solver for the final ridge; fewer than it takes
            leave a weight vector on the way and a `NumericalWarning`.
        seed: Source of probes and held-out points.
        threads: Threads to use; None for all that the process may.
        watch: Is told how it goes; what it raises ends the work.

    Returns:
        The record: how exact it is and how the ridge was chosen.

    Raises:
        ConfigError: If the field is not linear or the ridge not above 0.
        ShapeError: If points and values do not belong together.
        NumericalError: If what goes in or comes out is not finite.

    Example:
        >>> import tangrid as tg
        >>> field = tg.build("linear-grid", num_dims=2, num_channels=1, params=500)
        >>> points = torch.rand(1000, 2, generator=generator(0, "example"))
        >>> solution = least_squares(field, points, points[:, :1])
        >>> solution.normal_residual < 1e-6, solution.mse < 1e-6
        (True, True)
    """
    start = time.monotonic()
    _check(field, coords, values, ridge)
    check_linear(field, coords[:_POINTS_TO_TRY])
    with Workers(threads) as workers:
        work = _Work(field, coords, values, workers, seed, watch, start)
        path = None
        if ridge == "gcv":
            path = work.follow_gcv()
        elif ridge == "holdout":
            path = work.follow_held_out()
        chosen = path.ridge if path is not None else float(ridge)
        return work.finish(chosen, str(ridge), path, tolerance, max_iterations)


def _check(
    field: Field, coords: Coords, values: Values, ridge: float | RidgeRule
) -> None:
    if coords.ndim != 2 or coords.shape[1] != field.num_dims or not len(coords):
        raise ShapeError(
            f"least_squares(coords=...): expected shape [n, {field.num_dims}], got "
            f"{list(coords.shape)}."
        )
    if values.shape != (len(coords), field.num_channels):
        raise ShapeError(
            "least_squares(values=...): expected shape "
            f"{[len(coords), field.num_channels]}, got {list(values.shape)}."
        )
    for name, given in (("coords", coords), ("values", values)):
        if not given.isfinite().all():
            raise NumericalError(
                f"least_squares({name}=...): expected finite numbers, got some that "
                "are not. Leave those points out."
            )
    if not trained_names(field):
        raise ConfigError(
            f"least_squares: expected a field with parameters to solve for, got a "
            f"{type(field).__name__} of which none is trained."
        )
    check_ridge(ridge)


def check_ridge(ridge: float | RidgeRule) -> None:
    """Refuse a ridge that is no number above 0 and no rule.

    Args:
        ridge: mu, or how it is chosen.

    Raises:
        ConfigError: If it is neither.
    """
    if ridge in {"gcv", "holdout"}:
        return
    if not isinstance(ridge, int | float) or not 0 < ridge < float("inf"):
        raise ConfigError(
            f"ridge: expected a number above 0, 'gcv' or 'holdout', got {ridge!r}. "
            "Without any ridge the optimum is not unique; 1e-6 is as good as none."
        )


class _Work:
    """One field on its way to the optimum."""

    def __init__(
        self,
        field: Field,
        coords: Coords,
        values: Values,
        workers: Workers,
        seed: int,
        watch: Callable[[Stage], None] | None,
        start: float,
    ) -> None:
        self._start = start
        self._field, self._coords, self._values = field, coords, values
        self._workers, self._seed, self._watch = workers, seed, watch
        self._iterations = 0
        self._fraction = 0.0
        self._problem: Problem | None = None

    @property
    def problem(self) -> Problem:
        """The problem of all points; built when it is first needed."""
        if self._problem is None:
            self._problem = self._problem_at(self._coords, self._values)
        return self._problem

    def _problem_at(self, coords: Coords, values: Values) -> Problem:
        kind = (
            IterativeProblem if fixed_features(self._field) is None else FeatureProblem
        )
        return kind(self._field, coords, values, self._workers, self._seed)

    def _solve(
        self,
        problem: Problem,
        ridge: float,
        tolerance: float | None = None,
        most: int = 1000,
    ) -> Fitted:
        before = self._iterations

        def watch(iterations: int, mse: float) -> None:
            self._tell(before + iterations, mse, ridge)

        found = problem.solve(ridge, tolerance, most=most, watch=watch)
        self._iterations = before + max(found.iterations, 1)
        self._tell(self._iterations, found.mse, ridge)
        return found

    def _tell(self, iterations: int, loss: float, ridge: float) -> None:
        if self._watch is not None:
            self._watch(Stage(iterations, self._fraction, loss, ridge))

    def follow_gcv(self) -> RidgePath:
        """Return the path of ridges by generalised cross-validation."""
        problem = self.problem

        def evaluate(ridge: float) -> RidgeTrial:
            found = self._solve(problem, ridge)
            effective = found.effective_parameters
            score = gcv(found.mse, effective, problem.num_points)
            self._fraction += (1 - self._fraction) / _STEPS_OF_A_PATH
            return RidgeTrial(ridge, score, found.mse, effective, found.iterations)

        return ridge_path(evaluate, problem.scale)

    def follow_held_out(self) -> RidgePath:
        """Return the path of ridges by the error at points that were not fitted."""
        draw = generator(self._seed, "held-out")
        order = torch.randperm(len(self._coords), generator=draw)
        cut = max(len(order) // _HELD_OUT, 1)
        judges, others = order[:cut].sort().values, order[cut:].sort().values
        problem = self._problem_at(self._coords[others], self._values[others])

        def evaluate(ridge: float) -> RidgeTrial:
            found = self._solve(problem, ridge)
            problem.store(found.weights)
            guess = predict(self._workers, self._field, self._coords[judges])
            score = float((guess - self._values[judges]).double().square().mean())
            self._fraction += (1 - self._fraction) / _STEPS_OF_A_PATH
            effective = found.effective_parameters
            return RidgeTrial(ridge, score, found.mse, effective, found.iterations)

        return ridge_path(evaluate, problem.scale)

    def finish(
        self,
        ridge: float,
        rule: str,
        path: RidgePath | None,
        tolerance: float,
        most: int,
    ) -> Solution:
        """Return the record of the optimum, whose weights the field then has."""
        problem = self.problem
        found = self._solve(problem, ridge, tolerance, most)
        if not found.weights.isfinite().all():
            raise NumericalError(
                "least_squares: expected finite weights, got some that are not for the "
                f"ridge {ridge:g}. Give a larger one."
            )
        residual = problem.gradient(found.weights, ridge)
        if residual > tolerance:
            warnings.warn(
                f"least_squares: expected a relative gradient of {tolerance:.0e}, got "
                f"{residual:.1e} after {found.iterations} iterations with the ridge "
                f"{ridge:.1e}. A larger ridge takes fewer.",
                NumericalWarning,
                stacklevel=3,
            )
        problem.store(found.weights)
        self._fraction = 1.0
        self._tell(self._iterations, found.mse, ridge)
        return Solution(
            ridge=ridge,
            rule=rule if path is not None else "given",
            normal_residual=residual,
            stored_residual=problem.gradient(problem.stored(), ridge),
            mse=found.mse,
            effective_parameters=found.effective_parameters,
            iterations=found.iterations,
            all_iterations=self._iterations,
            seconds=time.monotonic() - self._start,
            path=path.trials if path is not None else (),
            is_inside=path is None or path.is_inside,
            converged=residual <= tolerance,
        )
