import os

import pytest
import torch

from tangrid.devices import available_threads, peak_memory_mb, torch_threads


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
