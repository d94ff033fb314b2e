"""The drop-in makes its parameters on a GPU if there is one; these tests want a CPU."""

import pytest
import torch

from tangrid.compat.tinycudann import modules


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_first_device", lambda: torch.device("cpu"))
