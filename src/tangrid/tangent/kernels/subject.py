"""What a tangent kernel is taken of: a function of parameters and inputs, and a choice.

A field, any other module, or a plain callable all become a `Subject`: a pure function
of named parameters and inputs, with the parameters whose gradients count.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tangrid.encodings.contract import GridEncoding
from tangrid.errors import ConfigError, ShapeError
from tangrid.fields import EncodedField, Field
from tangrid.notation import Coords, Features, Values
from tangrid.ops import implementation
from tangrid.tangent.kernels.stand_in import stand_in

Inputs = Tensor | tuple[Tensor, ...]
"""Points, or several tensors with a row per point, such as origins and directions."""
Function = Callable[[Mapping[str, Tensor], Inputs], Values]
"""Values of every point, each depending on its own row of the inputs alone."""
Selection = str | Iterable[str] | Mapping[str, Tensor]
"""Groups or names of parameters; the parameters themselves for a plain callable."""

LARGE_TABLE = 2**16
"""Numbers from which on a table is worth not to be copied."""
ALL = "all"
"""Selects every trainable parameter."""
_COORDS = ("coords", "coordinates", "x")


@dataclass(frozen=True)
class Subject:
    """Hold a function and the parameters that its gradients are taken in.

    Attributes:
        function: Values from the selected parameters and the inputs.
        parameters: The selected parameters by name, detached.
        module: A copy of the module that the function calls, whose parameters need no
            gradient; None for a plain callable.
        dtype: Arithmetic of parameters, inputs and values.
        device: Where they live.
        tables: Tables that were not copied, by the id of what stands for them in the
            module; nothing but rows can be had of them, each converted as it is read.
    """

    function: Function
    parameters: dict[str, Tensor]
    module: nn.Module | None
    dtype: torch.dtype
    device: torch.device
    tables: Mapping[int, Tensor] = dataclasses.field(default_factory=dict)

    @property
    def field(self) -> Field | None:
        """The module, if it is a field: then its points are known to be independent."""
        return self.module if isinstance(self.module, Field) else None

    @property
    def shared_names(self) -> set[str]:
        """Names of selected parameters that were not copied."""
        return {name for name, p in self.parameters.items() if id(p) in self.tables}

    @property
    def num_parameters(self) -> int:
        """Number of selected parameters."""
        return sum(p.numel() for p in self.parameters.values())

    def num_channels(self, inputs: Inputs) -> int:
        """Return the number of values at a point.

        Args:
            inputs: Some points.

        Raises:
            ShapeError: If they are no values of one point in the right arithmetic.
        """
        with torch.no_grad():
            first = take_rows(inputs, slice(0, 1))
            values = self.function(self.parameters, first)
        self.check_values(values, 1)
        return values.shape[1]

    def check_values(self, values: Tensor, num_points: int) -> None:
        """Refuse what are no values of so many points in the right arithmetic.

        Args:
            values: What the function returned.
            num_points: At how many points.

        Raises:
            ShapeError: If shape or dtype is wrong.
        """
        if values.ndim != 2 or len(values) != num_points or values.shape[1] == 0:
            raise ShapeError(
                "tangent_kernel(field=...): expected values of shape [n, c], one row "
                f"per point, got {list(values.shape)} for {num_points} points."
            )
        if values.dtype != self.dtype:
            raise ShapeError(
                f"tangent_kernel(field=...): expected values of dtype {self.dtype}, as "
                f"parameters and points are given, got {values.dtype}. Compute in the "
                "dtype of the inputs, outside of autocast."
            )


def subject_of(
    model: nn.Module | Function,
    parameters: Selection,
    dtype: torch.dtype,
    *,
    share_tables: bool = False,
) -> Subject:
    """Return the function behind a field, a module or a callable.

    Args:
        model: A field; a module that maps inputs to values; or a function of a mapping
            of parameters and of the inputs, called as ``model(parameters, inputs)``.
        parameters: Which parameters count: ``all``, groups of a field, names or
            beginnings of dotted names; for a plain callable the parameters themselves
            by name.
        dtype: Arithmetic to use; parameters and buffers are converted.
        share_tables: Whether large tables of grids, if chosen, are not copied, which
            saves that time where few rows are read. What stands for one has its shape
            and no numbers, so that a field that does something else with it than read
            rows raises.

    Raises:
        ConfigError: If the choice names nothing, or there is nothing to choose from.

    Example:
        >>> line = nn.Linear(1, 1)
        >>> subject_of(line, "weight", torch.float64).num_parameters
        1
    """
    if not isinstance(model, nn.Module):
        return _callable_subject(model, parameters, dtype)
    if isinstance(parameters, Mapping):
        raise ConfigError(
            "tangent_kernel(parameters=...): expected names of parameters of the "
            f"{type(model).__name__}, got the parameters themselves. Those go with a "
            "plain callable; write for example parameters='all'."
        )
    names = select_names(model, parameters)
    shared = _large_tables(model, names) if share_tables else {}
    stand_ins = {id(table): stand_in(table, dtype) for table in shared.values()}
    # The copy may be converted and watched; the user's module stays as it is.
    module = _copy_of(model, dict(stand_ins)).to(dtype).requires_grad_(False).eval()
    tables = {id(stand_ins[id(table)]): table.detach() for table in shared.values()}
    for part in module.modules():
        if isinstance(part, EncodedField):
            part.decoder_dtype = (
                "float32"  # as the features are: no rounding on the way
            )
        if isinstance(part, GridEncoding) and tables:
            part.forward = _forward_by_rows(part, tables, dtype)  # pyright: ignore
    held = dict(module.named_parameters())
    chosen: dict[str, Tensor] = {name: held[name] for name in names}

    def function(given: Mapping[str, Tensor], inputs: Inputs) -> Values:
        rows = inputs if isinstance(inputs, tuple) else (inputs,)
        with implementation("reference"):
            return functional_call(module, dict(given), rows)

    return Subject(function, chosen, module, dtype, _device_of(module), tables)


def _large_tables(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Return the parameters among some that may be large tables of grids, by name."""
    of_grids = {
        id(parameter)
        for grid in model.modules()
        if isinstance(grid, GridEncoding)
        for parameter in grid.parameters(recurse=False)
    }
    held = dict(model.named_parameters())
    return {
        name: held[name]
        for name in names
        if id(held[name]) in of_grids and held[name].numel() >= LARGE_TABLE
    }


