"""What `torch.compile` must not look into: it runs as it is, between traced parts."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import torch

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def untraced(function: Callable[_Args, _Result]) -> Callable[_Args, _Result]:
    """Return a function that `torch.compile` calls as it is.

    Compiled loops and what chooses between implementations cannot be traced. Like
    `torch.compiler.disable`, but PyTorch's compiler, which takes a second to import, is
    not imported before somebody else does.

    Args:
        function: The function, or a method.

    Example:
        >>> untraced(max)(1, 2)
        2
    """
    disabled: list[Callable[_Args, _Result]] = []

    @functools.wraps(function)
    def door(*args: _Args.args, **kwargs: _Args.kwargs) -> _Result:
        if "torch._dynamo" not in sys.modules:
            return function(*args, **kwargs)
        if not disabled:
            disabled.append(cast("Callable", torch.compiler.disable(function)))
        return disabled[0](*args, **kwargs)

    return door
