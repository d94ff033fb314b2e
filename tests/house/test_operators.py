"""Every operator has its truth, its fast form and its public door."""

from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["reference.py", "numba_cpu.py", "operator.py"])
def test_operator_is_complete(operator: Path, name: str):
    assert (operator / name).is_file()
