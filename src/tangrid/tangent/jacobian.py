"""Gradients of every point written out: the plainest form, and the oracle of the rest.

It holds n C times P numbers, so it serves small fields, few points, and the parameters
that have no known structure.
"""

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import jacrev, vmap

from tangrid.devices import require_memory
from tangrid.tangent.kernel import DenseKernel, Outputs
from tangrid.tangent.subject import Inputs, Subject, rows_of, take_rows

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
    """
    points = rows_of(inputs)
    probe = subject(take_rows(inputs, slice(0, 1)))
    channels, dtype = probe.shape[1], probe.dtype
    count = sum(tensor.numel() for tensor in parameters.values())
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
    gradients = vmap(jacrev(outputs), in_dims=axes)(dict(parameters), *columns)
    for name, gradient in gradients.items():
        yield name, gradient.flatten(2)


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
    points = rows_of(inputs) + (0 if others is None else rows_of(others))
    channels = subject(take_rows(inputs, slice(0, 1))).shape[1]
    numbers = points * channels * subject.num_parameters
    require_memory(
        8 * numbers,
        f"tangent_kernel(implementation='jacobian'): the Jacobian of {points} points "
        f"with {channels} channels in {subject.num_parameters:,} parameters",
        "Take fewer points or parameters, or implementation='structured' (fields) or "
        "'matrix-free' (any callable).",
    )
    first = jacobian(subject, subject.parameters, inputs)
    second = first if others is None else jacobian(subject, subject.parameters, others)
    matrix = sum(_product(first[name], second[name], outputs) for name in first)
    assert isinstance(matrix, Tensor)
    return DenseKernel(
        matrix,
        num_outputs=channels if outputs == "full" else 1,
        outputs=outputs,
        is_symmetric=others is None,
    )


def _product(
    first: Float[Tensor, "n c p"], second: Float[Tensor, "m c p"], outputs: Outputs
) -> Tensor:
    if outputs == "full":
        return first.flatten(0, 1) @ second.flatten(0, 1).T
    if outputs == "trace":
        return first.flatten(1) @ second.flatten(1).T
    return first[:, outputs] @ second[:, outputs].T