def _forward_by_rows(
    grid: GridEncoding, tables: Mapping[int, Tensor], dtype: torch.dtype
) -> Callable[[Coords], Features]:
    def forward(coords: Coords) -> Features:
        reads = []
        for lookup in grid.lookups(coords, grid.select(coords)):
            table = attrgetter(lookup.table)(grid)
            reads.append(lookup.read(tables.get(id(table), table)).to(dtype))
        return grid.combine(tuple(reads), coords)

    return forward


def _copy_of(model: nn.Module, memo: dict[int, Any]) -> nn.Module:
    try:
        return copy.deepcopy(model, memo)
    except RuntimeError as error:
        raise ConfigError(
            f"tangent_kernel(field=...): expected a {type(model).__name__} that can be "
            f"copied, got one that cannot: {error} Let it keep no results of earlier "
            "calls as attributes."
        ) from error


def _callable_subject(
    model: Function, parameters: Selection, dtype: torch.dtype
) -> Subject:
    if not callable(model):
        raise ConfigError(
            "tangent_kernel(field=...): expected a field, a torch module or a callable "
            f"(parameters, inputs) -> values, got {type(model).__name__}."
        )
    if not isinstance(parameters, Mapping):
        raise ConfigError(
            "tangent_kernel(parameters=...): expected the parameters of the callable "
            f"by name, got {parameters!r}. A plain callable is called as "
            "f(parameters, inputs); give for example parameters={'weight': tensor}."
        )
    if not parameters:
        raise ConfigError(
            "tangent_kernel(parameters=...): expected at least one tensor, got none. "
            "Without parameters there are no gradients."
        )
    for name, tensor in parameters.items():
        if not isinstance(tensor, Tensor):
            raise ShapeError(
                f"tangent_kernel(parameters[{name!r}]): expected a torch tensor, got "
                f"{type(tensor).__name__}. Convert it with torch.as_tensor(...)."
            )
    devices = {tensor.device for tensor in parameters.values()}
    if len(devices) > 1:
        raise ShapeError(
            "tangent_kernel(parameters=...): expected tensors on one device, got "
            f"{', '.join(sorted(map(str, devices)))}. Move them with tensor.to(...)."
        )
    converted = {}
    for name, tensor in parameters.items():
        if not tensor.dtype.is_floating_point:
            raise ShapeError(
                f"tangent_kernel(parameters[{name!r}]): expected floating point "
                f"numbers, got {tensor.dtype}, which has no gradient. Convert it."
            )
        converted[name] = tensor.detach().to(dtype, copy=True)
    return Subject(model, converted, None, dtype, devices.pop())


