import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.registry import KINDS, Registry
from tangrid.runs.annotations import ADDED_LATER
from tangrid.runs.codec import from_plain, to_plain


class Encoding:
    """A parent that leaves the class to what is written."""


class Contract(Protocol):
    def build(self) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Grid(Encoding):
    num_levels: int = 16
    growth: float = 1.5
    interpolation: Literal["linear", "smooth"] = "linear"

    def __post_init__(self) -> None:
        if self.num_levels < 1:
            raise ConfigError(f"Grid.num_levels: expected >= 1, got {self.num_levels}.")


@dataclass(frozen=True, kw_only=True)
class Waves(Encoding):
    bandwidth: float | None = None
    is_normalised: bool = True


@dataclass(frozen=True, kw_only=True)
class Schedule:
    rates: dict[str, float] = field(default_factory=dict)
    milestones: tuple[int, ...] = ()
    span: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Fit:
    kind: ClassVar[str] = "fit-test"

    schema: int = 1
    signal: str = ""
    encoding: Grid | Waves = field(default_factory=Grid)
    second: Encoding | None = None
    contract: Contract | None = None
    anything: Any = field(default_factory=Grid)
    schedule: Schedule = field(default_factory=Schedule)
    steps: int | float = 100
    budget: int | Literal["auto"] | None = None
    stages: tuple[Schedule, ...] = ()
    source: Path | None = None


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    encodings = Registry("encoding")
    encodings.register("test-grid")(Grid)
    encodings.register("test-waves")(Waves)
    yield
    for cls in (Grid, Waves):
        del KINDS[cls.kind], cls.kind


numbers = st.floats(allow_nan=False, allow_infinity=False)
grids = st.builds(
    Grid,
    num_levels=st.integers(1, 10**30),
    growth=numbers,
    interpolation=st.sampled_from(["linear", "smooth"]),
)
waves = st.builds(Waves, bandwidth=st.none() | numbers, is_normalised=st.booleans())
schedules = st.builds(
    Schedule,
    rates=st.dictionaries(st.text(), numbers, max_size=3),
    milestones=st.lists(st.integers(), max_size=3).map(tuple),
    span=st.tuples(numbers, numbers),
)
fits = st.builds(
    Fit,
    schema=st.integers(),
    signal=st.text(),
    encoding=grids | waves,
    second=st.none() | grids | waves,
    contract=st.none() | grids,
    anything=grids | waves,
    schedule=schedules,
    steps=st.integers() | numbers,
    budget=st.none() | st.integers() | st.just("auto"),
    stages=st.lists(schedules, max_size=2).map(tuple),
    source=st.none() | st.just(Path("photos/bird.png")),
)


@given(fits)
def test_json_round_trip_is_exact(config: Fit):
    plain = to_plain(config)
    again = from_plain(json.loads(json.dumps(plain, allow_nan=False)), Fit)
    assert again == config
    assert to_plain(again) == plain
    assert type(again.steps) is type(config.steps)


@given(waves)
def test_signs_of_zero_survive(config: Waves):
    again = from_plain(to_plain(config), Waves)
    if config.bandwidth is not None:
        assert math.copysign(1, again.bandwidth) == math.copysign(1, config.bandwidth)


def test_registered_classes_carry_their_name():
    plain = to_plain(Fit())
    assert plain["kind"] == "fit-test"
    assert plain["encoding"] == {
        "kind": "test-grid",
        "num_levels": 16,
        "growth": 1.5,
        "interpolation": "linear",
    }
    assert "kind" not in plain["schedule"]
    assert from_plain(plain["encoding"]) == Grid()


