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
    triton_refusals,
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


def test_triton_is_taken_on_a_gpu_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert resolve("test-operator", ["x is on 'cuda'"], []) == "triton"
    assert resolve("test-operator", [], []) == "numba"
    assert resolve("test-operator", ["odd"], ["odd"]) == "reference"
    assert triton_refusals({"x": torch.empty(1)})[0] == "x is on 'cpu' (needs cuda)"


def test_interpreted_programs_run_for_those_who_ask(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert resolve("test-operator", ["odd"], []) == "reference"
    with implementation("triton"):
        assert resolve("test-operator", [], []) == "triton"
        with pytest.raises(ImplementationError, match="no program for a GPU"):
            resolve("test-operator", [])


def test_triton_says_what_it_cannot_take(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    tensors = {"coords": torch.empty(1, dtype=torch.float64), "fine": torch.empty(1)}
    refusals = triton_refusals(tensors)
    assert refusals[0].startswith("coords has dtype torch.float64 (supports float32")
