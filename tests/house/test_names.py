"""Public names of components are kebab-case and each is given once."""

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.house.places import PACKAGE

KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def registered_names() -> list[str]:
    """Every literal NAME of a decorator `@SOMETHING.register(NAME)`."""
    return [
        name
        for module in sorted(PACKAGE.rglob("*.py"))
        for name in names_in(module.read_text(encoding="utf-8"))
    ]


def names_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        for decorator in getattr(node, "decorator_list", ()):
            match decorator:
                case ast.Call(
                    func=ast.Attribute(attr="register"),
                    args=[ast.Constant(value=str(name)), *_],
                ):
                    yield name


def test_names_are_found_in_decorators():
    source = '@ENCODINGS.register("Hash_Grid")\nclass C: ...\n@other\nclass D: ...'
    assert list(names_in(source)) == ["Hash_Grid"]


def test_names_are_kebab_case():
    wrong = [name for name in registered_names() if not KEBAB.fullmatch(name)]
    assert not wrong


def test_names_are_given_once():
    twice = [name for name, count in Counter(registered_names()).items() if count > 1]
    assert not twice
