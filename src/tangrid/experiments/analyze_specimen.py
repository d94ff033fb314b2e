"""What is looked at: a model at some parameters, and the groups that have kernels."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from tangrid.fields import Field
from tangrid.notation import Values
from tangrid.tangent.dynamics.stationarity import Stationarity, stationarity
from tangrid.tangent.kernels.building import tangent_kernel
from tangrid.tangent.kernels.kernel import Outputs, TangentKernel
from tangrid.tangent.kernels.subject import ALL, Function, Inputs, Subject, subject_of

_DRAWS = 1
"""Random steps per size and group in the test of Theorem 2: enough for a verdict."""

OnStage = Callable[[str], None]
"""Called with the name of what is done next."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Specimen:
    """Hold a model whose tangent kernels are looked at.

    Attributes:
        label: Short name, unlike those beside it.
        model: Name of the model.
        seed: Source of its initial values.
        state: ``initial`` or ``trained``.
        function: A field, another module, or a function of parameters and inputs.
        groups: Names of the parameters of each group.
        kernels: Groups that have a kernel of their own, and ``all``.
        parameters: All parameters by name, where the function is a plain one.
        facts: What else the record says of it.
        before: Makes the state that the drift of its kernels is measured from.
    """

    label: str
    model: str
    seed: int = 0
    state: str = "initial"
    function: nn.Module | Function
    groups: Mapping[str, tuple[str, ...]]
    kernels: tuple[str, ...] = (ALL,)
    parameters: Mapping[str, Tensor] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[], "Specimen"] | None = None

    def kernel(
        self, name: str, x: Inputs, x2: Inputs | None = None, outputs: Outputs = "full"
    ) -> TangentKernel:
        """Return the tangent kernel of a group of parameters, in float64.

        Args:
            name: The group, or ``all``.
            x: Points of the rows.
            x2: Points of the columns; the same by default.
            outputs: Which channels.
        """
        function, chosen = self._over(name)
        return tangent_kernel(function, x, x2, parameters=chosen, outputs=outputs)

    def stationarity(self, name: str, points: Inputs) -> Stationarity:
        """Return whether Theorem 2 holds when one group of parameters is trained.

        Args:
            name: The group, or ``all``.
            points: Where values are compared.
        """
        function, chosen = self._over(name)
        return stationarity(function, chosen, points=points, num_draws=_DRAWS)

    @property
    def subject(self) -> Subject:
        """The function of all parameters, in float64."""
        function, chosen = self._over(ALL)
        return subject_of(function, chosen, torch.float64)

    def values(self, points: Inputs) -> Values:
        """Return the model's values at points, in float64.

        Args:
            points: Where.
        """
        subject = self.subject
        with torch.no_grad():
            return subject.function(subject.parameters, points)

    def to(self, device: torch.device) -> Self:
        """Return the model on a device, and on it what it was before.

        Args:
            device: Where kernels are computed.
        """
        before, parameters = self.before, self.parameters
        if parameters is not None:
            parameters = {name: value.to(device) for name, value in parameters.items()}
        function = self.function
        if isinstance(function, nn.Module):
            function = function.to(device)
        moved = replace(self, function=function, parameters=parameters)
        if before is None:
            return moved
        return replace(moved, before=lambda: before().to(device))

    def moved(self, parameters: Mapping[str, Tensor]) -> Self:
        """Return the model at other parameters, in float64.

        Args:
            parameters: All of them by name.
        """
        if self.parameters is not None:
            return replace(self, parameters=dict(parameters))
        assert isinstance(self.function, nn.Module)
        module = copy.deepcopy(self.function).double()
        with torch.no_grad():
            for name, value in module.named_parameters():
                if name in parameters:
                    value.copy_(parameters[name])
        return replace(self, function=module)

    def counts(self) -> dict[str, int]:
        """Return the number of trained parameters in each group."""
        sizes = {name: value.numel() for name, value in self._named()}
        return {
            group: sum(sizes[name] for name in members)
            for group, members in self.groups.items()
        }

    def group_of(self, part: str) -> str:
        """Return the group that a part of a kernel belongs to.

        Args:
            part: Name of a parameter, of a layer, or of a level of a table.
        """
        place = part.split(", ", maxsplit=1)[0]
        for group, members in self.groups.items():
            if any(m == place or m.startswith(f"{place}.") for m in members):
                return group
        return "other"

    def _named(self) -> Iterable[tuple[str, Tensor]]:
        if self.parameters is not None:
            return self.parameters.items()
        assert isinstance(self.function, nn.Module)
        return self.function.named_parameters()

    def _over(self, name: str) -> tuple[Any, Any]:
        """Return function and choice of parameters, as `tangent_kernel` takes them."""
        everything = self.parameters
        if everything is None:
            return self.function, name if name == ALL else self.groups[name]
        chosen = everything
        if name != ALL:
            chosen = {member: everything[member] for member in self.groups[name]}
        function, held = self.function, {n: p.double() for n, p in everything.items()}
        return lambda given, inputs: function({**held, **given}, inputs), chosen


def field_specimen(
    built: Field,
    *,
    label: str,
    model: str,
    parameters: Iterable[str] = (ALL, "grid"),
    **more: Any,  # noqa: ANN401
) -> Specimen:
    """Return a field as what is looked at, with a kernel for each group that it has.

    Args:
        built: The field.
        label: Short name.
        model: Name of the model.
        parameters: Groups that shall have kernels of their own, and ``all``.
        **more: Other attributes.
    """
    names = {id(p): name for name, p in built.named_parameters()}
    groups = {
        group: tuple(names[id(p)] for p in members if p.requires_grad)
        for group, members in built.parameter_groups().items()
    }
    groups = {group: members for group, members in groups.items() if members}
    return Specimen(
        label=label,
        model=model,
        function=built,
        groups=groups,
        # That of all comes first: it predicts training, and refuses too large a rate.
        kernels=(ALL, *(name for name in parameters if name in groups)),
        **more,
    )
