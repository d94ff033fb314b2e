"""Gradients of every point written out: the plainest form, and the oracle of the rest.

It holds n C times P numbers, so it serves small fields, few points, and the parameters
that have no known structure.
"""

import warnings
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

from tangrid.devices import require_memory
from tangrid.errors import ImplementationError
from tangrid.tangent.kernels.kernel import DenseKernel, Outputs
from tangrid.tangent.kernels.subject import Inputs, Subject, rows_of, take_rows

_NUMBERS_AT_ONCE = 2**24


def jacobian(
    subject: Subject, parameters: Mapping[str, Tensor], inputs: Inputs
) -> dict[str, Float[Tensor, "n c p"]]:
    """Return the gradient of every output of every point in some parameters.

    Args:
        subject: The function.
        parameters: Those of its parameters that count.
        inputs: Points.

    Returns:
        By parameter, [points, channels, entries].

    Raises:
        ResourceError: If it does not fit into memory.
    """
    points, channels = rows_of(inputs), subject.num_channels(inputs)
    dtype = subject.dtype
    count = sum(tensor.numel() for tensor in parameters.values())
    require_memory(
        8 * points * channels * count,
        f"tangent_kernel: the Jacobian of {points:,} points with {channels} channels "
        f"in {count:,} parameters",
        "Take fewer points or parameters, or implementation='structured' (fields) or "
        "'matrix-free' (any callable).",
        points=points,
    )
    found = {
        name: torch.empty(
            points, channels, tensor.numel(), dtype=dtype, device=tensor.device
        )
        for name, tensor in parameters.items()
    }
    step = max(1, _NUMBERS_AT_ONCE // max(count * channels, 1))
    for start in range(0, points, step):
        chosen = slice(start, start + step)
        for name, rows in _rows(subject, parameters, take_rows(inputs, chosen)):
            found[name][chosen] = rows
    return found


def _rows(
    subject: Subject, parameters: Mapping[str, Tensor], inputs: Inputs
) -> Iterator[tuple[str, Tensor]]:
    held = {n: p for n, p in subject.parameters.items() if n not in parameters}

    def outputs(chosen: Mapping[str, Tensor], *point: Tensor) -> Tensor:
        rows = tuple(tensor[None] for tensor in point)
        given = rows if isinstance(inputs, tuple) else rows[0]
        return subject.function({**held, **chosen}, given)[0]

    columns = inputs if isinstance(inputs, tuple) else (inputs,)
    axes = (None, *(0 for _ in columns))
    try:
        with warnings.catch_warnings():
            # Operations without a rule of their own are slow in vmap, and right.
            warnings.filterwarnings("ignore", "There is a performance drop")
            gradients = vmap(jacrev(outputs), in_dims=axes)(dict(parameters), *columns)
    except RuntimeError as error:
        raise ImplementationError(
            "tangent_kernel(implementation='jacobian'): expected a function that "
            f"torch.func.vmap can take, got: {error} Use 'matrix-free', or operations "
            "that have rules for vmap."
        ) from error
    for name, gradient in gradients.items():
        # A function that closes over other parameters may bring a graph along.
        yield name, gradient.detach().reshape(*gradient.shape[:2], -1)


def jacobian_kernel(
    subject: Subject, inputs: Inputs, others: Inputs | None, outputs: Outputs
) -> DenseKernel:
    """Return the tangent kernel as a product of Jacobians.

    Args:
        subject: The function.
        inputs: Points of the rows.
        others: Points of the columns; None for the same.
        outputs: Which channels.

    Raises:
        ResourceError: If the Jacobians do not fit into memory.
    """
    channels = subject.num_channels(inputs)
    each = channels if outputs == "full" else 1
    rows = rows_of(inputs) * each
    columns = rows if others is None else rows_of(others) * each
    require_memory(
        8 * rows * columns,
        f"tangent_kernel(implementation='jacobian'): a matrix of {rows:,} by "
        f"{columns:,} numbers",
        "Take fewer points, or implementation='matrix-free' for products with it.",
    )
    first = jacobian(subject, subject.parameters, inputs)
    second = first if others is None else jacobian(subject, subject.parameters, others)
    matrix = torch.zeros(rows, columns, dtype=subject.dtype, device=subject.device)
    for name in first:
        left, right = (_rows_over(side[name], outputs) for side in (first, second))
        matrix.addmm_(left, right.T)
    return DenseKernel(
        matrix, num_outputs=each, outputs=outputs, is_symmetric=others is None
    )


def _rows_over(gradients: Float[Tensor, "n c p"], outputs: Outputs) -> Tensor:
    if outputs == "full":
        return gradients.flatten(0, 1)
    return gradients.flatten(1) if outputs == "trace" else gradients[:, outputs]


def jacobian_diagonal(
    subject: Subject, inputs: Inputs, outputs: Outputs
) -> Float[Tensor, " rows"]:
    """Return the squared length of every gradient, a few points at a time.

    Args:
        subject: The function.
        inputs: Points.
        outputs: Which channels.
    """
    numbers = subject.num_parameters * subject.num_channels(inputs)
    step = max(1, _NUMBERS_AT_ONCE // numbers)
    found = []
    for start in range(0, rows_of(inputs), step):
        rows = take_rows(inputs, slice(start, start + step))
        gradients = jacobian(subject, subject.parameters, rows).values()
        squares = [_rows_over(g, outputs).square().sum(1) for g in gradients]
        found.append(torch.stack(squares).sum(0))
    return torch.cat(found)
