from pathlib import Path

import numpy as np
import pytest

from tangrid.reports.kernel_entries import (
    analysis_of,
    kernel_name,
    number,
    numbers,
    section_of,
    text,
)
from tangrid.runs import KernelRecord


def record(*entries: dict, **arrays: np.ndarray) -> KernelRecord:
    return KernelRecord(
        folder=Path(),
        config={},
        kernel={"entries": list(entries)},
        arrays={name.replace("__", "/"): it for name, it in arrays.items()},
    )


def test_seeds_of_a_model_are_one_and_states_are_two():
    analysis = analysis_of(
        record(
            {"model": "a", "seed": 0, "state": "initial"},
            {"model": "a", "seed": 0, "state": "trained"},
            {"model": "a", "seed": 1, "state": "initial"},
            {"model": "b", "seed": 0, "state": "initial"},
        )
    )
    assert [it.label for it in analysis.variants] == [
        "a, initial",
        "a, trained",
        "b, initial",
    ]
    assert [len(it.entries) for it in analysis.variants] == [2, 1, 1]
    assert [it.index for it in analysis.variants] == [0, 1, 2]
    assert analysis.seeds == [0, 1]


def test_a_state_that_all_have_is_not_said():
    (variant,) = analysis_of(record({"model": "a", "state": "trained"})).variants
    assert variant.label == "a"
    assert variant.state == "trained"


def test_another_model_of_the_same_name_is_no_seed():
    entries = [
        {"model": "a", "seed": 0, "label": label}
        for label in ("a", "a with 4 levels, initial")
    ]
    labels = [it.label for it in analysis_of(record(*entries)).variants]
    assert labels == ["a", "a with 4 levels"]


def test_arrays_belong_to_their_entry():
    entries = [{"model": f"m{number}"} for number in range(11)]
    arrays = {"1__map": np.ones((2, 2)), "10__map": np.zeros((2, 2))}
    variants = analysis_of(record(*entries, **arrays)).variants
    assert variants[0].first.array("map", 2) is None
    np.testing.assert_array_equal(variants[1].first.array("map", 2), np.ones((2, 2)))
    np.testing.assert_array_equal(variants[10].first.array("map", 2), np.zeros((2, 2)))
    assert variants[1].first.array("map", 3) is None


def test_the_kernel_of_all_parameters_comes_first():
    kernels = {"grid": {"rank": 1}, "all": {"rank": 2}, "decoder": {}}
    analysis = analysis_of(record({"model": "a", "kernels": kernels}))
    assert analysis.kinds == ["all", "grid", "decoder"]
    assert [it.label for it in analysis.having("grid")] == ["a"]
    assert analysis.having("decoder") == ()
    assert analysis.variants[0].numbers("kernels", "all", "rank") == [2]


def test_nested_values_are_found_or_missing():
    values = {"a": {"b": [{"c": 1.5}, {"c": None}], "d": "words"}, "e": [1, None, "x"]}
    assert number(values, "a", "b", 0, "c") == 1.5
    assert number(values, "a", "b", 1, "c") is None
    assert number(values, "a", "b", 2, "c") is None
    assert number(values, "a", "d") is None
    assert text(values, "a", "d") == "words"
    assert text(values, "a", "b") == ""
    assert numbers(values, "e") == [1, None, None]
    assert numbers(values, "a", "d") == []
    assert section_of(values, "a", "d") == {}


@pytest.mark.parametrize("kind", ["all", "grid", "kernel"])
def test_every_kernel_has_a_name(kind: str):
    assert kernel_name(kind).split(":")[0] in (
        "NTK",
        "GTK",
        "Kernel of the group kernel alone",
    )
