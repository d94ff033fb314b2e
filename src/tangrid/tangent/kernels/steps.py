"""Refuse gradients through encodings that are constant but for jumps.

Nearest interpolation has gradients in its features and none in its coordinates: they
are 0 wherever they exist. Where coordinates depend on the chosen parameters, as those
of a deformed or moved field do, a kernel would silently lack that part.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tangrid.encodings import Encoding
from tangrid.errors import ConfigError
from tangrid.tangent.kernels.subject import Inputs, Subject, take_rows


@contextmanager
def refusing_steps() -> Iterator[None]:
    """Refuse calls of step encodings at coordinates that carry gradients.

    Raises:
        ConfigError: Inside the block, at such a call.
    """
    handle = register_module_forward_pre_hook(_check)
    try:
        yield
    finally:
        handle.remove()


def check_slopes(subject: Subject, inputs: Inputs) -> None:
    """Refuse a function whose gradients pass the coordinates of a step encoding.

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
    with torch.enable_grad(), refusing_steps():
        subject.function(parameters, take_rows(inputs, slice(0, 1)))


def _check(module: nn.Module, inputs: tuple[object, ...]) -> None:
    is_step = isinstance(module, Encoding) and module.is_step
    if is_step and any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        raise ConfigError(
            "tangent_kernel(parameters=...): expected coordinates that do not depend "
            f"on the chosen parameters, got some that do at a {type(module).__name__} "
            "whose features are constant but for jumps: their gradients in coordinates "
            "are 0 or do not exist. Use interpolation='linear', or leave out the "
            "parameters that move points."
        )
