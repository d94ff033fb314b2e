import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.reports.kernel_words import (
    compact_json,
    listed,
    over_seeds,
    percent,
    short_number,
)

DASH = "\N{EN DASH}"
SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def value_of(text: str) -> float:
    """The number that a reader sees."""
    text = text.replace("\N{MINUS SIGN}", "-").replace(",", "")
    mantissa, _, power = text.partition("\N{MULTIPLICATION SIGN}10")
    return float(mantissa) * 10.0 ** float(power.translate(SUPERSCRIPTS) or 0)


@given(
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False).filter(
        lambda value: 1e-300 < abs(value) < 1e300
    )
)
def test_a_short_number_is_the_number(value: float):
    assert value_of(short_number(value)) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (600, "600"),
        (9.996, "10"),
        (0.09996, "0.1"),
        (123_456.0, "123,456"),
        (999_999.0, "10⁶"),
        (-1.5, "\N{MINUS SIGN}1.5"),
        (1e-16, "10⁻¹⁶"),
        (None, DASH),
        (float("nan"), DASH),
        (True, DASH),
    ],
)
def test_numbers_look_like_this(value: object, text: str):
    shown = short_number(value).removeprefix("1\N{MULTIPLICATION SIGN}")
    assert shown == text


def test_several_seeds_have_a_spread_where_they_differ():
    assert "".join(over_seeds([1.0, 3.0])) == "2<small> ± 1.4</small>"
    assert over_seeds([2.0, 2.0 + 1e-13]) == ["2"]
    assert over_seeds([2.0]) == ["2"]
    assert over_seeds([]) == [DASH]


@given(st.floats(0, 1))
def test_a_share_above_nothing_never_reads_as_nothing(share: float):
    assert (percent(share) == "0 %") == (share == 0)


def test_names_are_listed():
    assert [listed(names) for names in ([], ["a"], ["a", "b"])] == ["", "a", "a and b"]


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(plain)
def test_compact_json_is_the_same_value_to_six_digits(value: object):
    def rounded(value: object) -> object:
        if isinstance(value, dict):
            return {name: rounded(item) for name, item in value.items()}
        if isinstance(value, list):
            return [rounded(item) for item in value]
        return float(f"{value:.6g}") if isinstance(value, float) else value

    assert json.loads(compact_json(value)) == rounded(value)
