"""The checker of annotations, which makes the checks of an inner function once."""

from collections.abc import Callable
from typing import Any

from beartype import beartype

_made: dict[tuple[object, ...], Callable[..., Any]] = {}


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks what it is given.

    An inner function is another one whenever its outer function runs, and beartype
    takes half a millisecond to write checks for it, thousands of times in a test. What
    is given here is a stand-in that has the signature alone, so that checks that were
    made once hold for all.
    """
    if "<locals>" not in function.__qualname__:
        return beartype(function)
    annotations = tuple(f"{n}: {a}" for n, a in function.__annotations__.items())
    key = (function.__module__, function.__qualname__, *annotations)
    if key not in _made:
        _made[key] = beartype(function)
    return _made[key]
