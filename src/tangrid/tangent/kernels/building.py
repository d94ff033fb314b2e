"""The door to tangent kernels: checks, choice of implementation, plan of memory."""

from typing import Literal

import torch
from torch import Tensor, nn

from tangrid.errors import ConfigError, ShapeError
from tangrid.fields import Field
from tangrid.fields.doors import check_coords
from tangrid.tangent.kernels.assembly import assemble, require_room
from tangrid.tangent.kernels.coordinate_gradients import check_coordinate_gradients
from tangrid.tangent.kernels.jacobian import jacobian_kernel
from tangrid.tangent.kernels.kernel import Outputs, TangentKernel
from tangrid.tangent.kernels.matrix_free import MatrixFreeKernel
from tangrid.tangent.kernels.structured import StructuredKernel
from tangrid.tangent.kernels.subject import (
    ALL,
    Function,
    Inputs,
    Selection,
    Subject,
    rows_of,
    subject_of,
)
from tangrid.tangent.kernels.tracing import trace

KernelImplementation = Literal["auto", "structured", "jacobian", "matrix-free"]
_IMPLEMENTATIONS = ("auto", "structured", "jacobian", "matrix-free")
# A Jacobian of this many numbers (a gigabyte) is made rather than products repeated.
_LARGEST_JACOBIAN = 2**27


def tangent_kernel(
    field: nn.Module | Function,
    x: Inputs,
    x2: Inputs | None = None,
    *,
    parameters: Selection = ALL,
    outputs: Outputs = "full",
    implementation: KernelImplementation = "auto",
    dtype: torch.dtype = torch.float64,
) -> TangentKernel:
    r"""Return the tangent kernel of a field, exact, as an operator.

    :math:`K_{(i,a),(j,b)} = \langle \partial f_a(x_i)/\partial\theta,\;
    \partial f_b(x'_j)/\partial\theta \rangle`, with gradients in the chosen parameters
    at their present values. ``parameters="grid"`` gives the grid tangent kernel (GTK),
    ``"all"`` the neural tangent kernel (NTK). Modules are taken as they are in
    evaluation (``eval()``). The kernel is a constant: no gradient goes through it, and
    nothing that happens to field or points later changes it.

    Args:
        field: A field; any torch module whose outputs at a point depend on that point
            alone; or a function called as ``f(parameters, inputs)``.
        x: Points of the rows, [n, d] in the field's box; a tuple of tensors with a row
            per point for callables that take several, such as rays.
        x2: Points of the columns; the same by default.
        parameters: ``"all"``, a group of the field (``grid``, ``kernel``, ``decoder``),
            names or beginnings of names of parameters, or several of them; for a
            function its parameters by name.
        outputs: ``"full"`` for all pairs of channels (row ``i C + a``), ``"trace"`` for
            their sum, or the number of one channel.
        implementation: ``structured`` for fields: factored gradients, no Jacobian;
            ``jacobian``: the plain definition; ``matrix-free``: products only, for any
            number of points; ``auto`` chooses.
        dtype: float64, or float32 where speed matters more than small eigenvalues.

    Returns:
        The kernel: ``to_dense()``, ``@``, ``diagonal()``, ``eigenvalues(k)``,
        ``solve``, and ``parts`` by level and layer.

    Raises:
        ConfigError: If a choice is not possible.
        ShapeError: If the points cannot be taken.
        ResourceError: If what is asked does not fit into memory.

    Example:
        >>> import tangrid
        >>> field = tangrid.build("instant-ngp", num_dims=2, num_channels=3, seed=0)
        >>> kernel = tangent_kernel(field, torch.rand(5, 2), parameters="grid")
        >>> kernel.shape
        (15, 15)
    """
    _check_choices(implementation, dtype)
    # Gradients are taken in here, whatever mode the caller is in.
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(field, Field) and implementation in ("auto", "structured"):
            return _field_kernel(field, x, x2, parameters, outputs, dtype)
        subject = subject_of(field, parameters, dtype)
        return _kernel_of(subject, x, x2, outputs, implementation)


def _field_kernel(
    field: Field,
    x: Inputs,
    x2: Inputs | None,
    parameters: Selection,
    outputs: Outputs,
    dtype: torch.dtype,
) -> TangentKernel:
    """Return a field's kernel from its parts, without a copy of large tables."""
    subject = subject_of(field, parameters, dtype, share_tables=True)
    if subject.tables:
        try:
            return _kernel_of(subject, x, x2, outputs, "structured")
        except Exception:
            # With a copy it is gone, or raised again.
            subject = subject_of(field, parameters, dtype)
    return _kernel_of(subject, x, x2, outputs, "structured")


