"""The checker of annotations, which makes the checks of an inner function once."""

import inspect
from collections.abc import Callable
from typing import Any

from beartype import beartype

_Made = tuple[Callable[..., Any], tuple[object, ...]]
_made: dict[tuple[object, ...], _Made] = {}


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that checks what it is given.

    An inner function is another one whenever its outer function runs, and beartype
    takes half a millisecond to write checks for it, thousands of times in a test. What
    is given here is a stand-in that has the signature alone, so that checks that were
    made once hold for all.
    """
    if "<locals>" not in function.__qualname__:
        return beartype(function)
    # Annotations for themselves, beside the kinds of parameters: two may look alike.
    annotations = tuple(function.__annotations__.values())
    signature = str(inspect.signature(function))
    key = (function.__module__, function.__qualname__, signature, *map(id, annotations))
    if key not in _made:
        # What they are is kept, so that no other gets the same number.
        _made[key] = beartype(function), annotations
    return _made[key][0]
