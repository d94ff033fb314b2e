"""What compiled loops have in common: how they are compiled, and addresses.

numba counts references to every array that is handed from function to function, with an
atomic operation each time. Where a function does as little as fill a few hundred
numbers, counting costs more than the filling; addresses are free.
"""
# Kernels are typed by numba.
# ruff: noqa: ANN001, ANN201, ANN202

import hashlib
import typing
from pathlib import Path
from types import ModuleType

from numba.core import types
from numba.extending import intrinsic

OUTER = {
    "cache": True,
    "nogil": True,
    # With Python's model every division asks first whether it may.
    "error_model": "numpy",
    "fastmath": {"contract", "nsz"},
}
"""Options of functions that Python calls; they release the interpreter lock."""
PARALLEL = {**OUTER, "parallel": True}
"""The same for functions that use numba's threads."""
INNER = {
    **OUTER,
    "cache": False,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}
"""Options of functions that compiled code alone calls, whose own cache holds them."""
INLINE = {**INNER, "forceinline": True}
"""The same for what is called once per point."""


@typing.no_type_check
@intrinsic
def pointer(typingctx, array, start):
    """Return the address of a contiguous array's number at a flat index.

    It does not keep the array alive: take it of arguments only.
    """

    def build(context, builder, signature, arguments):
        data = context.make_array(array)(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return types.CPointer(array.dtype)(array, types.intp), build


@typing.no_type_check
@intrinsic
def advance(typingctx, numbers, count):
    """Return the address of the number that stands `count` numbers further on."""

    def build(context, builder, signature, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return numbers(numbers, types.intp), build


def stamp_of(*modules: ModuleType) -> int:
    """Return a number that changes with the text of modules.

    numba renews a cached function when its own file changes, but not when a file with
    functions that it calls does. What a function closes over is part of its name in the
    cache: a stamp, of all those files.

    Args:
        modules: Modules with a file.
    """
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return int.from_bytes(digest.digest()[:6], "big")
