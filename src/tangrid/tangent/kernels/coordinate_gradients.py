"""Refuse gradients in the coordinates of encodings that are piecewise constant.

Nearest interpolation has gradients in its features and none in its coordinates: they
are 0 wherever they exist. Where coordinates depend on the chosen parameters, as those
of a deformed or moved field do, a kernel would silently lack that part.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor

from tangrid.encodings.contract import Encoding, watching_coords
from tangrid.errors import ConfigError
from tangrid.tangent.kernels.subject import Inputs, Subject, take_rows


@contextmanager
def requiring_coordinate_gradients(
    chosen: Callable[[], Iterable[Tensor]],
) -> Iterator[None]:
    """Refuse calls of piecewise constant encodings where chosen tensors move points.

    Calls past `Encoding.__call__` are not seen.

    Args:
        chosen: Gives the tensors, as they are at the time of a call.

    Raises:
        ConfigError: Inside the block, at such a call.
    """

    def watch(encoding: Encoding, coords: Tensor) -> None:
        if not encoding.is_piecewise_constant or not _reaches(chosen(), coords):
            return
        raise ConfigError(
            "parameters: expected a choice that does not move the points at which a "
            f"{type(encoding).__name__} is read that is piecewise constant, got one "
            "that does: gradients in those points are 0 or do not exist. Use "
            "interpolation='linear', or leave out the parameters that move points."
        )

    with watching_coords(watch):
        yield


def check_coordinate_gradients(subject: Subject, inputs: Inputs) -> None:
    """Refuse a function whose parameters move points of piecewise constant features.

    Args:
        subject: The function.
        inputs: Points, of which the first is tried.

    Raises:
        ConfigError: If they do.
    """
    parameters = {
        name: parameter.detach().requires_grad_()
        for name, parameter in subject.parameters.items()
    }
    with (
        torch.enable_grad(),
        requiring_coordinate_gradients(parameters.values),
        warnings.catch_warnings(),
    ):
        # What the function has to say it says when it is called in earnest.
        warnings.simplefilter("ignore")
        subject.function(parameters, take_rows(inputs, slice(0, 1)))


def _reaches(tensors: Iterable[Tensor], coords: Tensor) -> bool:
    """Return whether coordinates were made of some of the tensors, which are leaves."""
    # Under vmap and grad a tensor is wrapped, and says nothing of the graph outside.
    # The graph is walked, since what is computed in there would not become part of it.
    while is_functorch_wrapped_tensor(coords):
        coords = get_unwrapped(coords)
    wanted = {id(tensor) for tensor in tensors}
    seen = set()
    waiting = [coords.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if id(getattr(node, "variable", None)) in wanted:
            return True
        waiting.extend(parent for parent, _ in node.next_functions)
    return False
