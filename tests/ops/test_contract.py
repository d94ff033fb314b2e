import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tangrid.errors import ImplementationError
from tangrid.ops.adam_update import AdamState, adam_update
from tangrid.ops.adam_update.reference import AdamNumbers
from tangrid.ops.composite import composite
from tangrid.ops.contract import (
    implementation,
    is_single_threaded,
    numba_refusals,
    resolve,
    single_threaded,
    triton_refusals,
    used_implementations,
)
from tangrid.ops.grid_lookup import grid_layout, grid_lookup
from tangrid.ops.small_mlp import small_mlp

TWO_DEVICES = (
    "table",
    r"weights\[0\]",
    "colours",
    "distances",
    "state.first",
    "held",
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


def test_triton_takes_what_is_on_one_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with FakeTensorMode():
        coords, table, other = (
            torch.empty(1, device=f"cuda:{number}") for number in (0, 1, 0)
        )
    apart = "table is on 'cuda:1', coords on 'cuda:0'"
    tensors = {"coords": coords, "table": table, "other": other}
    assert triton_refusals(tensors)[0] == apart
    assert triton_refusals({"coords": coords}, beside={"table": table})[0] == apart
    beside = {"held": torch.empty(1), "other": other}
    found = triton_refusals({"coords": coords}, beside=beside)
    assert found[0] == "held is on 'cpu', coords on 'cuda:0'"
    assert apart not in triton_refusals({"coords": coords, "other": other})


def _two_devices() -> dict[str, Callable[[], object]]:
    layout = grid_layout(num_dims=2, num_levels=1, base_resolution=4, growth=1)
    x, tall = torch.empty(8, 2, device="cuda:0"), torch.empty(8, device="cuda:0")
    away = {
        "table": torch.empty(layout.num_rows, 2, device="cuda:1"),
        "hidden": torch.empty(16, 2, device="cuda:1"),
        "tall": torch.empty(8, device="cuda:1"),
        "seen": torch.empty(8, 3, device="cuda:1"),
        "held": torch.empty((), device="cuda:1"),
    }
    grads = torch.empty(1, 8, device="cuda:0")
    last = torch.empty(1, 16, device="cuda:0")
    bounds = torch.zeros(2, dtype=torch.int64, device="cuda:0")
    home, there = AdamState.zeros_like(tall), AdamState.zeros_like(away["tall"])
    numbers = AdamNumbers(1e-2, (0.9, 0.99), 1e-15, False)
    return {
        "table": lambda: grid_lookup(x, away["table"], layout),
        r"weights\[0\]": lambda: small_mlp(x, (away["hidden"], last)),
        "colours": lambda: composite(tall, away["seen"], tall, bounds),
        "distances": lambda: composite(tall, x, away["tall"], bounds),
        "state.first": lambda: adam_update(tall, there, grads, numbers),
        "held": lambda: adam_update(tall, home, grads, numbers, held=away["held"]),
    }


@pytest.mark.parametrize("name", TWO_DEVICES)
def test_operators_refuse_tensors_of_two_devices(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    words = rf"{name} is on 'cuda:1', \w+ on 'cuda:0'"
    with (
        FakeTensorMode(),
        implementation("triton"),
        pytest.raises(ImplementationError, match=words),
    ):
        _two_devices()[name]()


def test_triton_says_what_it_cannot_take(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    tensors = {"coords": torch.empty(1, dtype=torch.float64), "fine": torch.empty(1)}
    refusals = triton_refusals(tensors)
    assert refusals[0].startswith("coords has dtype torch.float64 (supports float32")
