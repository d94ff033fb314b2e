"""Triton programs and the forms in which they must compile, by operator.

A new operator adds its own tuple of programs and one line to `PROGRAMS`.
"""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple


class Program(NamedTuple):
    """One program in one form.

    Attributes:
        module: Where it is defined.
        name: What it is called there.
        arguments: Types of what is given at run time, in order, as ``*fp32`` or
            ``i32``; constants may stand anywhere between them.
        constants: Values of the arguments that are constants, by name.
        warps: Groups of 32 threads per instance.
    """

    module: str
    name: str
    arguments: tuple[str, ...]
    constants: Mapping[str, Any]
    warps: int = 4


def _grid_lookup(name: str, arguments: tuple[str, ...], **constants: Any) -> Program:
    form = {
        "DIMS": 3,
        "CHANNELS": 2,
        "WIDTH": 2,
        "INTERPOLATION": 1,
        "HASHED": True,
        "TILED": False,
        "ALONG": False,
        "BLOCK": 128,
    }
    known = {
        "pull": form.keys() - {"ALONG"},
        "find": form.keys() - {"CHANNELS", "WIDTH"},
    }
    names = known.get(name, form.keys())
    chosen = {k: v for k, v in (form | constants).items() if k in names}
    return Program("tangrid.ops.grid_lookup.triton_gpu", name, arguments, chosen)


def _grid_lookups(**constants: Any) -> tuple[Program, ...]:
    """All programs of the grid lookup, with tables of every dtype."""
    layout, counts = ("*fp32", "*i64"), ("i32", "i32")
    of_each_dtype = [
        (
            _grid_lookup(
                "read", ("*fp32", t, "*fp32", *layout, t, *counts), **constants
            ),
            _grid_lookup(
                "push", ("*fp32", t, "*fp32", *layout, "*fp32", *counts), **constants
            ),
            _grid_lookup(
                "pull", ("*fp32", t, t, *layout, "*fp32", *counts, "i32"), **constants
            ),
        )
        for t in constants.pop("tables", ("*fp32",))
    ]
    find = _grid_lookup(
        "find", ("*fp32", "*fp32", *layout, "*i64", "*fp32", *counts), **constants
    )
    return (*itertools.chain.from_iterable(of_each_dtype), find)


GRID_LOOKUP = (
    *_grid_lookups(tables=("*fp32", "*fp16", "*bf16")),
    *_grid_lookups(ALONG=True),
    *_grid_lookups(INTERPOLATION=0, DIMS=1, CHANNELS=1, WIDTH=1),
    *_grid_lookups(INTERPOLATION=2, DIMS=2, CHANNELS=3, WIDTH=1, TILED=True),
    *_grid_lookups(INTERPOLATION=3, DIMS=4, CHANNELS=4, WIDTH=4, ALONG=True),
    *_grid_lookups(INTERPOLATION=2, CHANNELS=8, WIDTH=4, tables=("*fp32", "*fp16")),
)

PROGRAMS = {"grid_lookup": GRID_LOOKUP}
