from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import pytest

from tangrid.runs.annotations import describe, field_types, nearest, public_name


@dataclass(frozen=True)
class Named:
    kind: ClassVar[str] = "named"

    size: Annotated[int, "in pixels"] = 1
    derived: float = field(default=0.0, init=False)


@dataclass(frozen=True)
class WithKindField:
    kind: str = "a value"


def test_field_types_are_those_of_the_constructor():
    assert field_types(Named) == {"size": int}


def test_a_field_called_kind_is_no_public_name():
    assert public_name(Named) == "named"
    assert public_name(WithKindField) is None


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int | None, "an integer or null"),
        (int | str | None, "an integer, a string or null"),
        (type(None), "null"),
        (Literal["a", 2], "one of 'a', 2"),
        (tuple[float, ...], "a list, each a finite number"),
        (dict[str, bool], "an object, each entry true or false"),
        (Named, "an object (Named)"),
    ],
)
def test_annotations_in_words(annotation: object, words: str):
    assert describe(annotation) == words


def test_nearest_says_nothing_about_strangers():
    assert (
        nearest("hash-gird", ["hash-grid", "fourier"]) == " Did you mean 'hash-grid'?"
    )
    assert nearest("xyz", ["hash-grid", "fourier"]) == ""
