"""Every operator has its truth, its fast form and its public door."""

from pathlib import Path

import pytest

NO_LOOPS_OF_THEIR_OWN = {"small_mlp"}
"""Operators that PyTorch has the fast loops of a CPU for; a GPU's program they have."""


@pytest.mark.parametrize("name", ["reference.py", "numba_cpu.py", "operator.py"])
def test_operator_is_complete(operator: Path, name: str):
    if name == "numba_cpu.py" and operator.name in NO_LOOPS_OF_THEIR_OWN:
        name = "triton_gpu.py"
    assert (operator / name).is_file()
