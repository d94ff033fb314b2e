import pytest

from tangrid.errors import ConfigError
from tangrid.experiments.analyze_settings import MAX_ROWS, KernelSettings
from tangrid.runs.codec import from_plain, to_plain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": 0}, "points: expected a whole number >= 2, got 0. Say --points"),
        ({"points": MAX_ROWS + 1}, "points: expected at most 8192"),
        ({"steps": -1}, "steps: expected a whole number >= 0, got -1"),
        ({"lattice": 3}, "lattice: expected a whole number >= 4"),
        ({"labels": 1}, "labels: expected a whole number >= 2"),
        ({"map_side": 1}, "map_side: .* Say --map-side"),
        ({"parameters": ()}, "expected 'all' among the groups, got ''"),
        ({"parameters": ("grid",)}, "expected 'all' among the groups, got 'grid'"),
        ({"rate": 0.0}, "rate: expected a finite number above 0, got 0"),
        ({"rate": float("inf")}, "rate: expected a finite number above 0, got inf"),
        ({"rate": float("nan")}, "rate: expected a finite number above 0, got nan"),
        ({"delta": 0.0}, "delta: expected a probability"),
        ({"delta": float("nan")}, "delta: expected a probability"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(changes: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        KernelSettings(**changes)


@pytest.mark.parametrize(("num_dims", "most"), [(1, 8192), (2, 90), (3, 20)])
def test_the_lattice_stays_small_enough_to_be_dense(num_dims: int, most: int):
    KernelSettings(lattice=most).check_lattice(num_dims)
    with pytest.raises(ConfigError, match=f"expected at most {most} points"):
        KernelSettings(lattice=most + 1).check_lattice(num_dims)


def test_something_is_predicted_even_if_nothing_is_measured():
    assert KernelSettings(steps=0).horizon == 100
    assert KernelSettings(steps=7).horizon == 7


def test_settings_survive_json():
    settings = KernelSettings(points=7, rate=0.1, parameters=("all",))
    assert from_plain(to_plain(settings), KernelSettings) == settings
