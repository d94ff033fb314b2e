import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tangrid.errors import ImplementationError
from tangrid.ops.contract import (
    implementation,
    is_single_threaded,
    numba_refusals,
    resolve,
    single_threaded,
    used_implementations,
)


def test_auto_takes_what_can_run_and_says_so():
    assert resolve("test-operator", []) == "numba"
    assert used_implementations()["test-operator"] == "numba"
    assert resolve("test-operator", ["table is too tall"]) == "reference"
    assert used_implementations()["test-operator"] == "reference"


def test_a_choice_holds_inside_and_only_there():
    with implementation("reference"):
        assert resolve("test-operator", []) == "reference"
        with implementation("auto"):
            assert resolve("test-operator", []) == "numba"
        assert resolve("test-operator", []) == "reference"
    assert resolve("test-operator", []) == "numba"


def test_a_choice_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), implementation("reference"):
        raise ZeroDivisionError
    assert resolve("test-operator", []) == "numba"


def test_an_impossible_choice_is_refused_with_every_reason():
    with (
        implementation("numba"),
        pytest.raises(ImplementationError, match="table is too tall; x is odd") as at,
    ):
        resolve("test-operator", ["table is too tall", "x is odd"])
    assert "test-operator(implementation='numba')" in str(at.value)
    assert isinstance(at.value, NotImplementedError)


def test_numba_says_what_it_cannot_take():
    tensors = {
        "coords": torch.empty(1, dtype=torch.float64),
        "table": torch.empty(1, device="meta"),
        "fine": torch.empty(1),
    }
    assert numba_refusals(tensors) == [
        "coords has dtype torch.float64 (supports float32)",
        "table is on 'meta' (needs cpu)",
    ]


def test_threads_of_the_caller_do_not_share_the_choice():
    """A worker sees what its caller chose only with the caller's context."""
    with single_threaded(), ThreadPoolExecutor(1) as pool:
        copied = contextvars.copy_context()
        assert pool.submit(copied.run, is_single_threaded).result()
        assert not pool.submit(is_single_threaded).result()
    assert not is_single_threaded()
