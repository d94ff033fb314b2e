r"""A field to first order in its parameters, and how far training moves them.

.. math:: f^{lin}(x) = f_0(x) + J(x)\,\delta

is linear in the displacement :math:`\delta = \theta - \theta_0`, so that theory solves
its training. Trained beside the real field it shows what of the training is linear.
The displacement that the kernel predicts, :math:`J^\top \sum_i v_i h_i v_i^\top r`,
tells beforehand how far from home the real field would go.

References:
    Lee et al. 2019, "Wide Neural Networks of Any Depth Evolve as Linear Models Under
    Gradient Descent"; Chizat et al. 2019, "On Lazy Training in Differentiable
    Programming".
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from tangrid.errors import ShapeError
from tangrid.fields import Field
from tangrid.notation import Coords, Values
from tangrid.ops import implementation
from tangrid.tangent.kernels.coordinate_gradients import check_coordinate_gradients
from tangrid.tangent.kernels.subject import ALL, select_names, subject_of

Displacement = Mapping[str, Tensor]
"""A change of each parameter, by its name in the field."""

_POINTS_AT_ONCE = 8192


class _WithoutCheck(nn.Module):
    """Call a field on points that were checked at the door, where transforms cannot."""

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field

    def forward(self, coords: Coords) -> Values:
        """Return the field's values."""
        return self.field.forward(coords)


class LinearisedField(Field):
    """Take a field to first order around its present parameters; train the rest.

    The only trainable parameters are the displacement, which begins at 0. The field is
    copied, so that training one leaves the other alone.

    Args:
        field: The field, with the parameters to linearise at.
        parameters: Which of them may move: ``all``, groups or names, as for
            `tangrid.tangent.tangent_kernel`.

    Attributes:
        names: The parameters that may move.

    Raises:
        ConfigError: If the choice names no trainable parameter, or one that moves
            points at which features are piecewise constant.

    Example:
        >>> import tangrid
        >>> field = tangrid.build("instant-ngp", num_dims=2, num_channels=3, seed=0)
        >>> line = LinearisedField(field, "grid")
        >>> x = torch.rand(5, 2)
        >>> torch.allclose(line(x), field(x), atol=1e-6), line.names
        (True, ('encoding.table',))
    """

    def __init__(self, field: Field, parameters: str | Iterable[str] = ALL) -> None:
        super().__init__()
        self.num_dims, self.num_channels = field.num_dims, field.num_channels
        self.names = tuple(select_names(field, parameters))
        first = next(field.parameters())
        subject = subject_of(field, self.names, first.dtype)
        assert isinstance(subject.module, Field)
        middle = torch.full((1, self.num_dims), 0.5, dtype=first.dtype)
        check_coordinate_gradients(subject, middle.to(first.device))
        self.origin = _WithoutCheck(subject.module)
        self.displacement = nn.ParameterList(
            torch.zeros_like(subject.parameters[name]) for name in self.names
        )

    def forward(self, coords: Coords) -> Values:
        """Return the first-order values at each point.

        Args:
            coords: Points in the unit box.
        """
        held = dict(self.origin.named_parameters())
        inside = [f"field.{name}" for name in self.names]
        # Only the plain implementation differentiates forward.
        with implementation("reference"):
            values, change = jvp(
                lambda given: functional_call(self.origin, given, (coords,)),
                ({name: held[name] for name in inside},),
                (dict(zip(inside, self.displacement, strict=True)),),
            )[:2]
        return values + change

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return the displacement, as the field's groups have its parameters."""
        origin = self.origin.field
        names = {id(p): name for name, p in origin.named_parameters()}
        moved = dict(zip(self.names, self.displacement, strict=True))
        groups = {
            group: [moved[names[id(p)]] for p in members if names[id(p)] in moved]
            for group, members in origin.parameter_groups().items()
        }
        return {group: members for group, members in groups.items() if members}

    def move_to(self, displacement: Displacement) -> None:
        """Set the displacement, such as to the one that a kernel predicts.

        Args:
            displacement: Change of each parameter that may move, by name.

        Raises:
            ShapeError: If names or shapes differ.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in displacement.items()}
        ours = {
            name: tuple(moved.shape)
            for name, moved in zip(self.names, self.displacement, strict=True)
        }
        if shapes != ours:
            raise ShapeError(
                f"LinearisedField.move_to: expected changes of {ours}, got {shapes}. "
                "Linearise and predict with the same choice of parameters."
            )
        with torch.no_grad():
            for name, moved in zip(self.names, self.displacement, strict=True):
                moved.copy_(displacement[name])


def predicted_displacement(
    field: Field,
    coords: Coords,
    weights: Values,
    parameters: str | Iterable[str] = ALL,
) -> dict[str, Tensor]:
    r"""Return the displacement that a solution of the kernel means, J^T alpha.

    Args:
        field: The field at its initial parameters.
        coords: The training points.
        weights: The solution :math:`\alpha`: one row of `KernelRegression.weights`.
        parameters: Which parameters were trained.

    Raises:
        ShapeError: If weights and points do not fit.
        ConfigError: If the choice names no trainable parameter, or one that moves
            points at which features are piecewise constant.
    """
    if weights.shape != (len(coords), field.num_channels):
        raise ShapeError(
            f"predicted_displacement(weights=...): expected shape [{len(coords)}, "
            f"{field.num_channels}], got {list(weights.shape)}. Take one time of "
            "KernelRegression.weights(times)."
        )
    if not bool(torch.isfinite(weights).all()):
        raise ShapeError(
            "predicted_displacement(weights=...): expected finite numbers, got others. "
            "Take one time of KernelRegression.weights(times)."
        )
    subject = subject_of(field, parameters, weights.dtype)
    coords = coords.to(weights)
    check_coordinate_gradients(subject, coords)
    given = {n: p.clone().requires_grad_() for n, p in subject.parameters.items()}
    total = {name: torch.zeros_like(p) for name, p in subject.parameters.items()}
    for start in range(0, len(coords), _POINTS_AT_ONCE):
        part = slice(start, start + _POINTS_AT_ONCE)
        product = (subject.function(given, coords[part]) * weights[part]).sum()
        found = torch.autograd.grad(product, list(given.values()), allow_unused=True)
        for name, gradient in zip(given, found, strict=True):
            if gradient is not None:
                total[name] += gradient
    return total


def relative_displacement(field: Field, displacement: Displacement) -> dict[str, float]:
    r"""Return the size of a displacement over the size of what it displaces.

    A number near 1 means that the field is not where it was linearised. A small one
    does not mean that it is near: the kernel of an InstantNGP changes by a third
    while its parameters move by a few hundredths of their size. Features that begin
    near 0 make that of a grid large at once.

    Args:
        field: The field at its initial parameters.
        displacement: Change of each parameter, by name.

    Returns:
        One number for each group that is displaced; infinite if it was 0.
    """
    held = {id(p): name for name, p in field.named_parameters()}
    found = {}
    for group, members in field.parameter_groups().items():
        moved = [(p, displacement.get(held[id(p)])) for p in members]
        there = [(p.detach().double(), d.double()) for p, d in moved if d is not None]
        if not there:
            continue
        size = sum(float(p.square().sum()) for p, _ in there) ** 0.5
        change = sum(float(d.square().sum()) for _, d in there) ** 0.5
        found[group] = change / size if size > 0 else float("inf")
    return found
