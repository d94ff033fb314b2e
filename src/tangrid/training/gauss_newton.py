r"""Gauss-Newton steps with a damping that adapts: the optimiser ``gauss-newton``.

One step linearises the field on a batch and solves the least-squares problem of all its
parameters by a few damped conjugate gradients, with no matrix ever formed. A grid's
table has most of the parameters and the cheapest products: features are linear in it,
and the decoder enters through its derivatives at each point alone. So a solve of the
table comes before each joint one. On a crop of a photograph that was ahead of joint
solves alone after the same seconds, and two solves of the table before each were no
clear gain. Moving table and decoder strictly by turns took as many iterations as joint
solves, the table's being the cheaper ones, and was not pursued.

References:
    Levenberg 1944; Marquardt 1963; Golub, Pereyra 1973 (variable projection); Martens
    2010 (Hessian-free); Bekas, Kokiopoulou, Saad 2007 (diagonals from random signs).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from tangrid.encodings.resampling import Resampling
from tangrid.fields import Field
from tangrid.fields.workers import Workers
from tangrid.seeding import generator
from tangrid.tasks.contract import Batch
from tangrid.training.gauss_newton_products import Products
from tangrid.training.gauss_newton_solver import damped_step, next_damping
from tangrid.training.optimizer import SPARSE_GROUP
from tangrid.training.settings import TrainingSettings

TABLE_ITERATIONS, ITERATIONS = 10, 10
"""Conjugate gradients of a solve of the table, and of a joint one."""
_FIRST_DAMPING = 1e-2
_PROBES = 2
"""Estimates of the diagonal that each solve adds to the running mean."""
_MEMORY = 20
"""Estimates that the running mean of the diagonal looks back on."""
_SIGN_STEPS, _SIGN_RATE = 10, 1e-2
"""Steps by the signs of the gradient where no solve is of use, and their size."""
_SMALLEST_SCALE = 1e-8
"""Least entry of the diagonal over the largest: no step moves what no point sees."""


class GaussNewton:
    """Move a field's parameters by damped Gauss-Newton steps.

    Args:
        field: What is trained.
        settings: Points per piece.
        workers: Who works.
        seed: Source of the random signs.

    Attributes:
        measures: Damping, conjugate gradients of the last step, and how many solves
            have been rejected so far.
    """

    def __init__(
        self, field: Field, settings: TrainingSettings, workers: Workers, *, seed: int
    ) -> None:
        self._field = field
        self._settings = settings
        self._workers = workers
        self._seed = seed
        self._parameters = _trained(field)
        self._squares = {n: torch.zeros_like(p) for n, p in self._parameters.items()}
        # In tensors, because they belong to what is saved; of all, of the table.
        self._damping = torch.full((2,), _FIRST_DAMPING, dtype=torch.float64)
        self._estimates = torch.zeros(2, dtype=torch.int64)
        self._rejected = torch.zeros((), dtype=torch.int64)
        self._batch: Batch | None = None
        self._products: Products | None = None
        self._loss = math.nan
        self._iterations = 0

    @property
    def measures(self) -> Mapping[str, float]:
        """Numbers for the log."""
        measures = {
            "damping": self._damping[0].item(),
            "cg_iterations": float(self._iterations),
            "rejected_steps": float(self._rejected),
        }
        if self._products is not None and self._products.has_table:
            measures["table_damping"] = self._damping[1].item()
        return measures

    def warm_up(self, batch: Batch) -> None:
        """Compile what a step runs, and change nothing.

        Args:
            batch: Few points.
        """
        products = self._made(batch, piece_size=1)
        products.linearise()
        products.curvature(products.descent())
        if products.has_table:
            products.keep_jacobians()
            products.curvature(products.descent(table_only=True))

    def step(self, batch: Batch) -> Tensor:
        """Move all parameters once, if that lowers the loss of the batch.

        Nothing moves where the loss is not finite.

        Args:
            batch: Points and targets.

        Returns:
            The mean loss before the step, in float64.
        """
        if self._products is None or batch is not self._batch:
            self._batch = batch
            self._products = self._made(batch, self._settings.piece_size)
            self._loss = self._products.linearise()
        products, first = self._products, self._loss
        if math.isfinite(first):
            self._iterations = 0
            if products.has_table:
                products.keep_jacobians()
                self._solve(products, table_only=True)
            self._solve(products, table_only=False)
            if (
                not self._loss < first
                and SPARSE_GROUP in self._field.parameter_groups()
            ):
                self._leave_start(products)
        return torch.tensor(first, dtype=torch.float64)

    def grow(self, field: Field, maps: Mapping[str, Resampling]) -> None:
        """Take a field's new parameters in the place of those that they replace.

        Args:
            field: What is trained, as it is now.
            maps: By the name of each new parameter, what makes its diagonal of that of
                the old one.
        """
        self._field, self._parameters = field, _trained(field)
        self._squares |= {n: make(self._squares[n]) for n, make in maps.items()}
        self._products = None

    def state_tensors(self) -> dict[str, Tensor]:
        """Return all that steps change by name; changing it changes the optimiser."""
        return {
            "damping": self._damping,
            "estimates": self._estimates,
            "rejected": self._rejected,
            **{f"squares/{name}": s for name, s in self._squares.items()},
        }

    def _made(self, batch: Batch, piece_size: int) -> Products:
        parameters = list(self._parameters.values())
        return Products(self._field, parameters, batch, self._workers, piece_size)

    def _solve(self, products: Products, *, table_only: bool) -> None:
        """Try one step of all parameters or of the table, and adapt the damping."""
        moved = self._first(table_only)
        damping = self._damping[int(table_only)].item()
        found = damped_step(
            products.curvature,
            products.descent(table_only=table_only),
            self._scales(products, moved, table_only),
            damping,
            TABLE_ITERATIONS if table_only else ITERATIONS,
        )
        self._iterations += found.iterations
        before = self._loss
        loss = self._try(products, moved, products.split(found.step))
        gain = math.nan
        if found.expected_fall > 0:
            gain = (before - loss) / found.expected_fall
        self._damping[int(table_only)] = next_damping(damping, gain)
        if not loss < before:
            self._rejected += 1

    def _try(
        self,
        products: Products,
        moved: Mapping[str, nn.Parameter],
        changes: Sequence[Tensor],
    ) -> float:
        """Change parameters if that lowers the loss.

        Returns:
            The loss that the change gives, taken or not.
        """
        before = [parameter.detach().clone() for parameter in moved.values()]
        with torch.no_grad():
            for parameter, change in zip(moved.values(), changes, strict=True):
                parameter.add_(change)
        loss = products.linearise()
        if loss < self._loss:
            self._loss = loss
            return loss
        with torch.no_grad():
            for parameter, old in zip(moved.values(), before, strict=True):
                parameter.copy_(old)
        products.linearise()
        return loss

    def _leave_start(self, products: Products) -> None:
        """Follow the signs of the gradient, as Adam first does, while the loss falls.

        A table begins at almost nothing, and there units of a decoder switch on and off
        from point to point: a linear model may hold no farther than the table is large,
        and solves be rejected for dozens of steps.
        """
        for _ in range(_SIGN_STEPS):
            before = self._loss
            changes = products.descent().sign_().mul_(_SIGN_RATE)
            self._try(products, self._parameters, products.split(changes))
            if not self._loss < before:
                return

    def _first(self, table_only: bool) -> dict[str, nn.Parameter]:
        """Return the table, which is the first parameter, or all of them."""
        names = list(self._parameters)[: 1 if table_only else None]
        return {name: self._parameters[name] for name in names}

    def _scales(
        self, products: Products, moved: Mapping[str, nn.Parameter], table_only: bool
    ) -> Tensor:
        """Return the diagonal that damps and preconditions, with new estimates in it.

        Where training begins a decoder may have next to no effect, and what is damped
        by its curvature alone would leap. There a parameter's own size counts as well:
        changing all of it costs as much as the loss. Tables begin at almost nothing.
        """
        for _ in range(_PROBES):
            self._estimate(products, moved, table_only)
        largest = max(float(self._squares[name].max()) for name in moved)
        tables = {id(p) for p in self._field.parameter_groups().get(SPARSE_GROUP, [])}
        scales = []
        for name, parameter in moved.items():
            least = _SMALLEST_SCALE * largest
            if id(parameter) not in tables:
                size = parameter.detach().square().sum().clamp_min(1).item()
                least += self._loss / size
            scales.append((self._squares[name] + least).flatten())
        return torch.cat(scales)

    def _estimate(
        self, products: Products, moved: Mapping[str, nn.Parameter], table_only: bool
    ) -> None:
        """Add an estimate of the diagonal to the running mean."""
        source = generator(self._seed, "gauss-newton", int(self._estimates.sum()))
        squares = products.split(products.squares(source, table_only=table_only))
        self._estimates[int(table_only)] += 1
        for place, (name, square) in enumerate(zip(moved, squares, strict=True)):
            # Solves of the table alone estimate its diagonal, too.
            seen = self._estimates.sum() if place == 0 else self._estimates[0]
            self._squares[name].lerp_(square, 1 / min(int(seen), _MEMORY))


def _trained(field: Field) -> dict[str, nn.Parameter]:
    """Return what is trained by name, group by group."""
    names = {id(p): name for name, p in field.named_parameters()}
    groups = field.parameter_groups().values()
    every = [p for parameters in groups for p in parameters if p.requires_grad]
    return {names[id(p)]: p for p in every}
