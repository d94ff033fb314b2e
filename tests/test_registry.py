from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tangrid.errors import ConfigError
from tangrid.registry import KINDS, Registry, unknown_name


@pytest.fixture
def registry() -> Iterator[Registry]:
    before = dict(KINDS)
    yield Registry("gadget")
    KINDS.clear()
    KINDS.update(before)


@dataclass(frozen=True, kw_only=True)
class Lamp:
    watts: int = 60


def test_a_class_is_found_by_its_name(registry: Registry):
    assert registry.register("desk-lamp")(Lamp) is Lamp
    assert registry["desk-lamp"] is KINDS["desk-lamp"] is Lamp
    assert vars(Lamp)["kind"] == "desk-lamp"
    assert "desk-lamp" in registry
    assert "lamp" not in registry


def test_names_come_in_order(registry: Registry):
    for name in ("b", "c", "a"):
        registry.register(f"lamp-{name}")(Lamp)
    assert list(registry) == ["lamp-a", "lamp-b", "lamp-c"]


def test_an_unknown_name_is_refused_with_the_nearest(registry: Registry):
    registry.register("desk-lamp")(Lamp)
    with pytest.raises(ConfigError) as caught:
        registry["desk-lmap"]
    message = "gadget 'desk-lmap': expected one of desk-lamp. Did you mean 'desk-lamp'?"
    assert str(caught.value) == message
    assert str(unknown_name("model", "xyz", ["b", "a"])) == (
        "model 'xyz': expected one of a, b."
    )


def test_only_frozen_dataclasses_are_filed(registry: Registry):
    @dataclass
    class Loose:
        watts: int = 60

    class Heir(Lamp):
        """Has no fields of its own: its ``watts`` is not one."""

        watts = 100

    for cls in (Loose, int, Heir):
        with pytest.raises(ConfigError, match="expected a frozen dataclass, got"):
            registry.register("loose")(cls)
    assert "loose" not in registry
    assert "loose" not in KINDS


def test_every_field_needs_a_default(registry: Registry):
    @dataclass(frozen=True, kw_only=True)
    class Bare:
        watts: int
        volts: int
        amperes: int = 1

    with pytest.raises(ConfigError, match="got none for watts, volts"):
        registry.register("bare")(Bare)


def test_a_name_belongs_to_one_class_over_all_registries(registry: Registry):
    @dataclass(frozen=True)
    class Other:
        watts: int = 60

    registry.register("desk-lamp")(Lamp)
    with pytest.raises(ConfigError, match="got one that Lamp holds already"):
        Registry("tool").register("desk-lamp")(Other)
    # A module that is loaded again files its class again.
    registry.register("desk-lamp")(Lamp)
