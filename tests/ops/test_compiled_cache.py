"""Compiled code is renewed when a file changes that it holds code of."""

import importlib
import itertools
import pkgutil
from types import ModuleType

import pytest

import tangrid.ops
from tangrid.ops.loops import stamp_of

DOORS = tuple(
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(tangrid.ops.__path__, "tangrid.ops.")
    if found.name.endswith(".numba_cpu")
)


def name_of(module: ModuleType) -> str:
    return module.__name__.split(".")[-2]


def callees_of(door: ModuleType) -> set[str]:
    """Modules whose compiled functions are called from a module, one after another."""
    found, left = set(), [door]
    while left:
        module = left.pop()
        for value in vars(module).values():
            if not hasattr(value, "py_func"):
                continue
            name = value.__module__
            if name not in found | {door.__name__}:
                found.add(name)
                left.append(importlib.import_module(name))
    return found


@pytest.mark.parametrize("door", DOORS, ids=name_of)
def test_the_cache_knows_every_file_it_holds_code_of(door: ModuleType):
    """numba looks at one file alone; the stamp must stand for all others."""
    listed = getattr(door, "compiled_modules", tuple)()
    assert callees_of(door) <= {module.__name__ for module in listed}
    pairs = itertools.combinations(listed, 2)
    assert all(stamp_of(a) != stamp_of(b) for a, b in pairs)
