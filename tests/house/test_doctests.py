"""Examples in docstrings run and say the truth."""

import doctest
import importlib
from pathlib import Path

from tests.house.places import PACKAGE


def test_examples_hold(module: Path):
    if ">>> " not in module.read_text(encoding="utf-8"):
        return
    parts = module.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts).removesuffix(".__init__")
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
