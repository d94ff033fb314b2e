from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.errors import ConfigError
from tangrid.registry import KINDS, Registry
from tangrid.runs.overrides import with_overrides


@dataclass(frozen=True, kw_only=True)
class Grid:
    num_levels: int = 16
    growth: float = 1.5


@dataclass(frozen=True, kw_only=True)
class Waves:
    bandwidth: float | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    encoding: Grid | Waves = field(default_factory=Grid)
    second: Grid | None = None
    rates: dict[str, float] = field(default_factory=lambda: {"grid": 0.01})
    name: str = ""
    title: str | None = None
    is_fast: bool = False
    mode: Literal["auto", "numba", 2] = "auto"
    size: tuple[int, int] = (1, 1)
    seeds: tuple[int, ...] = (0,)
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise ConfigError(f"Settings.low: expected < {self.high}, got {self.low}.")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    encodings = Registry("encoding")
    encodings.register("test-grid")(Grid)
    encodings.register("test-waves")(Waves)
    yield
    for cls in (Grid, Waves):
        del KINDS[cls.kind], cls.kind


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("encoding.num-levels", "12", {"encoding": Grid(num_levels=12)}),
        ("encoding.num_levels", "140_000", {"encoding": Grid(num_levels=140_000)}),
        ("--encoding.growth", "2e-3", {"encoding": Grid(growth=0.002)}),
        ("encoding", "test-waves", {"encoding": Waves()}),
        (
            "encoding",
            '{"kind": "test-waves", "bandwidth": 2}',
            {"encoding": Waves(bandwidth=2.0)},
        ),
        ("second", "none", {"second": None}),
        ("second", "test-grid", {"second": Grid()}),
        ("rates.grid", "0.5", {"rates": {"grid": 0.5}}),
        ("rates.dec-oder", "1", {"rates": {"grid": 0.01, "dec_oder": 1.0}}),
        ("rates", '{"a": 1}', {"rates": {"a": 1.0}}),
        ("name", "none", {"name": "none"}),
        ("name", "", {"name": ""}),
        ("title", "none", {"title": None}),
        ("title", "12", {"title": "12"}),
        ("is-fast", "Yes", {"is_fast": True}),
        ("is-fast", "0", {"is_fast": False}),
        ("mode", "numba", {"mode": "numba"}),
        ("mode", "2", {"mode": 2}),
        ("size", "3, 4", {"size": (3, 4)}),
        ("size", "[3, 4]", {"size": (3, 4)}),
        ("seeds", "1,2,3", {"seeds": (1, 2, 3)}),
        ("seeds", "", {"seeds": ()}),
    ],
)
def test_text_is_read_by_the_annotation(path: str, text: str, expected: dict):
    base = Settings()
    assert with_overrides(base, {path: text}) == replace(base, **expected)
    assert base == Settings()


def test_below_what_was_set_too():
    settings = {"second.num-levels": "3", "second": "test-grid"}
    assert with_overrides(Settings(), settings).second == Grid(num_levels=3)


def test_settings_are_checked_together():
    changed = with_overrides(Settings(), {"low": "5", "high": "9"})
    assert (changed.low, changed.high) == (5, 9)
    with pytest.raises(ConfigError, match=r"Settings\.low: expected < 1, got 5"):
        with_overrides(Settings(), {"low": "5"})


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("encodin.growth", "1", "config: expected fields of Settings (encoding, "),
        (
            "encoding.num-level",
            "1",
            (
                "encoding: expected fields of test-grid (num_levels, growth), "
                "got 'num_level'. Did you mean 'num_levels'?"
            ),
        ),
        (
            "encoding.num-levels",
            "many",
            "encoding.num_levels: expected an integer, got 'many'.",
        ),
        ("encoding.growth", "nan", "encoding.growth: expected a finite number, got"),
        ("encoding.growth", "1e999", "encoding.growth: expected a finite number, got"),
        (
            "encoding",
            "test-wave",
            (
                "encoding: expected an object (Grid) or an object (Waves), got "
                "'test-wave'. Did you mean 'test-waves'?"
            ),
        ),
        (
            "encoding",
            '{"kind": "test-waves", "bandwidth": "x"}',
            "encoding.bandwidth: expected a finite number or null, got 'x'.",
        ),
        ("second.growth", "1", "second: expected a config with fields of its own, got"),
        ("low.deep", "1", "low: expected a config with fields of its own, got 0."),
        ("is-fast", "maybe", "is_fast: expected true or false, got 'maybe'."),
        ("mode", "fast", "mode: expected one of 'auto', 'numba', 2, got 'fast'."),
        ("size", "1,2,3", "size: expected a list of 2, got '1,2,3'."),
        ("seeds", "1,x", "seeds"),
        ("encoding..growth", "1", "setting 'encoding..growth': expected names"),
        ("", "1", "setting '': expected names"),
        ("rates", "[" * 20_000, "rates: expected JSON, got"),
    ],
)
def test_messages_name_the_place(path: str, text: str, message: str):
    with pytest.raises(ConfigError) as caught:
        with_overrides(Settings(), {path: text})
    assert str(caught.value).startswith(message)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_written_numbers_are_read_exactly(growth: float, levels: int):
    settings = {"growth": repr(growth), "num-levels": str(levels)}
    assert with_overrides(Grid(), settings) == Grid(growth=growth, num_levels=levels)


@given(st.text(), st.text())
def test_any_text_is_read_or_refused_in_words(path: str, text: str):
    message = ": expected "
    try:
        with_overrides(Settings(), {path: text})
    except ConfigError as error:
        message = str(error)
    assert ": expected " in message
