"""What the words of a sweep mean."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.experiments.sweep_values import MOST_CANDIDATES, parse_sweep

POSITIVE = st.floats(1e-6, 1e6).map(lambda value: float(f"{value:.6g}"))


def values(text: str, spacing="factors", is_whole=False) -> tuple[str, ...]:
    return parse_sweep(f"x={text}").values(spacing, is_whole=is_whole)


@pytest.mark.parametrize(
    ("text", "spacing", "is_whole", "wanted"),
    [
        ("1:64", "factors", False, "1 2 4 8 16 32 64"),
        ("1:16:3", "factors", False, "1 4 16"),
        ("0.5:2", "factors", False, "0.5 1 2"),
        ("1.2:1.6", "factors", False, "1.2 1.386 1.6"),
        ("8:16:3", "factors", True, "8 11 16"),
        ("4:10", "steps", True, "4 5 6 7 8 9 10"),
        ("0:96", "steps", True, "0 16 32 48 64 80 96"),
        ("2:3:9", "steps", True, "2 3"),
        ("3:4.5:4", "steps", False, "3 3.5 4 4.5"),
        ("8, 4,none", "steps", True, "8 4 none"),
        ("lin_add", "words", False, "lin_add"),
    ],
)
def test_values(text: str, spacing: str, is_whole: bool, wanted: str):
    assert values(text, spacing, is_whole) == tuple(wanted.split())


@given(low=POSITIVE, high=POSITIVE, count=st.none() | st.integers(2, MOST_CANDIDATES))
def test_factors_rise_evenly_from_end_to_end(
    low: float, high: float, count: int | None
):
    if not low * 1.01 < high:
        return
    text = f"{low!r}:{high!r}" + ("" if count is None else f":{count}")
    found = [float(value) for value in values(text)]
    assert (found[0], found[-1]) == (low, high)
    assert found == sorted(set(found))
    if count is not None:
        assert len(found) <= count
    # Four digits of each value stand, so a factor is off by a thousandth at most.
    factors = [after / before for before, after in itertools.pairwise(found)]
    if len(found) == (count or len(found)):
        even = (high / low) ** (1 / len(factors))
        assert all(abs(factor / even - 1) < 2e-3 for factor in factors)


@given(
    low=st.integers(1, 10**6),
    more=st.integers(1, 10**6),
    count=st.none() | st.integers(2, MOST_CANDIDATES),
    spacing=st.sampled_from(["factors", "steps"]),
)
def test_whole_settings_get_whole_numbers(
    low: int, more: int, count: int | None, spacing: str
):
    text = f"{low}:{low + more}" + ("" if count is None else f":{count}")
    found = [int(value) for value in values(text, spacing, is_whole=True)]
    assert (found[0], found[-1]) == (low, low + more)
    assert found == sorted(set(found))
    assert 2 <= len(found) <= (count or 9)


@given(st.text(max_size=12))
def test_whatever_is_typed_is_values_or_is_told_so(text: str):
    for spacing in ("factors", "steps", "words"):
        try:
            found = values(text, spacing, is_whole=spacing == "steps")
        except ConfigError:
            found = ("told so",)
        assert found
        assert len(set(found)) == len(found) <= max(MOST_CANDIDATES, len(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sigma", r"expected NAME=LOW:HIGH or NAME=a,b,c, got 'sigma'"),
        ("=1:2", r"expected NAME=LOW:HIGH"),
        ("sigma=", r"expected NAME=LOW:HIGH"),
    ],
)
def test_no_sweep(text: str, words: str):
    with pytest.raises(ConfigError, match=words):
        parse_sweep(text)


def test_dashes_stand_for_underscores():
    assert parse_sweep(" --Gate_Bandwidth = 1:2 ").name == "gate-bandwidth"


@pytest.mark.parametrize(
    ("text", "spacing", "is_whole", "words"),
    [
        ("1,,2", "steps", False, "values with commas, each once"),
        ("1,1", "steps", False, "values with commas, each once"),
        ("4,4.0", "factors", False, "values with commas, each once"),
        ("2:9:x", "steps", True, "a count from 2 to 64"),
        ("a:b", "words", False, "names with commas"),
        ("1.5:4", "steps", True, "whole numbers at both ends"),
        ("4:4", "steps", True, "a low end below the high one"),
        ("0:4", "factors", False, "a low end above 0 and below the high one"),
        ("1:2:3:4", "factors", False, "LOW:HIGH or LOW:HIGH:COUNT in numbers"),
        ("1:inf", "factors", False, "LOW:HIGH or LOW:HIGH:COUNT in numbers"),
        ("1:2:1", "factors", False, "a count from 2 to 64"),
        ("1:2:65", "factors", False, "a count from 2 to 64"),
    ],
)
def test_no_values(text: str, spacing: str, is_whole: bool, words: str):
    with pytest.raises(ConfigError, match=f"--sweep x: expected {words}, got"):
        values(text, spacing, is_whole)


def test_a_count_that_is_none_is_shown_with_the_range_asked_for():
    with pytest.raises(ConfigError, match=r"got '2:9:x'. .* --sweep x=2:9:7\."):
        values("2:9:x")