def _kernel_of(
    subject: Subject,
    x: Inputs,
    x2: Inputs | None,
    outputs: Outputs,
    implementation: KernelImplementation,
) -> TangentKernel:
    x = _points(x, subject, "x")
    x2 = None if x2 is None else _points(x2, subject, "x2")
    if x2 is not None and isinstance(x, tuple) != isinstance(x2, tuple):
        raise ShapeError(
            "tangent_kernel(x2=...): expected as many tensors as x has, got "
            f"{type(x).__name__} and {type(x2).__name__}. Give both in the same form."
        )
    if implementation == "structured":
        return _structured(subject, x, x2, outputs)
    _check_outputs(outputs, subject.num_channels(x))
    check_coordinate_gradients(subject, x)
    if implementation == "auto":
        implementation = _choose(subject, x, x2)
    if implementation == "jacobian":
        return jacobian_kernel(subject, x, x2, outputs)
    return MatrixFreeKernel(subject, x, x2, outputs)


def _structured(
    subject: Subject, x: Inputs, x2: Inputs | None, outputs: Outputs
) -> StructuredKernel:
    sides = [x] if x2 is None else [x, x2]
    count = sum(rows_of(side) for side in sides)
    to_do = "Take fewer points or parameters, or implementation='matrix-free'."
    require_room(subject, _only(x), count, "tangent_kernel", to_do)
    traces = [trace(subject, _only(side)) for side in sides]
    _check_outputs(outputs, traces[0].num_channels)
    first, *second = (
        [part.over(outputs) for part in parts] for parts in assemble(traces)
    )
    return StructuredKernel(
        first,
        second[0] if second else None,
        outputs=outputs,
    )


def _only(points: Inputs) -> Tensor:
    # Several tensors were refused at the door: fields take one.
    return points if isinstance(points, Tensor) else points[0]


def _choose(subject: Subject, x: Inputs, x2: Inputs | None) -> KernelImplementation:
    rows = rows_of(x) * subject.num_channels(x)
    columns = rows if x2 is None else rows_of(x2) * subject.num_channels(x)
    numbers = max(rows, columns) * subject.num_parameters
    is_small = max(numbers, rows * columns) <= _LARGEST_JACOBIAN
    return "jacobian" if is_small else "matrix-free"


def _check_choices(implementation: str, dtype: torch.dtype) -> None:
    if implementation not in _IMPLEMENTATIONS:
        raise ConfigError(
            f"tangent_kernel(implementation='{implementation}'): expected one of "
            f"{', '.join(_IMPLEMENTATIONS)}."
        )
    if dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"tangent_kernel(dtype={dtype}): expected float32 or float64. Small "
            "eigenvalues need float64."
        )


def _points(inputs: Inputs, subject: Subject, name: str) -> Inputs:
    """Return points as the function takes them, after every check."""
    several = isinstance(inputs, tuple)
    tensors = inputs if several else (inputs,)
    for tensor in tensors:
        _check_points(tensor, subject, name)
    if several and subject.field is not None:
        raise ConfigError(
            f"tangent_kernel({name}=...): expected one tensor of points, as fields "
            f"take it, got {len(tensors)}. Give a callable for other inputs."
        )
    lengths = {len(tensor) for tensor in tensors}
    if len(lengths) != 1:
        raise ShapeError(
            f"tangent_kernel({name}=...): expected tensors with a row per point, got "
            f"{sorted(lengths)} rows. Give every point a row in each of them."
        )
    # A copy: the kernel stays what it is, whatever happens to the points.
    converted = tuple(t.detach().to(subject.dtype, copy=True) for t in tensors)
    if subject.field is not None and not several:
        check_coords(converted[0], subject.field.num_dims, None)
    return converted if several else converted[0]


def _check_points(tensor: Tensor, subject: Subject, name: str) -> None:
    where = f"tangent_kernel({name}=...)"
    if not isinstance(tensor, Tensor):
        raise ShapeError(
            f"{where}: expected a torch tensor with a row per point, got "
            f"{type(tensor).__name__}. Convert it with torch.as_tensor(...)."
        )
    if tensor.ndim == 0 or len(tensor) == 0:
        raise ShapeError(
            f"{where}: expected at least one point, got shape {list(tensor.shape)}."
        )
    if not tensor.dtype.is_floating_point:
        raise ShapeError(
            f"{where}: expected floating point coordinates, got {tensor.dtype}. Map "
            "the points to the field's box, for images (i + 0.5) / N."
        )
    if tensor.device != subject.device:
        raise ShapeError(
            f"{where}: expected points on {subject.device}, where the parameters are, "
            f"got {tensor.device}. Move them with {name}.to('{subject.device}')."
        )
    if not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).reshape(len(tensor), -1).any(1).sum())
        raise ShapeError(
            f"{where}: expected finite coordinates, got {bad} of {len(tensor)} points "
            "with others. Leave those points out."
        )


def _check_outputs(outputs: Outputs, num_channels: int) -> None:
    is_channel = isinstance(outputs, int) and not isinstance(outputs, bool)
    if outputs in ("full", "trace") or (
        is_channel and 0 <= int(outputs) < num_channels
    ):
        return
    raise ConfigError(
        f"tangent_kernel(outputs={outputs!r}): expected 'full', 'trace' or the number "
        f"of a channel from 0 to {num_channels - 1}."
    )
