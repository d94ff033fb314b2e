"""A misspelt choice never means another."""

import copy
from typing import Any

import pytest

from tangrid.encodings import (
    HashGridConfig,
    MulfaGridConfig,
    NeurbfConfig,
    PlaneGridConfig,
)
from tangrid.errors import ConfigError


@pytest.mark.parametrize(
    ("config", "name", "choice"),
    [
        (HashGridConfig(), "interpolation", "linear"),
        (HashGridConfig(), "convention", "tiny-cuda-nn"),
        (HashGridConfig(), "storage", "hashed"),
        (MulfaGridConfig(), "index_mode", "normalised"),
        (MulfaGridConfig(), "kernel_outputs", "shared"),
        (NeurbfConfig(), "profile", "inverse-quadric"),
        (NeurbfConfig(), "shape", "scalar"),
        (PlaneGridConfig(), "reduction", "product"),
    ],
)
def test_other_names_are_refused(config: Any, name: str, choice: str):
    misspelt = copy.copy(config)
    # Types are checked as well while tests run, before the class checks itself.
    object.__setattr__(misspelt, name, choice[:-1])
    with pytest.raises(ConfigError, match=f"{name}: expected one of .*'{choice}'"):
        misspelt.__post_init__()