def select_names(module: nn.Module, parameters: str | Iterable[str]) -> list[str]:
    """Return the names of the trainable parameters that a choice means.

    Args:
        module: A field, whose groups can be named, or any module.
        parameters: ``all``, or groups, names, or beginnings of dotted names.

    Raises:
        ConfigError: If something names no trainable parameter.
    """
    trainable = {
        name: parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.numel()
    }
    complex_ones = [name for name, p in trainable.items() if p.is_complex()]
    if complex_ones:
        raise ConfigError(
            "tangent_kernel(field=...): expected real parameters, got the complex "
            f"'{complex_ones[0]}'. Hold its real and imaginary parts."
        )
    if not trainable:
        raise ConfigError(
            f"tangent_kernel(field=...): expected trainable parameters, got a "
            f"{type(module).__name__} without any. Its tangent kernel is 0; choose a "
            "field that can be trained, or unfreeze it with field.requires_grad_(True)."
        )
    if not isinstance(parameters, Iterable):
        raise ConfigError(
            "tangent_kernel(parameters=...): expected 'all', names or groups, got "
            f"{parameters!r}."
        )
    asked = (parameters,) if isinstance(parameters, str) else tuple(parameters)
    groups = _groups(module, trainable)
    chosen: dict[str, None] = {}
    for choice in asked:
        if choice == ALL:
            found = list(trainable)
        elif choice in groups:
            found = groups[choice]
        else:
            found = [n for n in trainable if n == choice or n.startswith(f"{choice}.")]
        if not found:
            raise _nothing_named(choice, groups, list(trainable))
        chosen.update(dict.fromkeys(found))
    if not chosen:
        raise _nothing_named("", groups, list(trainable))
    return [name for name in trainable if name in chosen]


def _groups(module: nn.Module, trainable: Mapping[str, Tensor]) -> dict[str, list[str]]:
    if not isinstance(module, Field):
        return {}
    names = {id(parameter): name for name, parameter in trainable.items()}
    return {
        group: [names[id(p)] for p in members if id(p) in names]
        for group, members in module.parameter_groups().items()
    }


def _nothing_named(
    choice: str, groups: Mapping[str, list[str]], names: list[str]
) -> ConfigError:
    if choice in _COORDS:
        return ConfigError(
            f"tangent_kernel(parameters='{choice}'): expected parameters of the field, "
            "got its coordinates, which are not trained. For gradients in coordinates "
            "use torch.func.jacrev on the field."
        )
    known = [group for group, members in groups.items() if members] or names
    return ConfigError(
        f"tangent_kernel(parameters='{choice}'): expected 'all' or one of "
        f"{', '.join(known)}, got a name without trainable parameters. Name a group, a "
        "parameter, or the beginning of its dotted name."
    )


def _device_of(module: nn.Module) -> torch.device:
    devices = {tensor.device for tensor in module.state_dict().values()}
    if len(devices) > 1:
        raise ShapeError(
            "tangent_kernel(field=...): expected all parameters on one device, got "
            f"{', '.join(sorted(map(str, devices)))}. Move the field with "
            "field.to(device)."
        )
    return devices.pop()


def rows_of(inputs: Inputs) -> int:
    """Return the number of points.

    Args:
        inputs: One or several tensors with a row per point.
    """
    return len(inputs[0] if isinstance(inputs, tuple) else inputs)


def take_rows(inputs: Inputs, chosen: slice | Tensor) -> Inputs:
    """Return some points.

    Args:
        inputs: One or several tensors with a row per point.
        chosen: A slice or numbers of points.
    """
    if isinstance(inputs, tuple):
        return tuple(tensor[chosen] for tensor in inputs)
    return inputs[chosen]
