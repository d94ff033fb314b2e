"""The GPU's benchmark says when it cannot measure, and what it would, it computes."""

import pytest
import torch

from benchmarks.gpu.cases import cases
from benchmarks.gpu.machine import Floors, find_device, measure_floors
from benchmarks.gpu.operators import CONTESTANTS, measure_case, table
from tangrid.errors import ConfigError
from tangrid.ops.contract import is_interpreted
from tests.tolerances import PARITY_FLOAT32


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="Nothing was measured"):
        find_device(is_rehearsal=False)


def test_what_is_timed_is_computed_right():
    device = find_device(is_rehearsal=is_interpreted())
    case = next(c for c in cases(4, 6, device) if c.name.startswith("perceptron"))
    rows = measure_case(case, measure_floors(device), device, turns=1)
    assert [row["contestant"] for row in rows] == [*CONTESTANTS]
    for row in rows:
        assert 0 < row["error_of_values"] < PARITY_FLOAT32
        assert 0 < row["error_of_gradients"] < PARITY_FLOAT32
    assert len(table(rows).splitlines()) == 2 + len(rows)


def test_the_floor_is_the_longer_of_moving_and_computing():
    floors = Floors(bytes_per_second=1e9, rates={torch.float32: 1e12})
    assert floors.milliseconds(1e6, 1e6, torch.float32) == pytest.approx(1.0)
    assert floors.milliseconds(1e3, 1e10, torch.float32) == pytest.approx(10.0)
    assert floors.record() == {"bytes_per_second": 1e9, "float32": 1e12}
