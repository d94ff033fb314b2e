import os
from pathlib import Path
from typing import Any

import pytest
import torch

from tangrid import devices
from tangrid.devices import (
    available_memory_mb,
    available_threads,
    device_name,
    find_device,
    forget_peak_memory,
    peak_device_memory_mb,
    peak_memory_mb,
    require_memory,
    torch_threads,
    wait_for,
    working_on,
)
from tangrid.errors import ConfigError, ResourceError


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


def test_the_processor_is_always_there():
    assert find_device("cpu") == torch.device("cpu")
    assert device_name(torch.device("cpu")) == "cpu"
    assert peak_device_memory_mb(torch.device("cpu")) is None


def with_gpus(patch: pytest.MonkeyPatch, count: int, cuda: str | None = "13.0"):
    patch.setattr(torch.cuda, "is_available", lambda: count > 0)
    patch.setattr(torch.cuda, "device_count", lambda: count)
    patch.setattr(torch.version, "cuda", cuda)
    patch.setattr(torch.version, "hip", None)


def test_gpus_go_by_number(monkeypatch: pytest.MonkeyPatch):
    with_gpus(monkeypatch, 2)
    assert find_device("cuda") == find_device("auto") == torch.device("cuda", 0)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with_gpus(monkeypatch, 0)
    assert find_device("auto") == torch.device("cpu")


def test_devices_stand_for_their_names(monkeypatch: pytest.MonkeyPatch):
    with_gpus(monkeypatch, 2)
    for name in ("cpu", "cpu:0"):
        assert find_device(name) == find_device(torch.device(name)) == devices.HOST
    for name in ("cuda", "cuda:1"):
        found = find_device(torch.device(name))
        assert found == find_device(name)
        # Tensors have a number, and a device without one is no equal of theirs.
        assert found.index is not None


@pytest.mark.parametrize(
    ("device", "message"),
    [
        (torch.device("meta"), "expected cpu, cuda, cuda:0 and so on, or auto, got 'm"),
        (torch.device("cpu:1"), "expected cpu, cuda, cuda:0 and .*, got 'cpu:1'"),
        (
            torch.device("cuda"),
            "expected a device that is there, got 'cuda': PyTorch s",
        ),
        (0, "expected a name such as cpu or cuda:0, or a torch.device, got 0"),
        (None, "expected a name such as cpu or cuda:0, or a torch.device, got None"),
    ],
)
def test_what_is_no_device_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: Any, message: str
):
    with_gpus(monkeypatch, 0)
    with pytest.raises(ConfigError, match=f"^device: {message}") as caught:
        find_device(device)
    assert "eave device out" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "count", "cuda", "message"),
    [
        ("gpu", 1, "13.0", r"expected cpu, cuda, cuda:0 and so on, or auto, got 'gpu'"),
        ("cuda:x", 1, "13.0", "and so on, or auto, got 'cuda:x'"),
        ("cuda:", 1, "13.0", "and so on, or auto, got 'cuda:'"),
        ("cuda", 0, None, "got 'cuda': this PyTorch was built without CUDA. Install"),
        ("cuda", 0, "13.0", "got 'cuda': PyTorch sees no GPU. Check with nvidia-smi"),
        ("cuda:2", 2, "13.0", r"PyTorch sees 2 GPU\(s\). Name one from cuda:0 to cuda"),
    ],
)
def test_an_absent_device_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    count: int,
    cuda: str | None,
    message: str,
):
    with_gpus(monkeypatch, count, cuda)
    with pytest.raises(ConfigError, match=f"^--device: .*{message}") as caught:
        find_device(name, "--device")
    assert "eave --device out" in str(caught.value)


def test_another_device_is_waited_for(pretend: torch.device):
    from tests.pretended_device import waits  # noqa: PLC0415 (after the fixture)

    wait_for(torch.device("cpu"))
    wait_for(pretend)
    assert waits == {"synchronize": 1}
    assert device_name(pretend) == "pretend: memory that pretends"
    assert peak_device_memory_mb(pretend) == 123
    forget_peak_memory(pretend)


@pytest.mark.gpu
def test_a_gpu_says_what_it_is():
    device = find_device("cuda")
    forget_peak_memory(device)
    with working_on(device):
        torch.zeros(2**20, device=device)
    wait_for(device)
    assert device_name(device).startswith("cuda: ")
    assert peak_device_memory_mb(device) > 4
