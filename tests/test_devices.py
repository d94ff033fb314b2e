import os
from pathlib import Path

import pytest
import torch

from tangrid import devices
from tangrid.devices import (
    available_memory_mb,
    available_threads,
    peak_memory_mb,
    require_memory,
    torch_threads,
)
from tangrid.errors import ResourceError


def test_threads_are_those_the_process_may_use():
    assert available_threads() >= 1
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert available_threads() == 1
        finally:
            os.sched_setaffinity(0, before)
        assert available_threads() == len(before)


def test_torch_gets_its_threads_back():
    before = torch.get_num_threads()
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), torch_threads(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_peak_memory_counts_megabytes():
    before = peak_memory_mb()
    if before is None:
        pytest.skip("this system does not tell its peak memory")
    assert 20 < before < 1e6
    held = bytearray(os.urandom(1)) * 300_000_000
    after = peak_memory_mb()
    assert after is not None
    # The peak of earlier tests may have been higher already.
    assert after >= before
    assert after > 300
    del held


def test_a_container_limits_what_is_available(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(devices, "_CONTAINER", tmp_path)
    machine = available_memory_mb()
    (tmp_path / "memory.max").write_text("5000000\n")
    assert available_memory_mb() == pytest.approx(machine, rel=0.2)
    (tmp_path / "memory.current").write_text("3000000\n")
    (tmp_path / "memory.stat").write_text("anon 7\ninactive_file 500000\n")
    assert available_memory_mb() == 2.5
    with pytest.raises(ResourceError, match=r"at most 0\.0 GB, got 0\.1 GB"):
        require_memory(1e8, "a matrix", "Take fewer points.")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory_mb() == pytest.approx(machine, rel=0.2)