def changed(path: str, value: object) -> dict[str, Any]:
    plain = to_plain(Fit(second=Waves(), stages=(Schedule(),)))
    *heads, last = path.split(".")
    node: Any = plain
    for head in heads:
        node = node[int(head) if head.isdigit() else head]
    node[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "encoding.num_level",
            3,
            (
                "encoding: expected fields of test-grid (num_levels, growth, "
                "interpolation), got 'num_level'. Did you mean 'num_levels'?"
            ),
        ),
        (
            "encoding.num_levels",
            "16",
            "encoding.num_levels: expected an integer, got '16'.",
        ),
        (
            "encoding.num_levels",
            True,
            "encoding.num_levels: expected an integer, got true.",
        ),
        (
            "encoding.growth",
            math.nan,
            "encoding.growth: expected a finite number, got nan.",
        ),
        (
            "encoding.growth",
            10**400,
            "encoding.growth: expected a finite number, got 1000",
        ),
        (
            "encoding.interpolation",
            "linaer",
            (
                "encoding.interpolation: expected one of 'linear', 'smooth', "
                "got 'linaer'. Did you mean 'linear'?"
            ),
        ),
        (
            "encoding.kind",
            "test-gird",
            (
                "encoding.kind: expected one of test-grid, test-waves, got "
                "'test-gird'. Did you mean 'test-grid'?"
            ),
        ),
        ("encoding.kind", 7, "encoding.kind: expected one of test-grid, test-waves"),
        ("encoding", None, "encoding: expected an object (Grid) or an object (Waves)"),
        (
            "second.bandwidth",
            "wide",
            "second.bandwidth: expected a finite number or null, got 'wide'.",
        ),
        (
            "schedule.rates",
            {"grid": "fast"},
            "schedule.rates.grid: expected a finite number, got 'fast'.",
        ),
        (
            "schedule.milestones",
            [1, 2.5],
            "schedule.milestones[1]: expected an integer, got 2.5.",
        ),
        ("schedule.span", [1.0], "schedule.span: expected a list of 2, got 1: [1.0]."),
        (
            "stages.0.span",
            "ab",
            "stages[0].span: expected a list of 2, got 'ab'.",
        ),
        ("schedule.kind", "x", "schedule: expected fields of Schedule (rates"),
        ("budget", 1.5, "budget: expected an integer, one of 'auto' or null, got 1.5."),
        ("kind", "fit-best", "kind: expected one of fit-test, got 'fit-best'."),
        ("source", 3, "source: expected a path or null, got 3."),
    ],
)
def test_messages_name_the_place(path: str, value: object, message: str):
    with pytest.raises(ConfigError) as caught:
        from_plain(changed(path, value), Fit)
    assert str(caught.value).startswith(message)


def test_missing_fields_are_named():
    plain = to_plain(Fit())
    del plain["encoding"]["growth"], plain["encoding"]["num_levels"]
    with pytest.raises(ConfigError) as caught:
        from_plain(plain, Fit)
    assert str(caught.value) == (
        "encoding: expected all fields of test-grid, got none for num_levels, growth."
    )


@dataclass(frozen=True, kw_only=True)
class Grown:
    size: int = 3
    colour: str | None = field(default=None, metadata=ADDED_LATER)


def test_fields_added_later_may_lack():
    assert from_plain({"size": 4}, Grown) == Grown(size=4)
    assert from_plain({"size": 4, "colour": "red"}, Grown).colour == "red"
    with pytest.raises(ConfigError, match="all fields of Grown, got none for size"):
        from_plain({}, Grown)


def test_missing_kind_is_named():
    plain = to_plain(Fit())
    del plain["encoding"]["kind"]
    with pytest.raises(ConfigError, match="encoding: expected an object"):
        from_plain(plain, Fit)
    with pytest.raises(ConfigError, match=r"kind: expected one of .*, got none"):
        from_plain({"num_levels": 3})


@pytest.mark.parametrize("data", [None, 3, "text", [], [{}]])
def test_a_config_is_an_object(data: object):
    with pytest.raises(ConfigError, match="config: expected an object"):
        from_plain(data, Fit)


def test_the_class_has_the_last_word():
    plain = to_plain(Grid()) | {"num_levels": 0}
    with pytest.raises(ConfigError, match=r"Grid\.num_levels: expected >= 1, got 0"):
        from_plain(plain, Grid)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_that_is_not_finite_is_written(value: float):
    config = Fit(schedule=Schedule(rates={"grid": value}))
    with pytest.raises(ConfigError, match=r"schedule\.rates\.grid: expected a finite"):
        to_plain(config)


@pytest.mark.parametrize("value", [{1}, object(), [1], b"x", 1j])
def test_only_plain_values_are_written(value: object):
    with pytest.raises(ConfigError, match="anything: expected a plain value"):
        to_plain(Fit(anything=value))


def test_only_frozen_dataclasses_are_written():
    loose = make_dataclass("Loose", [("x", int, 1)])
    for value in (loose(), 3, Grid):
        with pytest.raises(ConfigError, match="expected a frozen dataclass"):
            to_plain(value)


def test_a_borrowed_name_is_refused():
    @dataclass(frozen=True, kw_only=True)
    class Finer(Grid):
        pass

    with pytest.raises(ConfigError, match="Finer, which carries 'test-grid' of Grid"):
        to_plain(Finer())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", *to_plain(Fit())]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_foreign_data_is_refused_in_words(data: object):
    with pytest.raises(ConfigError, match=r".+: expected .+, got .+\."):
        from_plain(data, Fit)
