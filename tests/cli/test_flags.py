"""Flags mean what the settings below them mean."""

import dataclasses
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tangrid.cli.flags import (
    ImageFlags,
    TrainingFlags,
    distinct_names,
    names_in,
    optimizer_of,
    seeds_of,
    settings_of,
)
from tangrid.cli.sdf_flags import sdf_training
from tangrid.fields.contract import DecoderDtype
from tangrid.signals.colour import Colour
from tangrid.tasks.image_regression import Sampling
from tangrid.training import TrainingSettings
from tangrid.training.settings import DEFAULT_STEPS, GAUSS_NEWTON_STEPS


@pytest.mark.parametrize(
    ("cls", "name", "choices"),
    [
        (ImageFlags, "colour", Colour),
        (ImageFlags, "sampling", Sampling),
        (TrainingFlags, "decoder_dtype", DecoderDtype),
    ],
)
def test_choices_are_those_below(cls: type, name: str, choices: Any):
    # The command line repeats them, because their homes import torch.
    assert get_args(get_type_hints(cls)[name]) == get_args(choices)


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (TrainingFlags(), "adam"),
        (TrainingFlags(optimizer="gauss-newton"), "gauss-newton"),
        (TrainingFlags(set=("training.optimizer=gauss-newton",)), "gauss-newton"),
    ],
)
def test_an_optimiser_has_its_usual_steps_however_it_is_named(
    flags: TrainingFlags, name: str
):
    assert optimizer_of(flags) == name
    settings = sdf_training(flags)
    assert settings.steps == (GAUSS_NEWTON_STEPS if name != "adam" else DEFAULT_STEPS)


def test_help_tells_the_batch_size():
    fields = {field.name: field for field in dataclasses.fields(TrainingSettings)}
    assert fields["batch_size"].default == 65536


def test_settings():
    flags = TrainingFlags(
        set=("a.b-c=1", " d = x=y "),
        decoder_dtype="bfloat16",
        table_dtype="float16",
        seed=3,
        seeds=2,
    )
    assert settings_of(flags) == {
        "field.decoder_dtype": "bfloat16", "field.encoding.table_dtype": "float16",
        "a.b_c": "1", "d": "x=y",
    }  # fmt: skip
    assert seeds_of(flags) == (3, 4)


def test_names_with_commas():
    assert names_in(" a,b ,,a") == ("a", "b")


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c/a"]), st.sampled_from("xy")), min_size=1
    )
)
def test_names_are_distinct(places: list[tuple[str, str]]):
    paths = [f"{folder}/{name}.png" for folder, name in places]
    names = distinct_names(paths, [name for _, name in places])
    assert len(set(names)) == len(places)
    assert all(
        found.startswith(name) for found, (_, name) in zip(names, places, strict=True)
    )
